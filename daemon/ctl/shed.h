/*
 * Giving rights up for good: for a process that is about to read what a less
 * trusted one wrote.
 */
#ifndef SB_CTL_SHED_H
#define SB_CTL_SHED_H

#include <stddef.h>
#include <sys/types.h>

#define SB_GROUPS_MAX 64

/* The ids of somebody who has no rights anywhere; they need no entry in any database of users. */
#define SB_NOBODY 65534

struct sb_identity {
	uid_t uid;
	gid_t gid;
	size_t group_count;
	gid_t groups[SB_GROUPS_MAX];
};

/*
 * The whole process has this identity from here on, in all of its ids, and none
 * but its groups. It has no capability, gets none from a program that it runs,
 * is not to be traced or read by other processes of that user, and does not see
 * the caller's session keyring. NULL: the ids stay; uid 0 then keeps its
 * capabilities too. 0 or a negative errno, and then the process must not go on.
 */
int sb_shed(const struct sb_identity *identity);

/*
 * The same for a process that only reads and prints: as SB_NOBODY where we are
 * root. It has no terminal to push words into, and ends with its parent.
 */
int sb_shed_to_print(pid_t parent);

#endif
