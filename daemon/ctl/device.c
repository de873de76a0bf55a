/*
 * slotbellctl device …: which plug-ins may come in, and their tokens.
 *
 * A token is made here and shown once. What goes to the database is a salt and
 * a hash; the secret never leaves this process but on standard output.
 */
#include "daemon/ctl/ctl.h"
#include "daemon/ctl/database.h"
#include "daemon/ctl/output.h"
#include "daemon/ctl/secret.h"
#include "daemon/ctl/when.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPTION_LABEL = 1, OPTION_EXPIRES };

static bool secret_new(struct sb_secret *secret)
{
	int error = sb_secret_new(secret);

	if (error != 0)
		sb_ctl_fail("the system gives no randomness for a token: %s", strerror(-error));
	return error == 0;
}

/* Prints the token of a device that is in the database already, and forgets it. */
static enum sb_exit hand_out(const struct sb_ctl *ctl, struct sb_token *token, const char *mailbox,
			     const char *expires_at)
{
	char text[SB_TOKEN_MAX + 1];
	int64_t id = token->device_id;

	sb_token_format(token, text);
	sb_token_wipe(token);
	if (ctl->json)
		sb_print_json(json_pack("{s:I, s:s, s:s, s:s?}", "device", (json_int_t)id,
					"mailbox", mailbox, "token", text, "expires_at",
					expires_at));
	else
		puts(text);
	explicit_bzero(text, sizeof(text));
	if (fflush(stdout) == 0)
		return SB_EXIT_DONE;
	return sb_ctl_fail("the token could not be written (%s) and is lost.\n"
			   "  Device %" PRId64 " is there: `slotbellctl device rotate %" PRId64
			   "` gives it another",
			   strerror(errno), id, id);
}

static bool read_expires(struct sb_ctl *ctl, struct sb_expiry *expiry)
{
	if (sb_expiry_parse(optarg, expiry))
		return true;
	sb_ctl_usage(ctl,
		     "--expires %s: say never, 90d, 12h, or a time as in RFC 3339 like"
		     " 2027-01-31T00:00:00Z",
		     optarg);
	return false;
}

/*
 * The instant that `expiry` means, by the database's clock, as text that the
 * caller frees; NULL is never. False: said why, which a time in the past is.
 */
static bool resolve_expiry(PGconn *database, const struct sb_expiry *expiry, char **ret_instant)
{
	const char *const values[] = {expiry->instant, *expiry->interval ? expiry->interval : NULL};
	PGresult *result = sb_database_query(
		database,
		"SELECT " SB_SQL_INSTANT("t") ", t <= pg_catalog.now() FROM (SELECT coalesce("
					      "$1::timestamp with time zone, "
					      "pg_catalog.now() + $2::interval)) AS expiry(t)",
		2, values);
	const char *instant = result ? sb_database_value(result, 0, 0) : NULL;
	bool good = result && (!instant || *PQgetvalue(result, 0, 1) == 'f');

	*ret_instant = NULL;
	if (result && !good)
		sb_ctl_fail("--expires: %s has passed already", instant);
	if (good && instant) {
		*ret_instant = strdup(instant);
		sb_need(*ret_instant);
	}
	PQclear(result);
	return good;
}

static enum sb_exit enrol(struct sb_ctl *ctl, PGconn *database, const char *mailbox,
			  const char *label, const struct sb_expiry *expiry)
{
	struct sb_secret secret = {0};
	char *expires_at = NULL;
	PGresult *result = NULL;
	enum sb_exit status = SB_EXIT_FAILED;

	if (!resolve_expiry(database, expiry, &expires_at) || !secret_new(&secret))
		goto out;
	result = sb_database_query(
		database,
		"SELECT slotbell.enrol(mailbox => $1::pg_catalog.text,"
		" label => $2::pg_catalog.text, expires_at => $3::timestamp with time zone,"
		" salt => $4::pg_catalog.bytea, hash => $5::pg_catalog.bytea),"
		" slotbell.fold_address($1::pg_catalog.text)",
		5, (const char *const[]){mailbox, label, expires_at, secret.salt, secret.hash});
	if (!result)
		goto out;
	secret.token.device_id = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
	sb_ctl_say("device %" PRId64 " for %s; its token is shown this once",
		   secret.token.device_id, PQgetvalue(result, 0, 1));
	status = hand_out(ctl, &secret.token, PQgetvalue(result, 0, 1), expires_at);
out:
	sb_token_wipe(&secret.token);
	PQclear(result);
	free(expires_at);
	return status;
}

