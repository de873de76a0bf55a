/*
 * Which way to a server: the websocket, else the stream, else long poll. Pure,
 * for transport_auto.
 *
 * Down a step only where HTTP is known to get through and this way fails all
 * the same, after that: a server that is away, or was a moment ago, is no
 * reason. Up again when a websocket was opened on trial.
 */
#ifndef SB_PLUGIN_CHOICE_H
#define SB_PLUGIN_CHOICE_H

#include <stdbool.h>
#include <stdint.h>

enum sb_way { SB_WAY_WEBSOCKET, SB_WAY_STREAM, SB_WAY_POLL, SB_WAY_COUNT };

/* As --transport has it: "websocket", "stream", "poll". */
const char *sb_way_word(enum sb_way way);
/* False when it is none of them; NULL is none. */
bool sb_way_parse(const char *word, enum sb_way *ret_way);

#define SB_CHOICE_CUTS	   3	 /* sessions in a row that were cut short */
#define SB_CHOICE_SHORT_MS 30000 /* shorter: not even the first heartbeat came */

struct sb_choice {
	enum sb_way way;
	enum sb_way below; /* where to go from the websocket */
	bool failed;	   /* the last one, without any word of the server's */
	bool through;	   /* HTTP got through since: one failure more, and it is the way's fault */
	int cuts;	   /* in a row */
};

/* How a connection went. */
struct sb_try {
	bool heard;    /* the server said something */
	bool welcomed; /* a session it was */
	bool by_us;    /* we ended it, and not for its silence */
	int code;      /* struct sb_gone's */
	uint64_t lasted_ms;
};

void sb_choice_init(struct sb_choice *choice, enum sb_way first);

/* Before the next connection: is GET /v1/reconnect to be asked whether HTTP gets through? */
bool sb_choice_must_ask(const struct sb_choice *choice);
/* What came of it. Through: the way is tried once more. Else the server is away, and all is as it
 * was. */
void sb_choice_on_asked(struct sb_choice *choice, bool through);

/* A connection has ended. True: the next is on another way, and may come at once. */
bool sb_choice_on_end(struct sb_choice *choice, const struct sb_try *tried);

/* On trial a websocket was opened, or it is time to try one: it is next, and one failure is enough
 * to leave it. */
void sb_choice_on_opened(struct sb_choice *choice);

#endif
