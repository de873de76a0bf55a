/* PostgreSQL as the daemon finds it: there, of the right version, and of the same time. */
#include "daemon/ctl/doctor.h"
#include "daemon/ctl/output.h"
#include "daemon/store/schema_version.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SERVER_VERSION_MIN 140000

/* Clocks may differ by so much: certificates and tokens end at a second, latencies are told in
 * milliseconds. */
#define CLOCK_WARN_US 500000
#define CLOCK_FAIL_US 5000000
#define CLOCK_LOOKS   3

/* ---- there ---- */

static bool is_remote(const PGconn *database)
{
	const char *address = PQhostaddr(database);

	return *address && strncmp(address, "127.", 4) != 0 && strcmp(address, "::1") != 0;
}

static bool verifies_server(PGconn *database)
{
	PQconninfoOption *options = PQconninfo(database);
	bool verifies = false;

	for (const PQconninfoOption *option = options; option && option->keyword; option++) {
		if (strcmp(option->keyword, "sslmode") == 0 && option->val)
			verifies = strcmp(option->val, "verify-full") == 0;
	}
	PQconninfoFree(options);
	return verifies;
}

void sb_check_database(struct sb_doctor *doctor, struct sb_finding *finding)
{
	char *why = NULL;
	int version;

	if (!doctor->configured) {
		sb_not_checked(finding, "configuration");
		return;
	}
	doctor->database = sb_doctor_connect_as_daemon(doctor, &why);
	if (!doctor->database) {
		sb_saw(finding, SB_HEALTH_FAIL, "as %s: %s", doctor->brief.reader, why);
		sb_advise(
			finding,
			"is PostgreSQL up, and does it let this role in (pg_hba.conf)? This looks "
			"as the daemon does if it is run as root, while the daemon runs");
		free(why);
		return;
	}
	version = PQserverVersion(doctor->database);
	if (version < SERVER_VERSION_MIN) {
		sb_saw(finding, SB_HEALTH_FAIL, "PostgreSQL %d is too old", version / 10000);
		sb_advise(finding, "Slotbell needs PostgreSQL 14 or newer");
	} else if (is_remote(doctor->database) && !verifies_server(doctor->database)) {
		sb_saw(finding, SB_HEALTH_WARN,
		       "PostgreSQL at %s, whose certificate is not looked at: whoever sits between "
		       "can read the bookings",
		       PQhostaddr(doctor->database));
		sb_advise(finding, "database.url: sslmode=verify-full, and sslrootcert=");
	} else {
		sb_saw(finding, SB_HEALTH_OK, "PostgreSQL %d, database %s, as %s", version / 10000,
		       PQdb(doctor->database), PQuser(doctor->database));
	}
}

/* ---- of this version ---- */

static int ask_version(PGconn *database, char **ret_why)
{
	PGresult *result = database ? sb_doctor_query(database, "SELECT slotbell.schema_version()",
						      0, NULL, ret_why)
				    : NULL;
	int version = result ? (int)strtol(PQgetvalue(result, 0, 0), NULL, 10) : 0;

	PQclear(result);
	return version;
}

static void judge_version(struct sb_doctor *doctor, struct sb_finding *finding, int version)
{
	doctor->schema_old = !sb_schema_version_fits(version);
	if (version == SB_SCHEMA_VERSION) {
		sb_saw(finding, SB_HEALTH_OK, "version %d", version);
		return;
	}
	if (!doctor->schema_old) {
		sb_saw(finding, SB_HEALTH_OK, "version %d, the next one after this program's",
		       version);
		return;
	}
	sb_saw(finding, SB_HEALTH_FAIL, "version %d, and this program is for %d", version,
	       SB_SCHEMA_VERSION);
	sb_advise(finding,
		  version < SB_SCHEMA_VERSION
			  ? "slotbellctl db upgrade, then restart what is older"
			  : "this program is older than the schema: install the newer one");
}

/* Numbers of one row, as an administrator sees them. False: one of the rights is lacking, which is
 * no finding here. */
static bool ask_two(PGconn *admin, const char *sql, int64_t ret_numbers[2])
{
	char *why = NULL;
	PGresult *result = sb_doctor_query(admin, sql, 0, NULL, &why);
	bool known = result && PQntuples(result) == 1;

	for (int i = 0; i < 2 && known; i++)
		ret_numbers[i] = strtoll(PQgetvalue(result, 0, i), NULL, 10);
	PQclear(result);
	free(why);
	return known;
}