static enum sb_exit run_enrol(struct sb_ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
		{"label", required_argument, NULL, OPTION_LABEL},
		{"expires", required_argument, NULL, OPTION_EXPIRES},
		SB_CTL_OPTIONS,
	};
	struct sb_expiry expiry = {NULL, ""};
	const char *label = "";
	PGconn *database;
	enum sb_exit status;
	int option;

	while ((option = sb_ctl_next(ctl, argc, argv, options)) > SB_CTL_STOP) {
		if (option == OPTION_LABEL)
			label = optarg;
		else if (!read_expires(ctl, &expiry))
			return ctl->status;
	}
	if (option == SB_CTL_STOP || !sb_ctl_arguments_left(ctl, argc, argv, 1))
		return ctl->status;
	database = sb_database_open(ctl);
	if (!database)
		return ctl->status;
	status = enrol(ctl, database, argv[optind], label, &expiry);
	PQfinish(database);
	return status;
}

/* ---- rotate and revoke ---- */

static bool read_id(struct sb_ctl *ctl, const char *text)
{
	long long id;

	if (sb_ctl_number(text, 1, INT64_MAX, &id))
		return true;
	sb_ctl_usage(ctl, "'%s' is not a device's number; `slotbellctl device list` shows them",
		     text);
	return false;
}

/* Without --expires a token ends when the one before it would have ended. */
static bool keep_expiry(PGconn *database, const char *id, char **ret_instant)
{
	PGresult *result = sb_database_query(
		database,
		"SELECT " SB_SQL_INSTANT(
			"expires_at") ", coalesce(expires_at <= pg_catalog.now(), false) "
				      "FROM slotbell.devices WHERE id = $1",
		1, (const char *const[]){id});
	bool good = result != NULL;
	const char *instant = NULL;

	*ret_instant = NULL;
	if (result && PQntuples(result) == 1) {
		instant = sb_database_value(result, 0, 0);
		good = *PQgetvalue(result, 0, 1) == 'f';
		if (!good)
			sb_ctl_fail("the token of device %s expired at %s: say with --expires"
				    " until when the new one is good, or never",
				    id, instant);
	}
	if (good && instant) {
		*ret_instant = strdup(instant);
		sb_need(*ret_instant);
	}
	PQclear(result);
	return good;
}

/* `expiry` NULL: as it was. */
static enum sb_exit rotate(struct sb_ctl *ctl, PGconn *database, const char *id,
			   const struct sb_expiry *expiry)
{
	struct sb_secret secret = {0};
	char *expires_at = NULL;
	PGresult *result = NULL;
	enum sb_exit status = SB_EXIT_FAILED;
	bool resolved = expiry ? resolve_expiry(database, expiry, &expires_at)
			       : keep_expiry(database, id, &expires_at);

	if (!resolved || !secret_new(&secret))
		goto out;
	result = sb_database_query(
		database,
		"SELECT slotbell.rotate(device => $1::bigint, salt => $2::pg_catalog.bytea,"
		" hash => $3::pg_catalog.bytea, expires_at => $4::timestamp with time zone),"
		" (SELECT mailbox FROM slotbell.devices WHERE id = $1::bigint)",
		4, (const char *const[]){id, secret.salt, secret.hash, expires_at});
	if (!result)
		goto out;
	if (*PQgetvalue(result, 0, 0) != 't') {
		status = sb_ctl_fail("there is no live device %s", id);
		goto out;
	}
	secret.token.device_id = strtoll(id, NULL, 10);
	sb_ctl_say("device %s has a new token, shown this once; the old one is void", id);
	status = hand_out(ctl, &secret.token, PQgetvalue(result, 0, 1), expires_at);
out:
	sb_token_wipe(&secret.token);
	PQclear(result);
	free(expires_at);
	return status;
}

