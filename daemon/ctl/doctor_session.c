/*
 * A real session, end to end: a canary is enrolled, connects as a plug-in
 * does, a booking is committed for it, arrives, is acked and is known to be
 * delivered. Afterwards nothing of it is left; should this process be killed
 * in between, the next one takes it away.
 */
#include "daemon/ctl/doctor.h"
#include "daemon/ctl/output.h"
#include "daemon/ctl/secret.h"
#include "daemon/ctl/websocket.h"
#include "protocol/message.h"
#include "protocol/version.h"
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Several steps, each of which a daemon that catches up after an outage may be slow at. */
#define SESSION_MS (3 * SB_DOCTOR_MS)

/* Receipts are written in batches: there is nobody to wait for but the clock. */
#define LOOK_AGAIN_MS 50

#define UID "doctor@slotbell"

/* One visit, and how far it came. */
struct visit {
	struct sb_doctor *doctor;
	struct sb_wire wire;
	char mailbox[64];
	char device[24];
	char token[SB_TOKEN_MAX + 1];
	struct sb_cursor cursor; /* of the booking */
	int64_t until_ms;	 /* by then it is over */
	int64_t sent_ms, arrived_ms, acked_ms;
	const char *step; /* what was being done, for who reads that it failed */
	char *why;	  /* the database's; else wire.why */
};

/* ---- the database's part ---- */

/* The first value, to be freed; NULL: it failed, or there is none. */
static char *ask(struct visit *visit, const char *sql, int count, const char *const *values)
{
	PGresult *result = sb_doctor_query(visit->doctor->admin, sql, count, values, &visit->why);
	char *value = NULL;

	if (result && PQntuples(result) > 0 && !PQgetisnull(result, 0, 0)) {
		value = strdup(PQgetvalue(result, 0, 0));
		sb_need(value);
	}
	PQclear(result);
	return value;
}

static bool enrol(struct visit *visit)
{
	struct sb_secret secret = {0};
	char *device = NULL;

	visit->step = "to enrol a canary";
	if (sb_secret_new(&secret) == 0)
		device = ask(
			visit,
			"SELECT slotbell.enrol(mailbox => $1::text, label => 'slotbellctl doctor',"
			" expires_at => pg_catalog.now() OPERATOR(pg_catalog.+) interval '10 "
			"minutes', salt => $2::bytea, hash => $3::bytea)",
			3, (const char *const[]){visit->mailbox, secret.salt, secret.hash});
	if (device) {
		secret.token.device_id = strtoll(device, NULL, 10);
		(void)sb_token_format(&secret.token, visit->token);
		(void)snprintf(visit->device, sizeof(visit->device), "%s", device);
	}
	sb_token_wipe(&secret.token);
	free(device);
	return *visit->device;
}

static bool publish(struct visit *visit)
{
	char *event;

	visit->step = "to book for it";
	event = ask(visit,
		    "SELECT slotbell.publish(mailbox => $1::text, uid => '" UID "',"
		    " starts_at => pg_catalog.now() OPERATOR(pg_catalog.+) interval '1 day',"
		    " duration_minutes => 30, time_zone => 'UTC', subject => 'slotbellctl doctor')",
		    1, (const char *const[]){visit->mailbox});
	visit->sent_ms = sb_doctor_now_ms();
	free(event);
	return event != NULL;
}

static bool is_delivered(struct visit *visit)
{
	char *state =
		ask(visit,
		    "SELECT state FROM slotbell.delivery WHERE mailbox = $1::text AND device = "
		    "$2::bigint",
		    2, (const char *const[]){visit->mailbox, visit->device});
	bool written = state && strcmp(state, "written") == 0;

	free(state);
	return written;
}

static bool wait_delivered(struct visit *visit)
{
	visit->step = "to see it in slotbell.delivery as written";
	while (!is_delivered(visit)) {
		if (visit->why || sb_doctor_now_ms() > visit->until_ms)
			return false;
		(void)poll(NULL, 0, LOOK_AGAIN_MS);
	}
	return true;
}

/* What a visit left, this one's or an old one's. */
static bool forget(struct visit *visit)
{
	char *gone;

	visit->step = "to take the canary away";
	gone = ask(visit, "SELECT slotbell.forget_canaries($1::text)", 1,
		   (const char *const[]){visit->mailbox});
	free(gone);
	return gone != NULL;
}

/* ---- the plug-in's part ---- */

static bool say(struct visit *visit, const struct sb_client_message *message)
{
	struct sb_text text;
	bool sent;

	sb_text_init(&text);
	sb_client_message_encode(&text, message);
	sb_need(!sb_text_failed(&text));
	sent = sb_websocket_send(&visit->wire, text.data, text.len);
	explicit_bzero(text.data, text.len); /* a hello has the token */
	sb_text_fini(&text);
	return sent;
}

