/* slotbellctl db …: the schema, and who may use it. */
#include "daemon/ctl/ctl.h"
#include "daemon/ctl/database.h"
#include "daemon/ctl/migrate.h"
#include "daemon/ctl/output.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPTION_DAEMON_ROLE = 1, OPTION_PUBLISHER_ROLE, OPTION_ADMIN_ROLE, OPTION_COUNT };

/* Which group role of ours each of those options grants. */
static const char *const group_roles[OPTION_COUNT] = {
	[OPTION_DAEMON_ROLE] = "slotbell_daemon",
	[OPTION_PUBLISHER_ROLE] = "slotbell_publisher",
	[OPTION_ADMIN_ROLE] = "slotbell_admin",
};

static enum sb_exit migrate(struct sb_ctl *ctl, PGconn *database, bool may_create)
{
	struct sb_migrated migrated;
	json_t *applied;

	if (!sb_migrate(database, may_create, &migrated)) {
		free(migrated.steps);
		return SB_EXIT_FAILED;
	}
	if (migrated.count == 0)
		sb_ctl_say("up to date: the schema is at version %d", migrated.version);
	else
		sb_ctl_say("done: the schema is at version %d", migrated.version);
	applied = json_array();
	for (size_t i = 0; i < migrated.count; i++)
		json_array_append_new(applied, json_string(migrated.steps[i]->name));
	free(migrated.steps);
	if (ctl->json)
		sb_print_json(
			json_pack("{s:i, s:O}", "version", migrated.version, "applied", applied));
	json_decref(applied);
	return SB_EXIT_DONE;
}

/* GRANT what it has already is nothing to PostgreSQL, so a second init does no harm. */
static bool grant(PGconn *database, const char *group_role, const char *login_role)
{
	char *name = PQescapeIdentifier(database, login_role, strlen(login_role));
	char *sql = NULL;
	PGresult *result;

	if (!name) {
		sb_ctl_fail("'%s' cannot be a role's name", login_role);
		return false;
	}
	sb_need(asprintf(&sql, "GRANT %s TO %s", group_role, name) >= 0);
	result = sb_database_query(database, sql, 0, NULL);
	if (result)
		sb_ctl_say("%s is granted to %s", group_role, login_role);
	else
		sb_ctl_say("  the schema is there; %s is not granted to '%s'", group_role,
			   login_role);
	PQclear(result);
	free(sql);
	PQfreemem(name);
	return result != NULL;
}

static enum sb_exit run_init(struct sb_ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
		{"daemon-role", required_argument, NULL, OPTION_DAEMON_ROLE},
		{"publisher-role", required_argument, NULL, OPTION_PUBLISHER_ROLE},
		{"admin-role", required_argument, NULL, OPTION_ADMIN_ROLE},
		SB_CTL_OPTIONS,
	};
	const char *login_roles[OPTION_COUNT] = {NULL};
	PGconn *database;
	enum sb_exit status;
	int option;

	while ((option = sb_ctl_next(ctl, argc, argv, options)) > SB_CTL_STOP)
		login_roles[option] = optarg;
	if (option == SB_CTL_STOP || !sb_ctl_arguments_left(ctl, argc, argv, 0))
		return ctl->status;
	database = sb_database_open(ctl);
	if (!database)
		return ctl->status;
	status = migrate(ctl, database, true);
	for (int i = 1; i < OPTION_COUNT && status == SB_EXIT_DONE; i++) {
		if (login_roles[i] && !grant(database, group_roles[i], login_roles[i]))
			status = SB_EXIT_FAILED;
	}
	PQfinish(database);
	return status;
}

static enum sb_exit run_upgrade(struct sb_ctl *ctl, int argc, char **argv)
{
	PGconn *database;
	enum sb_exit status;

	if (!sb_ctl_arguments(ctl, argc, argv, 0))
		return ctl->status;
	database = sb_database_open(ctl);
	if (!database)
		return ctl->status;
	status = migrate(ctl, database, false);
	PQfinish(database);
	return status;
}

static enum sb_exit run_new_epoch(struct sb_ctl *ctl, int argc, char **argv)
{
	PGconn *database;
	PGresult *result;
	enum sb_exit status = SB_EXIT_FAILED;

	if (!sb_ctl_arguments(ctl, argc, argv, 0))
		return ctl->status;
	database = sb_database_open(ctl);
	if (!database)
		return ctl->status;
	result = sb_database_query(database, "SELECT slotbell.new_epoch()", 0, NULL);
	if (result) {
		const char *mailboxes = PQgetvalue(result, 0, 0);

		sb_ctl_say("done: every mailbox (%s) counts in a new epoch", mailboxes);
		if (ctl->json)
			sb_print_json(json_pack("{s:I}", "mailboxes",
						(json_int_t)strtoll(mailboxes, NULL, 10)));
		status = SB_EXIT_DONE;
	}
	PQclear(result);
	PQfinish(database);
	return status;
}

const struct sb_ctl_command sb_command_db_init = {
	.group = "db",
	.verb = "init",
	.arguments = "[--daemon-role NAME] [--publisher-role NAME] [--admin-role NAME]",
	.summary = "Makes Slotbell's schema in the database, or completes it",
	.help = "Run again it does no harm, and only adds what is missing. The roles named must\n"
		"exist, and may log in as you decide; each becomes a member of Slotbell's own:\n"
		"  --daemon-role NAME     what slotbelld connects as\n"
		"  --publisher-role NAME  what your booking backend connects as\n"
		"  --admin-role NAME      what slotbellctl connects as, for devices, publish and "
		"tail\n"
		"\n"
		"Examples:\n"
		"  slotbellctl db init --database postgresql:///bookings\n"
		"  slotbellctl db init --daemon-role slotbell --publisher-role webapp\n",
	.run = run_init,
};

const struct sb_ctl_command sb_command_db_upgrade = {
	.group = "db",
	.verb = "upgrade",
	.arguments = "",
	.summary = "Brings an older schema to this version",
	.help = "As `db init`, but a database without the schema is refused, so that a wrong URL\n"
		"is noticed. It is run by a superuser, or by the role that ran `db init`.\n"
		"\n"
		"Examples:\n"
		"  slotbellctl db upgrade\n",
	.run = run_upgrade,
};

const struct sb_ctl_command sb_command_db_new_epoch = {
	.group = "db",
	.verb = "new-epoch",
	.arguments = "",
	.summary = "Starts new numbers, after the database was restored from a copy",
	.help = "Run it after a dump was restored, before the daemon and the booking backend come\n"
		"back: the copy does not know which numbers were given since, and none may be\n"
		"given twice. After a failover to a standby PostgreSQL tells Slotbell by itself,\n"
		"unless `db init` warned that it does not.\n"
		"\n"
		"Examples:\n"
		"  slotbellctl db new-epoch\n",
	.run = run_new_epoch,
};
