/* Compares two clocks: CLOCK_MONOTONIC stands still while the machine sleeps, the wall clock does
 * not. Used by app. */
#include "plugin-stub/jump.h"

bool sb_jump_look(struct sb_jump *jump, int64_t wall_ms, int64_t monotonic_ms)
{
	int64_t ahead_ms = wall_ms - monotonic_ms;
	int64_t change_ms = ahead_ms - jump->ahead_ms;
	bool jumped = jump->begun && (change_ms > SB_JUMP_MS || change_ms < -SB_JUMP_MS);

	jump->begun = true;
	jump->ahead_ms = ahead_ms;
	return jumped;
}
