/*
 * A real session, end to end: a canary is enrolled, connects as a plug-in
 * does, a booking is committed for it, arrives, is acked and is known to be
 * delivered. Afterwards nothing of it is left; should the examiner be killed
 * in between, the next one takes it away.
 */
#include "daemon/ctl/doctor.h"
#include "daemon/ctl/output.h"
#include "daemon/ctl/websocket.h"
#include "protocol/message.h"
#include "protocol/version.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One visit, and how far it came. */
struct visit {
	struct sb_doctor *doctor;
	struct sb_wire wire;
	char device[24];
	char token[SB_TOKEN_MAX + 1];
	struct sb_cursor cursor; /* of the booking */
	int64_t until_ms;	 /* by then it is over */
	int64_t sent_ms, arrived_ms, acked_ms;
	const char *step; /* what was being done, for who reads that it failed */
	char *why;	  /* the database's; else wire.why */
};

/* ---- the examiner's part: it has the database (doctor_canary.c) ---- */

/* What it answers, to be freed; NULL: it could not, and `why` says why. */
static char *ask_examiner(struct visit *visit, char word)
{
	int64_t until_ms = visit->until_ms + 2 * SB_DOCTOR_MS;
	char heard = 0, *answer = NULL;
	size_t len = 0;

	if (sb_channel_send(&visit->doctor->channel, word, "", 0, until_ms))
		answer = sb_channel_receive(&visit->doctor->channel, SB_WORD_MAX, &heard, &len,
					    until_ms);
	if (!answer || heard != word || len == 0)
		_exit(SB_EXIT_FAILED); /* it has gone */
	if (*answer == '+')
		return memmove(answer, answer + 1, len);
	visit->why = memmove(answer, answer + 1, len);
	return NULL;
}

static bool tell_examiner(struct visit *visit, char word)
{
	char *answer = ask_examiner(visit, word);
	bool done = answer != NULL;

	free(answer);
	return done;
}

static bool enrol(struct visit *visit)
{
	char *answer, *space;

	visit->step = "to enrol a canary";
	answer = ask_examiner(visit, SB_WORD_ENROL);
	space = answer ? strchr(answer, ' ') : NULL;
	if (space) {
		*space++ = '\0';
		(void)snprintf(visit->device, sizeof(visit->device), "%.20s", answer);
		(void)snprintf(visit->token, sizeof(visit->token), "%s", space);
		explicit_bzero(space, strlen(space));
	}
	free(answer);
	return *visit->device;
}

static bool publish(struct visit *visit)
{
	bool done;

	visit->step = "to book for it";
	done = tell_examiner(visit, SB_WORD_PUBLISH);
	visit->sent_ms = sb_doctor_now_ms();
	return done;
}

static bool wait_delivered(struct visit *visit)
{
	visit->step = "to see it in slotbell.delivery as written";
	return tell_examiner(visit, SB_WORD_WRITTEN);
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
		if (result == -EBADMSG)
			result = 0; /* one event that a plug-in reports: the session goes on */
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
	const char *name = sb_doctor_paper(visit->doctor, SB_PAPER_NAME);

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
	struct visit visit = {.doctor = doctor,
			      .wire = {.fd = -1},
			      .until_ms = sb_doctor_now_ms() + SB_DOCTOR_SESSION_MS};
	bool done;

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
	explicit_bzero(visit.token, sizeof(visit.token));
}

void sb_check_session(struct sb_doctor *doctor, struct sb_finding *finding)
{
	if (!doctor->port_answers) {
		sb_not_checked(finding, "port");
	} else if (doctor->schema_old) {
		sb_not_checked(finding, "schema");
	} else if (doctor->rights_lack) {
		sb_not_checked(finding, "rights");
	} else if (!doctor->brief.admin_said) {
		sb_saw(finding, SB_HEALTH_NOT_CHECKED,
		       "no database URL was said, of a role that may enrol a canary");
		sb_advise(finding, "--database URL, of a role that has slotbell_admin");
	} else if (!doctor->brief.admin_there) {
		sb_not_checked(finding, "database (--database URL does not connect)");
	} else {
		make_visit(doctor, finding);
	}
}
