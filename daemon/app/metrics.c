/*
 * What monitoring sees: the parts' counters, put into words. docs/operating.md
 * has the table of them, and a test holds the two together.
 */
#include "daemon/app/app_private.h"
#include "daemon/base/log.h"
#include "daemon/core/roster.h"
#include "daemon/edge/tls/identity.h"
#include "daemon/edge/tls/setup.h"
#include "daemon/ops/admin.h"
#include "daemon/ops/journal.h"
#include "protocol/reason.h"
#include "protocol/version.h"
#include <stddef.h>
#include <stdio.h>

/* ---- sessions ---- */

static void tell_sessions(struct sb_metrics *m, const struct sb_hub *hub,
			  const struct sb_hub_stats *stats)
{
	sb_metrics_gauge(m, "slotbell_sessions", "Sessions there are, by state.");
	for (enum sb_session_state i = 0; i < SB_SESSION_STATE_COUNT; i++)
		sb_metrics_count(m, "state", sb_session_state_word(i), stats->states[i]);
	sb_metrics_gauge(m, "slotbell_sessions_slow",
			 "Sessions with a full window: their clients lag with acks.");
	sb_metrics_count(m, NULL, NULL, sb_hub_count_slow(hub));
	sb_metrics_gauge(m, "slotbell_mailboxes", "Mailboxes that have sessions here.");
	sb_metrics_count(m, NULL, NULL, stats->mailboxes);
	sb_metrics_counter(m, "slotbell_sessions_opened", "Sessions that began, hello or not.");
	sb_metrics_count(m, NULL, NULL, stats->sessions_total);
	sb_metrics_counter(m, "slotbell_closes", "Sessions that ended, by reason.");
	for (enum sb_reason i = 0; i < SB_REASON_COUNT; i++)
		sb_metrics_count(m, "reason", sb_reason_word(i), stats->closes[i]);
}

static void tell_events(struct sb_metrics *m, const struct sb_hub_stats *stats)
{
	sb_metrics_counter(m, "slotbell_events_sent", "Bookings sent, by transport.");
	for (enum sb_transport i = 0; i < SB_TRANSPORT_COUNT; i++)
		sb_metrics_count(m, "transport", sb_transport_word(i), stats->events_sent[i]);
	sb_metrics_counter(m, "slotbell_acks_saved", "Acks that the database has.");
	sb_metrics_count(m, NULL, NULL, stats->acks_saved);
	sb_metrics_histogram(m, "slotbell_catch_up_events",
			     "Bookings that waited for a session when it began.");
	sb_metrics_buckets(m, NULL, NULL, sb_catch_up_bounds, SB_CATCH_UP_BUCKETS, stats->catch_ups,
			   stats->catch_up_events, 1);
	sb_metrics_latency(m, "slotbell_commit_to_sent_seconds",
			   "From a booking's commit until it is sent, to live sessions.",
			   &stats->commit_to_sent);
	sb_metrics_latency(m, "slotbell_commit_to_acked_seconds",
			   "From a booking's commit until its ack is saved, by live sessions; of "
			   "each one booking at a time.",
			   &stats->commit_to_acked);
}

/* ---- connections ---- */

static void tell_connections(struct sb_metrics *m, const struct sb_server_stats *stats)
{
	sb_metrics_gauge(m, "slotbell_connections", "Connections there are, of any kind.");
	sb_metrics_count(m, NULL, NULL, stats->connections);
	sb_metrics_gauge(m, "slotbell_handshakes_in_progress",
			 "Connections that hold a place among the handshakes.");
	sb_metrics_count(m, NULL, NULL, stats->opening);
	sb_metrics_counter(m, "slotbell_handshakes", "TLS handshakes, by how they ended.");
	for (enum sb_handshake i = 0; i < SB_HANDSHAKE_COUNT; i++)
		sb_metrics_count(m, "kind", sb_handshake_word(i), stats->handshakes[i]);
}

static void tell_kept(struct sb_metrics *m, const struct sb_server_stats *stats)
{
	sb_metrics_gauge(m, "slotbell_connections_kept",
			 "Connections of plain HTTP that are kept for their next request.");
	sb_metrics_count(m, NULL, NULL, stats->kept);
	sb_metrics_counter(m, "slotbell_requests_kept",
			   "Requests of plain HTTP that came by a connection that was kept.");
	sb_metrics_count(m, NULL, NULL, stats->requests_kept);
}

