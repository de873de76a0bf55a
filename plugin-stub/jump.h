/*
 * Has the wall clock jumped? After a sleep of the machine the connection is
 * dead, and nothing tells us but the time.
 */
#ifndef SB_PLUGIN_JUMP_H
#define SB_PLUGIN_JUMP_H

#include <stdbool.h>
#include <stdint.h>

#define SB_JUMP_MS 5000 /* clocks apart by more than this within one look */

struct sb_jump {
	bool begun;
	int64_t ahead_ms; /* the wall's lead over the monotonic clock */
};

/* Takes both clocks in milliseconds, every second or so. True when they went apart since the last
 * look. */
bool sb_jump_look(struct sb_jump *jump, int64_t wall_ms, int64_t monotonic_ms);

#endif
