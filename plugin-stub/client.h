/*
 * A plug-in's side of slotbell.v1: states, order of work, when to come back.
 *
 * Pure: no socket, no disk, no clock. What happens comes in by the calls
 * below, with the time; what is to be done goes out through one table, so the
 * unit tests play whole failure stories in virtual time.
 *
 * The order of work, once per turn of the loop for all bookings that came in
 * it: write the appointments, save cursor and unconfirmed failures, ack.
 *
 * Words: *unconfirmed* - reported as failed, and no `acked` has covered it
 * yet; *settle* - the three steps above for what is pending; *trouble* -
 * something for a person's eyes.
 */
#ifndef SB_PLUGIN_CLIENT_H
#define SB_PLUGIN_CLIENT_H

#include "plugin-stub/calendar.h"
#include "plugin-stub/state.h"
#include "protocol/backoff.h"
#include "protocol/message.h"
#include <stdbool.h>
#include <stdint.h>

/* Bookings that share one flush of the calendar's folder. */
#define SB_CLIENT_BATCH_MAX 64

/* A new epoch's first number is further ahead than this of all that were given before
 * (docs/protocol.md, Guarantees). */
#define SB_CLIENT_EPOCH_JUMP 1000000

/* How long for, in milliseconds. */
#define SB_CLIENT_WELCOME_MS	20000	/* from the first packet to welcome */
#define SB_CLIENT_PONG_MS	10000	/* from our ping to any word */
#define SB_CLIENT_LEAVE_MS	2000	/* for the last acked when told to stop */
#define SB_CLIENT_LINGER_MS	2000	/* mode once: for the server's close */
#define SB_CLIENT_HINT_MAX_MS	3600000 /* the longest wait that a server may ask for */
#define SB_CLIENT_PACE_MS	100	/* between connections, once a server wants more */
#define SB_CLIENT_ONCE_STILL_MS 30000	/* mode once: without anything that brings us on */

/* Connections in a row that may follow each other faster than SB_CLIENT_PACE_MS. */
#define SB_CLIENT_QUICK_MAX 8

/* Mode once gives up after so many connections in a row. Mode live never does. */
#define SB_CLIENT_ONCE_TRIES 5 /* that came to nothing */
#define SB_CLIENT_DISK_TRIES 3 /* that the disk ended */

enum sb_news_kind {
	SB_NEWS_CONNECTING,
	SB_NEWS_WELCOME,
	SB_NEWS_WRITTEN,
	SB_NEWS_FAILED,
	SB_NEWS_ACKED,
	SB_NEWS_LIVE,
	SB_NEWS_RESET,
	SB_NEWS_GOODBYE,
	SB_NEWS_CLOSED,
	SB_NEWS_WAITING,
	SB_NEWS_BYE,
	SB_NEWS_TROUBLE, /* words for people only */
};

/* Something that happened, for whoever watches. All of it is borrowed until return. */
struct sb_news {
	enum sb_news_kind kind;
	const struct sb_server_message
		*message;		/* welcome, written, failed, acked, live, reset, goodbye */
	const char *file;		/* written */
	bool repeat;			/* written */
	enum sb_failure_reason failure; /* failed */
	int code;			/* closed */
	const char *words;		/* closed, failed, trouble */
	bool for_user;			/* waiting: until sb_client_nudge(), however long */
	uint32_t wait_ms;		/* waiting, else */
};

/*
 * What the client asks of its world. None of these calls back into the client:
 * results come later, in a turn of their own.
 */
struct sb_client_ops {
	/* One try; sb_client_on_open() or sb_client_on_gone() follows. */
	void (*connect)(void *world);
	/* Queues one message; borrows it until return. */
	void (*send)(void *world, const struct sb_client_message *message);
	/* Sends what is queued and a close; sb_client_on_gone() follows, within seconds whatever
	 * the peer does. */
	void (*close)(void *world, int code);
	/* Lets the connection fall; sb_client_on_gone() follows. */
	void (*drop)(void *world);
	/* sb_calendar_write(), sb_calendar_sync() and sb_state_save(). */
	int (*write)(void *world, const struct sb_server_message *event,
		     enum sb_written *ret_written, char ret_file[PATH_MAX]);
	int (*sync)(void *world);
	int (*save)(void *world, const struct sb_progress *progress);
	void (*tell)(void *world, const struct sb_news *news);
	/* Uniform over all of uint32_t. */
	uint32_t (*random)(void *world);
};