static void tell_door(struct sb_metrics *m, const struct sb_door_stats *stats)
{
	sb_metrics_gauge(m, "slotbell_handshakes_waiting",
			 "Connections that are accepted and wait until a place is free.");
	sb_metrics_count(m, NULL, NULL, stats->queued);
	sb_metrics_gauge(m, "slotbell_addresses", "Addresses that have connections.");
	sb_metrics_count(m, NULL, NULL, stats->addresses);
	sb_metrics_counter(m, "slotbell_accepted", "Connections that were accepted.");
	sb_metrics_count(m, NULL, NULL, stats->accepted);
	sb_metrics_counter(m, "slotbell_refusals", "Connections that were turned away, by reason.");
	for (enum sb_turned_away i = 0; i < SB_TURNED_AWAY_COUNT; i++)
		sb_metrics_count(m, "reason", sb_turned_away_word(i), stats->turned_away[i]);
	sb_metrics_counter(m, "slotbell_tokens_refused", "Tokens that were bad, revoked or over.");
	sb_metrics_count(m, NULL, NULL, stats->tokens_refused);
	sb_metrics_counter(m, "slotbell_tokens_held",
			   "Of them, those answered late, for their address guessed too often.");
	sb_metrics_count(m, NULL, NULL, stats->tokens_held);
}

/* ---- the database ---- */

static void tell_by_query(struct sb_metrics *m, const struct sb_pg_counters *counters,
			  const char *name, const char *help, size_t offset)
{
	sb_metrics_counter(m, name, help);
	for (enum sb_pg_kind i = 0; i < SB_PG_KIND_COUNT; i++) {
		const char *of_kind = (const char *)&counters->kinds[i];

		sb_metrics_count(m, "query", sb_pg_kind_word(i),
				 *(const uint64_t *)(const void *)(of_kind + offset));
	}
}

static void tell_store(struct sb_metrics *m, const struct sb_pg_counters *counters)
{
	tell_by_query(m, counters, "slotbell_store_asked", "Questions to the database.",
		      offsetof(struct sb_pg_kind_counters, asked));
	tell_by_query(m, counters, "slotbell_store_failed",
		      "Questions that got no answer: their session was sent away.",
		      offsetof(struct sb_pg_kind_counters, failed));
	tell_by_query(m, counters, "slotbell_store_errors",
		      "Statements that failed on a living connection.",
		      offsetof(struct sb_pg_kind_counters, errors));
	sb_metrics_histogram(m, "slotbell_store_batch_size", "Questions in one statement.");
	for (enum sb_pg_kind i = 0; i < SB_PG_KIND_COUNT; i++)
		sb_metrics_buckets(m, "query", sb_pg_kind_word(i), sb_pg_size_bounds, SB_PG_BUCKETS,
				   counters->kinds[i].sizes, counters->kinds[i].items, 1);
	sb_metrics_histogram(m, "slotbell_store_seconds",
			     "From a statement's sending to its answer.");
	for (enum sb_pg_kind i = 0; i < SB_PG_KIND_COUNT; i++)
		sb_metrics_buckets(m, "query", sb_pg_kind_word(i), sb_pg_seconds_bounds,
				   SB_PG_BUCKETS, counters->kinds[i].seconds,
				   counters->kinds[i].busy_us, 1e-6);
}

static void tell_sweep(struct sb_metrics *m, const struct sb_pg_counters *counters)
{
	sb_metrics_gauge(m, "slotbell_sweeping", "1 if this instance is the one that sweeps.");
	sb_metrics_count(m, NULL, NULL, counters->sweeping);
	sb_metrics_counter(m, "slotbell_sweeps", "Statements of the sweep.");
	sb_metrics_count(m, NULL, NULL, counters->sweeps);
	sb_metrics_counter(m, "slotbell_swept", "What the sweep deleted, or found stale.");
	for (enum sb_pg_swept i = 0; i < SB_PG_SWEPT_COUNT; i++)
		sb_metrics_count(m, "what", sb_pg_swept_word(i), counters->swept[i]);
}

static void tell_database(struct sb_metrics *m, const struct sb_pg *pg)
{
	const struct sb_pg_counters *counters = sb_pg_counters(pg);

	sb_metrics_gauge(m, "slotbell_database_up", "1 while LISTEN and statements work.");
	sb_metrics_count(m, NULL, NULL, sb_pg_is_up(pg));
	sb_metrics_counter(m, "slotbell_database_ups", "Times that the database came up.");
	sb_metrics_count(m, NULL, NULL, counters->ups);
	sb_metrics_counter(m, "slotbell_database_failed_attempts",
			   "Connections to the database that were not made, or were lost.");
	sb_metrics_count(m, NULL, NULL, counters->failed_attempts);
	sb_metrics_counter(m, "slotbell_notifications", "Notifications heard.");
	sb_metrics_count(m, NULL, NULL, counters->notifications);
	sb_metrics_counter(
		m, "slotbell_notifications_bad",
		"Of them, those that are none of ours: somebody plays with the channel.");
	sb_metrics_count(m, NULL, NULL, counters->bad_notifications);
	sb_metrics_counter(m, "slotbell_listen_proofs", "Proofs of LISTEN that were asked for.");
	sb_metrics_count(m, NULL, NULL, counters->pings);
	sb_metrics_counter(m, "slotbell_listen_proofs_lost",
			   "Of them, those that did not come: LISTEN was dead.");
	sb_metrics_count(m, NULL, NULL, counters->lost_pings);
	sb_metrics_gauge(m, "slotbell_notify_queue_usage",
			 "How full PostgreSQL's queue of notifications is; at 1 commits fail.");
	sb_metrics_value(m, NULL, NULL, counters->notify_queue_usage);
	sb_metrics_gauge(m, "slotbell_acks_unsaved", "Acks that wait for the database.");
	sb_metrics_count(m, NULL, NULL, sb_pg_open_acks(pg));
	tell_store(m, counters);
	tell_sweep(m, counters);
}

