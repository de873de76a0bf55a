/*
 * The facade: three connections and their timers as one store. The third, the
 * sweep, has no say in whether the database is up.
 *
 *   both connected ──► proving ──► reconciling ──► up
 *
 * and back to down whenever either connection goes. See pg.h.
 */
#include "daemon/store/pg.h"
#include "daemon/base/log.h"
#include "daemon/core/hub.h"
#include "daemon/store/listener.h"
#include "daemon/store/parts.h"
#include "daemon/store/queries.h"
#include "daemon/store/sweep.h"
#include "daemon/store/url.h"
#include "daemon/store/words.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Texts of one outage that were told already, by their hashes; more than that are told again. */
#define TOLD_MAX 8

enum state { DOWN, PROVING, RECONCILING, UP };

struct sb_pg {
	struct sb_store store; /* first */
	uv_loop_t *loop;
	struct sb_hub *hub;
	struct sb_pg_config config;
	struct sb_pg_url *url;
	struct sb_pg_listener *listener;
	struct sb_pg_queries *queries;
	struct sb_pg_sweep *sweep;
	uv_timer_t reconcile_timer, lease_timer;
	enum state state;
	bool listening, ready; /* the listener's and the queries' half */
	struct sb_pg_counters counters;

	char problem[320];
	uint64_t told[TOLD_MAX];
	size_t told_count;

	unsigned int open_parts;
	void (*on_closed)(void *data);
	void *closed_data;
};

/* ---- problems ---- */

static uint64_t hash_of(const char *text)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */

	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
	return hash;
}

/* Says why the database is away: each text once per outage, for attempts come several a second. */
static void tell(struct sb_pg *pg, const char *text)
{
	uint64_t hash = hash_of(text);

	(void)snprintf(pg->problem, sizeof(pg->problem), "%s", text);
	for (size_t i = 0; i < pg->told_count && i < TOLD_MAX; i++) {
		if (pg->told[i] == hash)
			return;
	}
	pg->told[pg->told_count++ % TOLD_MAX] = hash;
	sb_log(SB_LOG_WARNING, "database problem", "reason=\"%s\"", text);
	if (pg->config.on_problem)
		pg->config.on_problem(pg->config.data, text);
}

/* ---- what the parts tell ---- */

struct sb_hub *sb_pg_hub(struct sb_pg *pg)
{
	return pg->hub;
}

const struct sb_pg_config *sb_pg_settings(const struct sb_pg *pg)
{
	return &pg->config;
}

struct sb_pg_counters *sb_pg_counting(struct sb_pg *pg)
{
	return &pg->counters;
}

static void fall(struct sb_pg *pg)
{
	bool was_up = pg->state == UP;

	pg->state = DOWN;
	if (!was_up)
		return;
	sb_log(SB_LOG_WARNING, "database down", "reason=\"%s\"", pg->problem);
	sb_hub_database(pg->hub, false);
}

/* Both halves are there: the one proves the other. */
static void prove(struct sb_pg *pg)
{
	char statement[96];

	if (!pg->listening || !pg->ready)
		return;
	pg->state = PROVING;
	sb_pg_listener_expect(pg->listener, statement, sizeof(statement));
	sb_pg_queries_send(pg->queries, statement);
}

void sb_pg_on_listening(struct sb_pg *pg)
{
	pg->listening = true;
	prove(pg);
}

void sb_pg_on_queries_ready(struct sb_pg *pg)
{
	pg->ready = true;
	prove(pg);
}

void sb_pg_on_proved(struct sb_pg *pg)
{
	if (pg->state != PROVING) {
		/* The listener's own, to itself: as good a time to ask the other. */
		sb_pg_queries_ping(pg->queries);
		return;
	}
	pg->state = RECONCILING;
	sb_pg_queries_reconcile_all(pg->queries);
}

void sb_pg_on_reconciled(struct sb_pg *pg)
{
	if (pg->state != RECONCILING)
		return;
	pg->state = UP;
	pg->problem[0] = '\0';
	pg->told_count = 0;
	pg->counters.ups++;
	sb_log(SB_LOG_NOTICE, "database up", "times=%llu", (unsigned long long)pg->counters.ups);
	sb_hub_database(pg->hub, true);
	sb_pg_queries_renew(pg->queries);
	sb_pg_sweep_start(pg->sweep);
	sb_pg_queries_ping(pg->queries);
}

