/*
 * What a process of ours does first: its memory holds tokens, bookings and
 * passwords, and they are nobody else's.
 */
#ifndef SB_PROTOCOL_PROCESS_H
#define SB_PROTOCOL_PROCESS_H

/*
 * From here on another process of the same user cannot read our memory or our
 * environment (ptrace, /proc/PID/mem, /proc/PID/environ), and a crash writes no
 * core file. Root still can. /proc/self stays ours to read, but for files that
 * only their owner may open: they are root's. exec() undoes it.
 *
 * In every build: sanitizers' look for leaks lifts it for the moment that it needs.
 */
void sb_process_hide(void);

#endif