void sb_check_content(struct sb_doctor *doctor, struct sb_finding *finding)
{
	int64_t numbers[2];

	if (!doctor->admin || finding->health != SB_HEALTH_OK ||
	    doctor->brief.admin_schema != SB_SCHEMA_VERSION)
		return;
	if (ask_two(doctor->admin,
		    "SELECT pg_catalog.count(*), pg_catalog.count(DISTINCT d.mailbox) FROM"
		    " slotbell.devices d WHERE d.acked OPERATOR(pg_catalog.>) d.head AND"
		    " d.revoked_at IS NULL",
		    numbers) &&
	    numbers[0] > 0) {
		sb_saw(finding, SB_HEALTH_FAIL,
		       "%" PRId64 " devices in %" PRId64 " mailboxes have acked more than was "
		       "ever published: an older state of the database came back",
		       numbers[0], numbers[1]);
		sb_advise(finding, "slotbellctl db new-epoch, or their next bookings are lost");
	} else if (ask_two(doctor->admin, "SELECT z.learnt, z.lost FROM slotbell.zone_news() z",
			   numbers) &&
		   (numbers[0] > 0 || numbers[1] > 0)) {
		sb_saw(finding, SB_HEALTH_WARN,
		       "version %d; PostgreSQL has learnt %" PRId64 " time zones and lost %" PRId64
		       " since slotbell.time_zone was renewed",
		       SB_SCHEMA_VERSION, numbers[0], numbers[1]);
		sb_advise(finding, "slotbellctl db upgrade");
	}
}

void sb_doctor_open_admin(struct sb_doctor *doctor, const char *url)
{
	char *why = NULL;

	doctor->brief.admin_said = url && *url;
	if (doctor->brief.admin_said)
		doctor->admin = sb_doctor_connect(url, NULL, false, &why);
	free(why);
	why = NULL;
	doctor->brief.admin_there = doctor->admin != NULL;
	doctor->brief.admin_schema = ask_version(doctor->admin, &why);
	free(why);
}

void sb_check_schema(struct sb_doctor *doctor, struct sb_finding *finding)
{
	char *why = NULL;
	PGresult *result;
	int version;

	if (!doctor->database) {
		sb_not_checked(finding, "database");
		return;
	}
	result = sb_doctor_query(doctor->database,
				 "SELECT pg_catalog.to_regnamespace('slotbell') IS NOT NULL", 0,
				 NULL, &why);
	doctor->schema_there = result && *PQgetvalue(result, 0, 0) == 't';
	PQclear(result);
	if (!doctor->schema_there) {
		sb_saw(finding, SB_HEALTH_FAIL, "%s",
		       why ? why : "there is no schema slotbell in this database");
		sb_advise(finding, "is this the database? slotbellctl db init makes the schema");
		free(why);
		return;
	}
	version = ask_version(doctor->database, &why);
	if (!version)
		version = doctor->brief.admin_schema;
	if (version)
		judge_version(doctor, finding, version);
	else
		sb_saw(finding, SB_HEALTH_NOT_CHECKED, "needs what fails below: rights");
	free(why);
}

/* ---- of the same time ---- */

/* How far its clock is ahead, give or take *ret_error_us; false with *ret_why. */
static bool compare_clocks(PGconn *database, int64_t *ret_ahead_us, int64_t *ret_error_us,
			   char **ret_why)
{
	*ret_error_us = INT64_MAX;
	for (int i = 0; i < CLOCK_LOOKS; i++) {
		int64_t before = sb_doctor_wall_us(), after, there;
		PGresult *result = sb_doctor_query(
			database,
			"SELECT (pg_catalog.date_part('epoch', pg_catalog.clock_timestamp())"
			" OPERATOR(pg_catalog.*) 1000000)::bigint",
			0, NULL, ret_why);

		if (!result)
			return false;
		after = sb_doctor_wall_us();
		there = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
		PQclear(result);
		if ((after - before) / 2 < *ret_error_us) {
			*ret_error_us = (after - before) / 2;
			*ret_ahead_us = there - (before + after) / 2;
		}
	}
	return true;
}

void sb_check_clock(struct sb_doctor *doctor, struct sb_finding *finding)
{
	int64_t ahead_us = 0, error_us, off_us;
	char *why = NULL;

	if (!doctor->database) {
		sb_not_checked(finding, "database");
		return;
	}
	if (!compare_clocks(doctor->database, &ahead_us, &error_us, &why)) {
		sb_saw(finding, SB_HEALTH_FAIL, "the database does not tell its time: %s", why);
		free(why);
		return;
	}
	off_us = llabs(ahead_us) - error_us;
	if (off_us > CLOCK_WARN_US)
		sb_saw(finding, off_us > CLOCK_FAIL_US ? SB_HEALTH_FAIL : SB_HEALTH_WARN,
		       "the database's is %.3f s %s this machine's, give or take %.3f s",
		       (double)llabs(ahead_us) / 1e6, ahead_us < 0 ? "behind" : "ahead of",
		       (double)error_us / 1e6);
	else
		sb_saw(finding, SB_HEALTH_OK,
		       "the database's and this machine's differ by %.3f s, give or take %.3f s",
		       (double)llabs(ahead_us) / 1e6, (double)error_us / 1e6);
	if (off_us > CLOCK_WARN_US)
		sb_advise(finding,
			  "look at both with timedatectl: one of them is not synchronised. "
			  "Latencies are wrong by as much, and certificates may seem over");
}