/* ---- the daemon ---- */

static void tell_limits(struct sb_metrics *m, const struct sb_config *config)
{
	const struct {
		const char *key;
		uint32_t value;
	} limits[] = {
		{"listen.keep_alive_seconds", config->listen_keep_alive_seconds},
		{"sessions.max", config->sessions_max},
		{"sessions.window", config->sessions_window},
		{"sessions.hello_seconds", config->sessions_hello_seconds},
		{"sessions.stalled_seconds", config->sessions_stalled_seconds},
		{"sessions.handshakes", config->sessions_handshakes},
		{"sessions.unauthenticated_per_address",
		 config->sessions_unauthenticated_per_address},
		{"sessions.per_address", config->sessions_per_address},
		{"sessions.addresses", config->sessions_addresses},
		{"sessions.bad_tokens_per_minute", config->sessions_bad_tokens_per_minute},
		{"sessions.return_per_second", config->sessions_return_per_second},
	};

	sb_metrics_gauge(m, "slotbell_limit", "Limits in force, by their key.");
	for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++)
		sb_metrics_count(m, "key", limits[i].key, limits[i].value);
}

static void tell_log(struct sb_metrics *m)
{
	sb_metrics_counter(m, "slotbell_log_lines_dropped",
			   "Lines of the log that were not written, by why.");
	sb_metrics_count(m, "reason", "flood", sb_log_suppressed());
	sb_metrics_count(m, "reason", "journal", sb_journal_lost());
}

static void tell_daemon(struct sb_metrics *m, const struct sb_app *app)
{
	const struct sb_config *config = &app->settings->config;
	int64_t not_before, not_after;

	sb_metrics_gauge(m, "slotbell_build_info", "1, with the version.");
	sb_metrics_count(m, "version", SB_VERSION, 1);
	sb_metrics_gauge(m, "slotbell_draining", "1 once it is told to end.");
	sb_metrics_count(m, NULL, NULL, app->drain_until_ms != 0);
	sb_metrics_counter(m, "slotbell_reloads", "Reloads, by what came of them.");
	sb_metrics_count(m, "result", "taken", app->reload.taken);
	sb_metrics_count(m, "result", "refused", app->reload.refused);
	sb_tls_identity_validity(app->settings->identity, &not_before, &not_after);
	sb_metrics_gauge(m, "slotbell_certificate_expires_seconds",
			 "Until when the certificate is good, Unix time.");
	sb_metrics_count(m, NULL, NULL, (uint64_t)not_after);
	tell_limits(m, config);
	tell_log(m);
}

static void on_metrics(void *data, struct sb_metrics *metrics)
{
	const struct sb_app *app = data;
	struct sb_hub_stats hub;
	struct sb_server_stats server;
	struct sb_door_stats door;

	sb_hub_get_stats(app->hub, &hub);
	sb_server_get_stats(app->server, &server);
	sb_server_get_door_stats(app->server, &door);
	tell_daemon(metrics, app);
	tell_sessions(metrics, app->hub, &hub);
	tell_events(metrics, &hub);
	tell_connections(metrics, &server);
	tell_kept(metrics, &server);
	tell_door(metrics, &door);
	tell_database(metrics, app->pg);
	sb_metrics_process(metrics, (double)app->started_us / 1e6);
}

static bool on_ready(void *data, char *ret_why, size_t size)
{
	const struct sb_app *app = data;

	if (app->drain_until_ms)
		(void)snprintf(ret_why, size, "draining");
	else if (!sb_pg_is_up(app->pg))
		(void)snprintf(ret_why, size, "the database is away: %s", sb_pg_problem(app->pg));
	return !*ret_why;
}

const struct sb_admin_pages sb_app_pages = {.metrics = on_metrics, .is_ready = on_ready};
