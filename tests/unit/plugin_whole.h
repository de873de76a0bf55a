/*
 * The whole plug-in but for its socket: client, calendar and state as they are,
 * against five events of a server that remembers what was acked.
 *
 *     1 created a   2 created b   3 updated a   4 cancelled b   5 one without a start
 */
#ifndef SB_TEST_PLUGIN_WHOLE_H
#define SB_TEST_PLUGIN_WHOLE_H

#include <stdbool.h>
#include <stdint.h>

#define WHOLE_HEAD 5

/* What the server knows; in memory that a process and its children share. */
struct server {
	int64_t acked;
	bool failure_known; /* that 5 could not be written */
	bool done;	    /* the plug-in left as one that has all */
};
struct server *server_new(void);
void server_free(struct server *server);

/* One process's life, in mode once: calendar, state and connections, until it ends. */
void whole_run(const char *folder, struct server *server);

/* What was acked is in the calendar, and what is there is whole. */
void whole_check(const char *folder, const struct server *server);
/* Besides, all five arrived, once. */
void whole_check_done(const char *folder, const struct server *server);

#endif