static enum sb_exit run_rotate(struct sb_ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
		{"expires", required_argument, NULL, OPTION_EXPIRES},
		SB_CTL_OPTIONS,
	};
	struct sb_expiry expiry;
	bool has_expiry = false;
	PGconn *database;
	int option;

	while ((option = sb_ctl_next(ctl, argc, argv, options)) > SB_CTL_STOP) {
		if (!read_expires(ctl, &expiry))
			return ctl->status;
		has_expiry = true;
	}
	if (option == SB_CTL_STOP || !sb_ctl_arguments_left(ctl, argc, argv, 1) ||
	    !read_id(ctl, argv[optind]))
		return ctl->status;
	database = sb_database_open(ctl);
	if (!database)
		return ctl->status;
	ctl->status = rotate(ctl, database, argv[optind], has_expiry ? &expiry : NULL);
	PQfinish(database);
	return ctl->status;
}

static enum sb_exit run_revoke(struct sb_ctl *ctl, int argc, char **argv)
{
	PGconn *database;
	PGresult *result;
	bool revoked;

	if (!sb_ctl_arguments(ctl, argc, argv, 1) || !read_id(ctl, argv[optind]))
		return ctl->status;
	database = sb_database_open(ctl);
	if (!database)
		return ctl->status;
	result = sb_database_query(database, "SELECT slotbell.revoke(device => $1::bigint)", 1,
				   (const char *const[]){argv[optind]});
	revoked = result && *PQgetvalue(result, 0, 0) == 't';
	if (revoked)
		sb_ctl_say("device %s is revoked", argv[optind]);
	else if (result)
		sb_ctl_fail("there is no device %s, or it is revoked already", argv[optind]);
	if (revoked && ctl->json)
		sb_print_json(json_pack("{s:I, s:s}", "device",
					(json_int_t)strtoll(argv[optind], NULL, 10), "state",
					"revoked"));
	ctl->status = revoked ? SB_EXIT_DONE : SB_EXIT_FAILED;
	PQclear(result);
	PQfinish(database);
	return ctl->status;
}

#define EXPIRES_HELP                                                                            \
	"  --expires T  how long the token is good: never, 90d (days), 12h (hours), or until\n" \
	"               a time as in RFC 3339, like 2027-01-31T00:00:00Z\n"

const struct sb_ctl_command sb_command_device_enrol = {
	.group = "device",
	.verb = "enrol",
	.arguments = "MAILBOX [--label L] [--expires T]",
	.summary = "Lets a plug-in in, and prints its token",
	.help = "The token is printed alone on standard output, this once: nobody can read it out\n"
		"of the database again. Bookings ring from now on; earlier ones do not.\n"
		"  --label L    a name for people: whose computer it is\n" EXPIRES_HELP
		"               (without it: never)\n"
		"\n"
		"Examples:\n"
		"  slotbellctl device enrol ada@example.com --label 'Ada, laptop' >ada.token\n"
		"  slotbellctl device enrol ada@example.com --expires 90d --json\n",
	.run = run_enrol,
};

const struct sb_ctl_command sb_command_device_rotate = {
	.group = "device",
	.verb = "rotate",
	.arguments = "ID [--expires T]",
	.summary = "Gives a device a new token; the old one is void at once",
	.help = "The device keeps its place: nothing is lost or repeated, once it has the "
		"token.\n" EXPIRES_HELP "               (without it: as long as the old one was)\n"
		"\n"
		"Examples:\n"
		"  slotbellctl device rotate 7 >ada.token\n",
	.run = run_rotate,
};

const struct sb_ctl_command sb_command_device_revoke = {
	.group = "device",
	.verb = "revoke",
	.arguments = "ID",
	.summary = "Shuts a device out, for good",
	.help = "Its session ends within a second. To let it in again, enrol it anew.\n"
		"\n"
		"Examples:\n"
		"  slotbellctl device revoke 7\n",
	.run = run_revoke,
};