enum sb_client_state {
	SB_CLIENT_IDLE,	      /* not started */
	SB_CLIENT_CONNECTING, /* connect() is under way */
	SB_CLIENT_GREETING,   /* hello is sent, welcome awaited */
	SB_CLIENT_IN_SESSION, /* welcomed */
	SB_CLIENT_CLOSING,    /* closed or dropped by us; on_gone awaited */
	SB_CLIENT_WAITING,    /* for its time to come back */
	SB_CLIENT_REPLACED,   /* for its user: another session of the device took over */
	SB_CLIENT_ENDED,
};

/* A booking that is in the calendar (or never will be) and not yet acked. */
struct sb_client_pending {
	struct sb_server_message message; /* owned */
	enum sb_written written;
	char *file; /* owned */
};

struct sb_client {
	const struct sb_client_ops *ops;
	void *world;
	enum sb_mode mode;
	char token[SB_TOKEN_MAX + 1]; /* for hello; "" when a header carries it */
	enum sb_client_state state;
	struct sb_backoff backoff;
	struct sb_progress progress; /* as saved, but for `sent` */
	bool progress_dirty;	     /* failures were confirmed since it was saved */

	/* This connection. */
	bool welcomed;
	bool live;
	bool ack_due;  /* progress is ahead of what was acked, or there are failures to resend */
	bool ack_open; /* an ack was sent that no acked has covered */
	struct sb_cursor ack_sent;
	/* The last event or reset of this session, or where it started. */
	struct sb_cursor seen;
	bool epoch_open; /* the server goes on in another epoch than ours; a reset may follow */
	bool has_hint;	 /* the server said when to come back */
	uint32_t hint_ms;
	int goodbye_code;	      /* what its goodbye announced; 0: none */
	uint64_t heartbeat_ms;	      /* 0: none */
	uint64_t heard_ms, pinged_ms; /* pinged_ms 0: no ping is out */
	uint64_t began_ms;	      /* when connect() was asked for */
	uint64_t moved_ms;	      /* when anything last came that is not just a sign of life */
	uint64_t deadline_ms; /* greeting, waiting, leaving or lingering end then; 0: never */
	size_t pending_count;
	struct sb_client_pending pending[SB_CLIENT_BATCH_MAX];

	/* Across connections. */
	bool stopping;	   /* told to stop */
	bool done;	   /* mode once: caught up and confirmed */
	bool hurry;	   /* come back at once: the clock jumped */
	bool disk_trouble; /* this connection ended for the disk's sake */
	int disk_failures; /* such connections in a row */
	int quick;	   /* comebacks in a row that a server wanted at once */
	int tries;	   /* connections in a row that confirmed nothing */
	int exit_code;	   /* once ENDED */
};

/*
 * `token`: for hello, "" when a header carries it; copied, cut at SB_TOKEN_MAX.
 * `progress` is what the state file said, copied. Keeps `ops` and `world`.
 */
void sb_client_init(struct sb_client *client, const struct sb_client_ops *ops, void *world,
		    enum sb_mode mode, const char *token, const struct sb_progress *progress);
void sb_client_fini(struct sb_client *client);

/* All times are monotonic milliseconds, of any origin but above 0. */
void sb_client_start(struct sb_client *client, uint64_t now_ms);
void sb_client_on_open(struct sb_client *client, uint64_t now_ms);
void sb_client_on_message(struct sb_client *client, const char *bytes, size_t len, uint64_t now_ms);

/* The connection is no more. */
struct sb_gone {
	int code;	   /* the close code, 1006 when there was none */
	const char *words; /* why, for a person; may be "" */
	bool has_hint;	   /* Retry-After of an HTTP answer (RFC 9110 section 10.2.3) */
	uint32_t hint_ms;
};
void sb_client_on_gone(struct sb_client *client, const struct sb_gone *gone, uint64_t now_ms);

/* The end of a turn of the loop, or sb_client_deadline() has come: settle, ack, ping, give up, come
 * back. */
void sb_client_turn(struct sb_client *client, uint64_t now_ms);

/* When the next turn is wanted at the latest; 0: only when something happens. */
uint64_t sb_client_deadline(const struct sb_client *client);

/* Finish the writing, wait for the last acked for a short while, say 1001 and end. Safe to repeat.
 */
void sb_client_stop(struct sb_client *client, uint64_t now_ms);

/* The machine slept or its clock was set: the connection is probably dead, and waiting was long
 * enough. */
void sb_client_on_jump(struct sb_client *client, uint64_t now_ms);

/* The user wants us back now: ends every waiting, and asks the server of a session that is up
 * whether it is still there. */
void sb_client_nudge(struct sb_client *client, uint64_t now_ms);

#endif
