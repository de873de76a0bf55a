/*
 * The examiner's part of the session's check: the administrator's database. The
 * worker may have one canary enrolled, one booking made for it, and wait for its
 * delivery; each once, and it chooses nothing of it.
 */
#include "daemon/ctl/doctor.h"
#include "daemon/ctl/output.h"
#include "daemon/ctl/secret.h"
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Receipts are written in batches: there is nobody to wait for but the clock. */
#define LOOK_AGAIN_MS 50

enum { NOTHING, ENROLLED, PUBLISHED, WRITTEN };

/* The first value, to be freed; NULL: it failed, or there is none. */
static char *ask(PGconn *admin, char **ret_why, const char *sql, int count,
		 const char *const *values)
{
	PGresult *result = sb_doctor_query(admin, sql, count, values, ret_why);
	char *value = NULL;

	if (result && PQntuples(result) > 0 && !PQgetisnull(result, 0, 0)) {
		value = strdup(PQgetvalue(result, 0, 0));
		sb_need(value);
	}
	PQclear(result);
	return value;
}

/* ret_token: "" unless it went well. */
static void enrol(struct sb_canary *canary, PGconn *admin, char ret_token[SB_TOKEN_MAX + 1],
		  char **ret_why)
{
	struct sb_secret secret = {0};
	char *device = NULL;

	(void)snprintf(canary->mailbox, sizeof(canary->mailbox),
		       "canary-%" PRIx64 "@doctor.invalid", (uint64_t)sb_doctor_wall_us());
	canary->until_ms = sb_doctor_now_ms() + SB_DOCTOR_SESSION_MS;
	*ret_token = '\0';
	if (sb_secret_new(&secret) == 0)
		device = ask(
			admin, ret_why,
			"SELECT slotbell.enrol(mailbox => $1::text, label => 'slotbellctl doctor',"
			" expires_at => pg_catalog.now() OPERATOR(pg_catalog.+) interval '10 "
			"minutes', salt => $2::bytea, hash => $3::bytea)",
			3, (const char *const[]){canary->mailbox, secret.salt, secret.hash});
	if (device) {
		secret.token.device_id = strtoll(device, NULL, 10);
		(void)sb_token_format(&secret.token, ret_token);
		(void)snprintf(canary->device, sizeof(canary->device), "%s", device);
	}
	sb_token_wipe(&secret.token);
	free(device);
}

static bool publish(const struct sb_canary *canary, PGconn *admin, char **ret_why)
{
	char *event =
		ask(admin, ret_why,
		    "SELECT slotbell.publish(mailbox => $1::text, uid => '" SB_CANARY_UID "',"
		    " starts_at => pg_catalog.now() OPERATOR(pg_catalog.+) interval '1 day',"
		    " duration_minutes => 30, time_zone => 'UTC', subject => 'slotbellctl doctor')",
		    1, (const char *const[]){canary->mailbox});
	bool done = event != NULL;

	free(event);
	return done;
}

static bool is_written(const struct sb_canary *canary, PGconn *admin, char **ret_why)
{
	char *state = ask(admin, ret_why,
			  "SELECT state FROM slotbell.delivery WHERE mailbox = $1::text AND device "
			  "= $2::bigint",
			  2, (const char *const[]){canary->mailbox, canary->device});
	bool written = state && strcmp(state, "written") == 0;

	free(state);
	return written;
}

static bool wait_written(const struct sb_canary *canary, PGconn *admin, char **ret_why)
{
	while (!is_written(canary, admin, ret_why)) {
		if (*ret_why || sb_doctor_now_ms() > canary->until_ms)
			return false;
		(void)poll(NULL, 0, LOOK_AGAIN_MS);
	}
	return true;
}

/* "+" and the canary's, or "-" and why. */
static bool answer(const struct sb_worker *worker, char word, bool done, const char *rest,
		   int64_t deadline)
{
	char *message;
	bool sent;

	sb_need(asprintf(&message, "%s%s", done ? "+" : "-", rest ? rest : "") >= 0);
	sent = sb_channel_send(&worker->channel, word, message, strlen(message), deadline);
	explicit_bzero(message, strlen(message)); /* there may be the canary's token in it */
	free(message);
	return sent;
}

bool sb_canary_serve(struct sb_canary *canary, PGconn *admin, const struct sb_worker *worker,
		     char word, int64_t deadline_ms)
{
	static const char order[] = {SB_WORD_ENROL, SB_WORD_PUBLISH, SB_WORD_WRITTEN};
	char token[SB_TOKEN_MAX + 1] = "", enrolled[sizeof(canary->device) + sizeof(token) + 1];
	char *why = NULL;
	bool done = false, sent;

	if (!admin || canary->asked >= WRITTEN || word != order[canary->asked] ||
	    (canary->asked > NOTHING && !*canary->device))
		return false;
	canary->asked++;
	if (word == SB_WORD_ENROL) {
		enrol(canary, admin, token, &why);
		done = *canary->device;
	} else {
		done = word == SB_WORD_PUBLISH ? publish(canary, admin, &why)
					       : wait_written(canary, admin, &why);
	}
	(void)snprintf(enrolled, sizeof(enrolled), "%s %s", canary->device, token);
	sent = answer(worker, word, done, done && *token ? enrolled : why, deadline_ms);
	explicit_bzero(token, sizeof(token));
	explicit_bzero(enrolled, sizeof(enrolled));
	free(why);
	return sent;
}

void sb_canary_forget(const struct sb_canary *canary, PGconn *admin, struct sb_finding *finding)
{
	char *why = NULL, *gone;

	if (!*canary->device)
		return;
	/* What a visit left, this one's or an old one's. */
	gone = ask(admin, &why, "SELECT slotbell.forget_canaries($1::text)", 1,
		   (const char *const[]){canary->mailbox});
	if (!gone) {
		sb_saw(finding, SB_HEALTH_FAIL, "the canary could not be taken away: %s",
		       why ? why : "no answer");
		sb_advise(finding, "slotbellctl device revoke %s", canary->device);
	}
	free(gone);
	free(why);
}
