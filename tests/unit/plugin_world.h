/*
 * A small world for plugin-stub/client.h: no socket, no disk, no clock.
 *
 * It writes down what the client does, in order, and a test compares:
 *
 *     world_say_booking(world, "k.42", "one");
 *     world_turn(world);
 *     assert_did(world, "write one 42; sync; save k.42; ack k.42");
 *
 * Cursors are texts.
 */
#ifndef SB_TEST_PLUGIN_WORLD_H
#define SB_TEST_PLUGIN_WORLD_H

#include "plugin-stub/client.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
/* cmocka.h wants those above before it */
#include <cmocka.h>

struct world {
	struct sb_client client;
	uint64_t now_ms;
	uint32_t random;	 /* what the jitter draws; UINT32_MAX, its far end, at first */
	char did[16384];	 /* since it was last asked */
	char told[16384];	 /* likewise: news but trouble */
	char trouble[4096];	 /* likewise: words for people */
	enum sb_written written; /* of the next writes */
	int write_err, sync_err, save_err; /* negative errno, for all until set to 0 */
	bool on_disk;			   /* something was saved */
	struct sb_progress disk;	   /* what a restart finds */
	uint32_t wait_ms;		   /* of the last `waiting` */
	bool for_user;			   /* likewise */
	int code;			   /* of the last `closed` */
};

/* A client that was started: its first connect is written down already. */
struct world *world_new(enum sb_mode mode);
/* The process ends without a word, and another one starts with what is on the disk. */
void world_restart(struct world *world, enum sb_mode mode);
void world_free(struct world *world);

/* The connection is there: hello is sent. */
void world_open(struct world *world);
/* The server says this. No turn of the loop ends with it. */
void world_say(struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
void world_say_welcome(struct world *world, const char *cursor);
void world_say_booking(struct world *world, const char *cursor, const char *uid);
void world_say_live(struct world *world, const char *cursor);
void world_say_acked(struct world *world, const char *cursor);
/* Opened, welcomed and live at this cursor; what was done until then is forgotten. */
void world_arrive(struct world *world, const char *cursor);

void world_turn(struct world *world);
/* Time goes by, with a turn whenever the client wants one. */
void world_pass(struct world *world, uint64_t ms);
/* The connection ends with this code and these words; then a turn. */
void world_gone(struct world *world, int code, const char *words);
/* The wait is over: the client connects and gets as far as hello. */
void world_come_back(struct world *world);

/* Compare, and forget. */
void assert_did(struct world *world, const char *expected);
void assert_told(struct world *world, const char *expected);
/* Words for people had this in them; NULL: there were none. Forgets them. */
void assert_trouble(struct world *world, const char *part);
void world_forget(struct world *world);

#endif
