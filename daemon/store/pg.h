/*
 * The store: PostgreSQL behind core's struct sb_store.
 *
 * Words: a *question* is one item that core asks; a *batch* is the questions
 * of one kind that share a statement; *up* means that both connections are
 * made, LISTEN is committed and proved, and everything held was reconciled.
 *
 * The proof at each connect is a notification sent by the query connection
 * that must reach the listener: it can only arrive when both talk to the same
 * database of the same living server and no pooler hands connections around.
 * That is why nothing here compares system identifiers.
 *
 * Everything is called from the loop's thread. Answers come from the loop,
 * never from inside a call of these functions.
 */
#ifndef SB_STORE_PG_H
#define SB_STORE_PG_H

#include "daemon/core/store.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct sb_hub;
struct sb_pg;

struct sb_pg_config {
	const char *url;      /* copied */
	const char *password; /* copied; for a URL that has none. NULL: none */
	/* One attempt, from its first packet until set up. */
	uint32_t connect_ms;
	/* Between attempts, full jitter. */
	uint32_t backoff_min_ms, backoff_max_ms;
	/* The listener proves itself this often, within this deadline. */
	uint32_t ping_every_ms, ping_deadline_ms;
	uint32_t reconcile_seconds;
	/* Of the server, for each statement; ours is ping_deadline_ms more. */
	uint32_t lock_timeout_ms, statement_timeout_ms;
	/* Questions in one statement, and those waiting per kind: beyond, -ENOMEM. */
	size_t max_authenticate, max_fetch, max_ack, max_reconcile, max_news;
	size_t max_waiting;
	/* Per mailbox and fetch. */
	int max_events, max_bytes;
	/* The lease under which this daemon's sessions are on is renewed this often, and is three
	 * times as long. */
	uint32_t lease_ms;
	/* What is kept for how long, see sweep.h. */
	uint32_t retention_days, receipts_days, stale_days;
	/* Between two rounds of the sweep; an event is at least so old when it goes. */
	uint32_t sweep_every_ms, sweep_grace_seconds;
	/* In one of its statements: mailboxes looked at, rows of each table deleted. */
	int sweep_max_mailboxes, sweep_max_rows;
	/*
	 * Why the database cannot be used, in a sentence for its operator; each
	 * text once per outage. May be NULL; the log has it anyway.
	 */
	void (*on_problem)(void *data, const char *text);
	void *data;
};

/* Everything but url, password and on_problem. */
void sb_pg_config_defaults(struct sb_pg_config *config);

/*
 * For --check-config: 0; -EINVAL with what is wrong with the URL in `why`, as
 * the end of a sentence that begins with the key's name and never quoting the
 * URL; or -ENOMEM.
 */
int sb_pg_url_check(const char *url, char *why, size_t size);

/* `hub` may be NULL until sb_pg_set_hub(). NULL: out of memory, or a URL that sb_pg_url_check()
 * refuses. */
struct sb_pg *sb_pg_new(uv_loop_t *loop, const struct sb_pg_config *config, struct sb_hub *hub);
void sb_pg_set_hub(struct sb_pg *pg, struct sb_hub *hub);
/* What the hub asks. Lives as long as `pg`. */
struct sb_store *sb_pg_store(struct sb_pg *pg);

/* Begins to connect; the hub must be set. sb_hub_database(hub, true) says when it is up. */
void sb_pg_start(struct sb_pg *pg);
bool sb_pg_is_up(const struct sb_pg *pg);
/* The newest problem in words, for STATUS= and the like; "" while up. Borrowed until the next turn.
 */
const char *sb_pg_problem(const struct sb_pg *pg);

/* As struct sb_store_ops' recheck: one question of the next reconcile. 0 or -ENOMEM. */
int sb_pg_reconcile(struct sb_pg *pg, int64_t device_id);
/* Asks for every device that the hub holds, a chunk at a time. Does so by itself every
 * reconcile_seconds. */
void sb_pg_reconcile_all(struct sb_pg *pg);