void sb_pg_on_wake(struct sb_pg *pg, int64_t mailbox_id)
{
	sb_hub_look(pg->hub, mailbox_id);
}

void sb_pg_on_control(struct sb_pg *pg, int64_t device_id, int backend_pid)
{
	/* Of our own authenticate the hub has had the answer, or is about to. */
	if (backend_pid != sb_pg_queries_backend(pg->queries))
		sb_hub_recheck(pg->hub, device_id);
}

void sb_pg_on_listener_down(struct sb_pg *pg, const char *why)
{
	bool unproved = pg->state == PROVING && pg->ready;

	pg->listening = false;
	pg->counters.failed_attempts++;
	if (unproved && sb_pg_listener_proof_failed(pg->listener)) {
		/* Which of the two went astray cannot be known: both begin again at the first host.
		 */
		why = sb_pg_listener_is_pooled(pg->listener) ? SB_PG_WORDS_POOLED
							     : SB_PG_WORDS_SPLIT;
		sb_pg_queries_drop(pg->queries, why);
	}
	tell(pg, why);
	fall(pg);
}

void sb_pg_on_queries_down(struct sb_pg *pg, const char *why)
{
	pg->ready = false;
	pg->counters.failed_attempts++;
	tell(pg, why);
	fall(pg);
}

/* ---- what core asks ---- */

static struct sb_pg *of_store(struct sb_store *store)
{
	return (struct sb_pg *)store;
}

static int on_authenticate(struct sb_store *store, const struct sb_authenticate *question)
{
	return sb_pg_queries_authenticate(of_store(store)->queries, question);
}

static int on_fetch(struct sb_store *store, const struct sb_fetch *question)
{
	return sb_pg_queries_fetch(of_store(store)->queries, question);
}

static int on_save_ack(struct sb_store *store, const struct sb_save_ack *question)
{
	return sb_pg_queries_save_ack(of_store(store)->queries, question);
}

static int on_recheck(struct sb_store *store, int64_t device_id)
{
	return sb_pg_reconcile(of_store(store), device_id);
}

static int on_sent(struct sb_store *store, const struct sb_sent *news)
{
	return sb_pg_queries_sent(of_store(store)->queries, news);
}

static int on_presence(struct sb_store *store, const struct sb_presence *news)
{
	return sb_pg_queries_presence(of_store(store)->queries, news);
}

static const struct sb_store_ops store_ops = {
	.authenticate = on_authenticate,
	.fetch = on_fetch,
	.save_ack = on_save_ack,
	.recheck = on_recheck,
	.sent = on_sent,
	.presence = on_presence,
};

/* ---- for main ---- */

void sb_pg_config_defaults(struct sb_pg_config *config)
{
	*config = (struct sb_pg_config){
		.connect_ms = 3000,
		.backoff_min_ms = 100,
		.backoff_max_ms = 800,
		.ping_every_ms = 12000,
		.ping_deadline_ms = 5000,
		.reconcile_seconds = 60,
		.lock_timeout_ms = 500,
		.statement_timeout_ms = 5000,
		.max_authenticate = 500,
		.max_fetch = 200,
		.max_ack = 1000,
		.max_reconcile = 1000,
		.max_news = 1000,
		.max_waiting = 65536,
		.max_events = 32,
		.max_bytes = 256 * 1024,
		.lease_ms = 5000,
		.retention_days = 14,
		.receipts_days = 90,
		.stale_days = 90,
		.sweep_every_ms = 5000,
		.sweep_grace_seconds = 5,
		.sweep_max_mailboxes = 200,
		.sweep_max_rows = 1000,
	};
}

int sb_pg_url_check(const char *url, char *why, size_t size)
{
	struct sb_pg_url *parsed;
	int r = sb_pg_url_parse(url, &parsed, why, size);

	if (r == 0)
		sb_pg_url_free(parsed);
	return r;
}

static void on_reconcile_timer(uv_timer_t *timer)
{
	struct sb_pg *pg = timer->data;

	if (pg->state == UP)
		sb_pg_reconcile_all(pg);
}

static void on_lease_timer(uv_timer_t *timer)
{
	struct sb_pg *pg = timer->data;

	if (pg->state == UP)
		sb_pg_queries_renew(pg->queries);
}

