/* LISTEN, hear, prove, again. See listener.h. */
#include "daemon/store/listener.h"
#include "daemon/base/log.h"
#include "daemon/store/first.h"
#include "daemon/store/link.h"
#include "daemon/store/parts.h"
#include "daemon/store/words.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define WAKE	"slotbell_wake"
#define CONTROL "slotbell_control"

struct sb_pg_listener {
	struct sb_pg_link_user user; /* first */
	struct sb_pg *pg;
	struct sb_pg_link *link;
	uv_timer_t timer; /* the next ping, or a ping's deadline */
	bool listening;
	bool pooled;
	bool pinging;	   /* the deadline runs */
	bool proof_failed; /* it passed */
	char channel[48];
	char nonce[17]; /* what the awaited notification says; "": none awaited */
	void (*on_closed)(struct sb_pg *pg);
};

static void on_timer(uv_timer_t *timer);

static struct sb_pg_listener *of_user(struct sb_pg_link_user *user)
{
	return (struct sb_pg_listener *)user;
}

/* ---- proofs ---- */

void sb_pg_listener_expect(struct sb_pg_listener *listener, char *ret_statement, size_t size)
{
	uint64_t random;

	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != (ssize_t)sizeof(random))
		random = uv_hrtime();
	(void)snprintf(listener->nonce, sizeof(listener->nonce), "%016" PRIx64, random);
	(void)snprintf(ret_statement, size, "NOTIFY %s, '%s'", listener->channel, listener->nonce);
	listener->pinging = true;
	sb_pg_counting(listener->pg)->pings++;
	(void)uv_timer_start(&listener->timer, on_timer,
			     sb_pg_settings(listener->pg)->ping_deadline_ms, 0);
}

static void proved(struct sb_pg_listener *listener)
{
	listener->nonce[0] = '\0';
	listener->pinging = false;
	(void)uv_timer_start(&listener->timer, on_timer,
			     sb_pg_settings(listener->pg)->ping_every_ms, 0);
	sb_pg_on_proved(listener->pg);
}

static void ping(struct sb_pg_listener *listener)
{
	char statement[96];

	sb_pg_listener_expect(listener, statement, sizeof(statement));
	if (PQsendQuery(sb_pg_link_conn(listener->link), statement) != 1)
		sb_pg_link_drop(listener->link, "cannot send the proof of LISTEN");
	sb_pg_link_flush(listener->link);
}

static void on_timer(uv_timer_t *timer)
{
	struct sb_pg_listener *listener = timer->data;

	if (!listener->pinging) {
		ping(listener);
		return;
	}
	sb_pg_counting(listener->pg)->lost_pings++;
	listener->proof_failed = true;
	sb_pg_link_drop(listener->link,
			"a notification that should prove LISTEN did not come back");
}

/* ---- the link's calls ---- */

static void on_connected(struct sb_pg_link_user *user)
{
	struct sb_pg_listener *listener = of_user(user);
	PGconn *conn = sb_pg_link_conn(listener->link);
	char sql[512];

	(void)snprintf(listener->channel, sizeof(listener->channel), "slotbell_ping_%d",
		       PQbackendPID(conn));
	/*
	 * One implicit transaction: the last result comes when LISTEN is
	 * committed. A server that closes idle sessions must not close this one.
	 */
	(void)snprintf(sql, sizeof(sql),
		       SB_PG_FIRST
		       "; "
		       "SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.pg_backend_pid(); "
		       "SELECT pg_catalog.set_config(s.name, '0', false) "
		       "FROM pg_catalog.pg_settings s WHERE s.name = 'idle_session_timeout'; "
		       "LISTEN " WAKE "; LISTEN " CONTROL "; LISTEN %s",
		       listener->channel);
	if (PQsendQuery(conn, sql) != 1)
		sb_pg_link_drop(listener->link, PQerrorMessage(conn));
	sb_pg_link_flush(listener->link);
}

static void check_server(struct sb_pg_listener *listener, const PGresult *result)
{
	PGconn *conn = sb_pg_link_conn(listener->link);

	if (PQnfields(result) != 2 || PQntuples(result) != 1)
		return;
	if (PQgetvalue(result, 0, 0)[0] == 't')
		sb_pg_link_drop(listener->link, SB_PG_WORDS_STANDBY);
	listener->pooled = sb_pg_text_int(result, 0, 1) != PQbackendPID(conn);
}