/* Acks asked and not yet answered. */
size_t sb_pg_open_acks(const struct sb_pg *pg);
/* News of sessions told and not yet in the database. */
size_t sb_pg_open_news(const struct sb_pg *pg);
/*
 * Calls once, in a later turn, when no ack is open. Never while the database is
 * away: the caller has a timer of its own. NULL takes an earlier wish back.
 */
void sb_pg_flush_then(struct sb_pg *pg, void (*on_flushed)(void *data), void *data);

/*
 * Ends both connections and frees `pg`; open questions get no answer. Nothing
 * of `hub` is touched any more. `on_closed` comes in a later turn. Accepts
 * NULL: on_closed is not called then.
 */
void sb_pg_close(struct sb_pg *pg, void (*on_closed)(void *data), void *data);

/* ---- for metrics ---- */

#define SB_PG_KINDS(X)                  \
	X(AUTHENTICATE, "authenticate") \
	X(FETCH, "fetch")               \
	X(ACK, "ack")                   \
	X(RECONCILE, "reconcile")       \
	X(SENT, "sent")                 \
	X(PRESENCE, "presence")

enum sb_pg_kind {
#define SB_PG_KIND_ENUM(name, word) SB_PG_KIND_##name,
	SB_PG_KINDS(SB_PG_KIND_ENUM)
#undef SB_PG_KIND_ENUM
		SB_PG_KIND_COUNT
};

const char *sb_pg_kind_word(enum sb_pg_kind kind);

/* Upper bounds of the histograms' buckets; one more bucket is for what lies above. */
#define SB_PG_BUCKETS 10
extern const uint32_t sb_pg_size_bounds[SB_PG_BUCKETS];	   /* questions per statement */
extern const uint32_t sb_pg_seconds_bounds[SB_PG_BUCKETS]; /* in microseconds */

struct sb_pg_kind_counters {
	uint64_t asked;			     /* questions */
	uint64_t answered;		     /* with an answer */
	uint64_t failed;		     /* with a failure */
	uint64_t statements;		     /* sent, repeated ones included */
	uint64_t items;			     /* questions in them */
	uint64_t errors;		     /* statements that failed on a living connection */
	uint64_t busy_us;		     /* from sent to answered, summed */
	uint64_t sizes[SB_PG_BUCKETS + 1];   /* statements by size; not cumulative */
	uint64_t seconds[SB_PG_BUCKETS + 1]; /* statements by time; not cumulative */
};

/* What a sweep counts: the columns of slotbell.sweep_step(), in order. */
#define SB_PG_SWEPTS(X)         \
	X(EVENTS, "events")     \
	X(EXPIRED, "expired")   \
	X(BOOKINGS, "bookings") \
	X(RECEIPTS, "receipts") \
	X(STALE, "stale")       \
	X(REMOVED, "removed")

enum sb_pg_swept {
#define SB_PG_SWEPT_ENUM(name, word) SB_PG_SWEPT_##name,
	SB_PG_SWEPTS(SB_PG_SWEPT_ENUM)
#undef SB_PG_SWEPT_ENUM
		SB_PG_SWEPT_COUNT
};

const char *sb_pg_swept_word(enum sb_pg_swept what);

struct sb_pg_counters {
	struct sb_pg_kind_counters kinds[SB_PG_KIND_COUNT];
	uint64_t notifications;	    /* wakes and controls heard */
	uint64_t bad_notifications; /* whose payload is no id: somebody plays with the channel */
	uint64_t pings, lost_pings; /* the listener's proofs */
	uint64_t failed_attempts;   /* connections not made or lost, both links */
	uint64_t ups;		    /* times the database came up; minus one: reconnects */
	uint64_t sweeps;	    /* statements of the sweep */
	uint64_t swept[SB_PG_SWEPT_COUNT]; /* what they deleted, or found stale */
	bool sweeping;			   /* this daemon is the one that sweeps */
	double notify_queue_usage; /* of the whole cluster, 0 to 1: at 1 every commit that rings
				      fails */
};

const struct sb_pg_counters *sb_pg_counters(const struct sb_pg *pg);

#endif