static void on_part_closed(struct sb_pg *pg)
{
	void (*on_closed)(void *) = pg->on_closed;
	void *data = pg->closed_data;

	if (--pg->open_parts > 0)
		return;
	sb_pg_url_free(pg->url);
	free(pg);
	if (on_closed)
		on_closed(data);
}

static void on_timer_closed(uv_handle_t *handle)
{
	on_part_closed(handle->data);
}

struct sb_pg *sb_pg_new(uv_loop_t *loop, const struct sb_pg_config *config, struct sb_hub *hub)
{
	struct sb_pg *pg = calloc(1, sizeof(*pg));
	char why[128] = "";

	if (!pg)
		return NULL;
	pg->store.ops = &store_ops;
	pg->loop = loop;
	pg->hub = hub;
	pg->config = *config;
	if (sb_pg_url_parse(config->url, &pg->url, why, sizeof(why)) < 0) {
		free(pg);
		return NULL;
	}
	if (sb_pg_url_set_password(pg->url, config->password) < 0) {
		sb_pg_url_free(pg->url);
		free(pg);
		return NULL;
	}
	pg->config.url = pg->config.password = NULL; /* the caller's, and taken apart by now */
	(void)uv_timer_init(loop, &pg->reconcile_timer);
	(void)uv_timer_init(loop, &pg->lease_timer);
	pg->reconcile_timer.data = pg->lease_timer.data = pg;
	pg->listener = sb_pg_listener_new(loop, pg, pg->url);
	pg->queries = sb_pg_queries_new(loop, pg, pg->url);
	pg->sweep = sb_pg_sweep_new(loop, pg, pg->url);
	if (!pg->listener || !pg->queries || !pg->sweep) {
		sb_pg_close(pg, NULL, NULL);
		return NULL;
	}
	return pg;
}

void sb_pg_set_hub(struct sb_pg *pg, struct sb_hub *hub)
{
	pg->hub = hub;
}

struct sb_store *sb_pg_store(struct sb_pg *pg)
{
	return &pg->store;
}

void sb_pg_start(struct sb_pg *pg)
{
	const uint64_t every_ms = (uint64_t)pg->config.reconcile_seconds * 1000;

	(void)uv_timer_start(&pg->reconcile_timer, on_reconcile_timer, every_ms, every_ms);
	(void)uv_timer_start(&pg->lease_timer, on_lease_timer, pg->config.lease_ms,
			     pg->config.lease_ms);
	sb_pg_listener_start(pg->listener);
	sb_pg_queries_start(pg->queries);
}

bool sb_pg_is_up(const struct sb_pg *pg)
{
	return pg->state == UP;
}

const char *sb_pg_problem(const struct sb_pg *pg)
{
	return pg->problem;
}

int sb_pg_reconcile(struct sb_pg *pg, int64_t device_id)
{
	return sb_pg_queries_recheck(pg->queries, device_id);
}

void sb_pg_reconcile_all(struct sb_pg *pg)
{
	sb_pg_queries_reconcile_all(pg->queries);
}

size_t sb_pg_open_acks(const struct sb_pg *pg)
{
	return sb_pg_queries_open(pg->queries, SB_PG_KIND_ACK);
}

size_t sb_pg_open_news(const struct sb_pg *pg)
{
	return sb_pg_queries_open(pg->queries, SB_PG_KIND_SENT) +
	       sb_pg_queries_open(pg->queries, SB_PG_KIND_PRESENCE);
}

void sb_pg_flush_then(struct sb_pg *pg, void (*on_flushed)(void *data), void *data)
{
	sb_pg_queries_flush_then(pg->queries, on_flushed, data);
}

const struct sb_pg_counters *sb_pg_counters(const struct sb_pg *pg)
{
	return &pg->counters;
}

void sb_pg_close(struct sb_pg *pg, void (*on_closed)(void *data), void *data)
{
	if (!pg)
		return;
	pg->on_closed = on_closed;
	pg->closed_data = data;
	pg->open_parts = 2 + (pg->listener != NULL) + (pg->queries != NULL) + (pg->sweep != NULL);
	uv_close((uv_handle_t *)&pg->reconcile_timer, on_timer_closed);
	uv_close((uv_handle_t *)&pg->lease_timer, on_timer_closed);
	sb_pg_sweep_close(pg->sweep, on_part_closed);
	sb_pg_listener_close(pg->listener, on_part_closed);
	sb_pg_queries_close(pg->queries, on_part_closed);
}