static void on_result(struct sb_pg_link_user *user, PGresult *result)
{
	struct sb_pg_listener *listener = of_user(user);
	char words[256];

	if (!result) {
		if (!listener->listening) {
			listener->listening = true;
			sb_pg_link_established(listener->link);
			sb_pg_on_listening(listener->pg);
		}
		return;
	}
	switch (PQresultStatus(result)) {
	case PGRES_TUPLES_OK:
		check_server(listener, result);
		break;
	case PGRES_COMMAND_OK:
		break;
	default:
		sb_pg_words(words, sizeof(words), sb_pg_link_conn(listener->link), result);
		sb_pg_link_drop(listener->link, words);
	}
	PQclear(result);
}

/* Only digits that fit are an id. 0, or -EINVAL. */
static int parse_id(const char *text, int64_t *ret_id)
{
	char *end;

	if (text[0] < '1' || text[0] > '9')
		return -EINVAL;
	errno = 0;
	*ret_id = strtoll(text, &end, 10);
	return errno == 0 && *end == '\0' ? 0 : -EINVAL;
}

static void on_notify(struct sb_pg_link_user *user, const PGnotify *notify)
{
	struct sb_pg_listener *listener = of_user(user);
	struct sb_pg_counters *counters = sb_pg_counting(listener->pg);
	int64_t id;

	if (strcmp(notify->relname, listener->channel) == 0) {
		if (listener->nonce[0] && strcmp(notify->extra, listener->nonce) == 0)
			proved(listener);
		return;
	}
	counters->notifications++;
	if (parse_id(notify->extra, &id) < 0)
		counters->bad_notifications++;
	else if (strcmp(notify->relname, WAKE) == 0)
		sb_pg_on_wake(listener->pg, id);
	else
		sb_pg_on_control(listener->pg, id, notify->be_pid);
}

static void on_down(struct sb_pg_link_user *user, const char *why)
{
	struct sb_pg_listener *listener = of_user(user);

	listener->listening = false;
	listener->pinging = false;
	listener->nonce[0] = '\0';
	(void)uv_timer_stop(&listener->timer);
	sb_pg_on_listener_down(listener->pg, why);
	listener->proof_failed = false;
}

static const struct sb_pg_link_ops link_ops = {
	.on_connected = on_connected,
	.on_result = on_result,
	.on_notify = on_notify,
	.on_down = on_down,
};

/* ---- life ---- */

struct sb_pg_listener *sb_pg_listener_new(uv_loop_t *loop, struct sb_pg *pg,
					  const struct sb_pg_url *url)
{
	const struct sb_pg_config *config = sb_pg_settings(pg);
	const struct sb_pg_link_timing timing = {config->connect_ms, config->backoff_min_ms,
						 config->backoff_max_ms};
	struct sb_pg_listener *listener = calloc(1, sizeof(*listener));

	if (!listener)
		return NULL;
	listener->user.ops = &link_ops;
	listener->pg = pg;
	listener->link = sb_pg_link_new(loop, url, &timing, &listener->user);
	if (!listener->link) {
		free(listener);
		return NULL;
	}
	(void)uv_timer_init(loop, &listener->timer);
	listener->timer.data = listener;
	return listener;
}

void sb_pg_listener_start(struct sb_pg_listener *listener)
{
	sb_pg_link_start(listener->link);
}

bool sb_pg_listener_proof_failed(const struct sb_pg_listener *listener)
{
	return listener->proof_failed;
}

bool sb_pg_listener_is_pooled(const struct sb_pg_listener *listener)
{
	return listener->pooled;
}

static void on_timer_closed(uv_handle_t *handle)
{
	struct sb_pg_listener *listener = handle->data;
	struct sb_pg *pg = listener->pg;
	void (*on_closed)(struct sb_pg *) = listener->on_closed;

	free(listener);
	on_closed(pg);
}

static void on_link_closed(struct sb_pg_link_user *user)
{
	uv_close((uv_handle_t *)&of_user(user)->timer, on_timer_closed);
}

void sb_pg_listener_close(struct sb_pg_listener *listener, void (*on_closed)(struct sb_pg *pg))
{
	if (!listener)
		return;
	listener->on_closed = on_closed;
	(void)uv_timer_stop(&listener->timer);
	sb_pg_link_close(listener->link, on_link_closed);
}
