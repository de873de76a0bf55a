/*
 * Listening sockets that the service manager made and passes on: socket
 * activation, sd_listen_fds(3).
 *
 * They outlive the process. A connection that comes between two processes waits
 * in the kernel's queue and is served by the next, so nobody here ever calls
 * shutdown() on one, nor reads what is queued once a drain has begun.
 */
#ifndef SB_OPS_INHERITED_H
#define SB_OPS_INHERITED_H

#include <stddef.h>

/* FileDescriptorName= of the admin listener's socket; any other name is for plug-ins. */
#define SB_INHERITED_ADMIN "admin"

/* Descriptors, close-on-exec and non-blocking; 0: there is none. */
struct sb_inherited {
	int sessions; /* where plug-ins connect, instead of listen.address */
	int admin;    /* where monitoring looks, instead of listen.admin */
};

/*
 * Takes what was passed to this process, once: its children would not find it.
 * 0, or a negative errno with what is wrong, for an operator, in `why`.
 */
int sb_inherited_take(struct sb_inherited *ret_inherited, char *why, size_t size);

#endif