/* Until a message of this type; of what comes before only a refusal counts. */
static bool hear(struct visit *visit, enum sb_server_type type, struct sb_cursor *ret_cursor)
{
	for (;;) {
		struct sb_server_message message = {0};
		struct sb_refusal refusal;
		size_t len;
		char *text = sb_websocket_receive(&visit->wire, &len);
		int result = text ? sb_server_message_decode(text, len, &message, &refusal) : 0;
		enum sb_server_type heard = message.type;

		free(text);
		if (!text)
			return false;
		if (result != 0)
			(void)snprintf(visit->wire.why, sizeof(visit->wire.why), "%s",
				       refusal.detail);
		else if (heard == SB_SERVER_GOODBYE || heard == SB_SERVER_ERROR)
			(void)snprintf(visit->wire.why, sizeof(visit->wire.why), "it says %s %s",
				       message.word, message.detail);
		*ret_cursor = message.cursor;
		sb_server_message_fini(&message);
		if (result != 0 || heard == SB_SERVER_GOODBYE || heard == SB_SERVER_ERROR)
			return false;
		if (heard == type)
			return true;
	}
}

static bool connect_in(struct visit *visit)
{
	const char *name = visit->doctor->name;

	visit->step = "to connect by TLS";
	if (!sb_doctor_reach(visit->doctor, &visit->wire, visit->until_ms) ||
	    !sb_wire_tls(&visit->wire, name))
		return false;
	visit->step = "to upgrade to a websocket";
	return sb_websocket_open(&visit->wire, name ? name : "localhost", "/v1/session",
				 SB_SUBPROTOCOL);
}

static bool say_hello(struct visit *visit)
{
	struct sb_client_message message = {.type = SB_CLIENT_HELLO,
					    .hello = {.has_token = true,
						      .client_name = "slotbellctl doctor",
						      .client_version = SB_VERSION}};
	struct sb_cursor start;
	bool sent;

	visit->step = "to be welcomed with a good token";
	memcpy(message.hello.token, visit->token, sizeof(message.hello.token));
	sent = say(visit, &message);
	explicit_bzero(&message, sizeof(message));
	if (!sent || !hear(visit, SB_SERVER_WELCOME, &start))
		return false;
	visit->step = "to be told that the session is live";
	return hear(visit, SB_SERVER_LIVE, &start);
}

static bool take_booking(struct visit *visit)
{
	struct sb_client_message message = {.type = SB_CLIENT_ACK};
	struct sb_cursor saved;

	visit->step = "to get the booking";
	if (!hear(visit, SB_SERVER_BOOKING, &visit->cursor))
		return false;
	visit->arrived_ms = sb_doctor_now_ms();
	visit->step = "to have the ack saved";
	message.ack.cursor = visit->cursor;
	if (!say(visit, &message) || !hear(visit, SB_SERVER_ACKED, &saved))
		return false;
	visit->acked_ms = sb_doctor_now_ms();
	return true;
}

/* ---- the whole ---- */

static void tell_failure(struct sb_finding *finding, const struct visit *visit)
{
	const char *why = visit->why && *visit->why ? visit->why
			  : *visit->wire.why	    ? visit->wire.why
						    : "in vain";

	sb_saw(finding, SB_HEALTH_FAIL, "it waited %s: %s", visit->step, why);
	sb_advise(finding,
		  "what failed above may be why. Else the log has this session: journalctl "
		  "-u slotbelld SLOTBELL_DEVICE=%s",
		  *visit->device ? visit->device : "…");
}

static void make_visit(struct sb_doctor *doctor, struct sb_finding *finding)
{
	struct visit visit = {
		.doctor = doctor, .wire = {.fd = -1}, .until_ms = sb_doctor_now_ms() + SESSION_MS};
	bool done;

	(void)snprintf(visit.mailbox, sizeof(visit.mailbox), "canary-%" PRIx64 "@doctor.invalid",
		       (uint64_t)sb_doctor_wall_us());
	done = enrol(&visit) && connect_in(&visit) && say_hello(&visit) && publish(&visit) &&
	       take_booking(&visit) && wait_delivered(&visit);
	if (done)
		sb_saw(finding, SB_HEALTH_OK,
		       "a canary's booking arrived after %" PRId64 " ms, and its ack was saved "
		       "after %" PRId64 " ms",
		       visit.arrived_ms - visit.sent_ms, visit.acked_ms - visit.sent_ms);
	else
		tell_failure(finding, &visit);
	sb_websocket_bye(&visit.wire);
	sb_wire_close(&visit.wire);
	free(visit.why);
	visit.why = NULL;
	if (*visit.device && !forget(&visit)) {
		sb_saw(finding, SB_HEALTH_FAIL, "the canary could not be taken away: %s",
		       visit.why ? visit.why : "no answer");
		sb_advise(finding, "slotbellctl device revoke %s", visit.device);
	}
	free(visit.why);
	explicit_bzero(visit.token, sizeof(visit.token));
}

void sb_check_session(struct sb_doctor *doctor, struct sb_finding *finding)
{
	const char *database = doctor->ctl->database;

	if (!doctor->port_answers) {
		sb_not_checked(finding, "port");
	} else if (doctor->schema_old) {
		sb_not_checked(finding, "schema");
	} else if (doctor->rights_lack) {
		sb_not_checked(finding, "rights");
	} else if (!database || !*database) {
		sb_saw(finding, SB_HEALTH_NOT_CHECKED,
		       "no database URL was said, of a role that may enrol a canary");
		sb_advise(finding, "--database URL, of a role that has slotbell_admin");
	} else if (!doctor->admin) {
		sb_not_checked(finding, "database (--database URL does not connect)");
	} else {
		make_visit(doctor, finding);
	}
}
