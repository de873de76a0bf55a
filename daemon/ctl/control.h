/*
 * Talking to a running slotbelld over its control socket.
 *
 * A daemon may have been taken over. So its answers are read, parsed and
 * printed by a process that has given its rights up (shed.h); and which process
 * it is, the kernel tells and not the answer.
 */
#ifndef SB_CTL_CONTROL_H
#define SB_CTL_CONTROL_H

#include "daemon/ctl/ctl.h"
#include <jansson.h>
#include <sys/socket.h>

#define SB_CONTROL_SOCKET	   "/run/slotbell/control.sock"
#define SB_INSTANCE_CONTROL_SOCKET "/run/slotbell/%s/control.sock"

/* A connection, for as many questions as there are. */
struct sb_talk {
	int fd; /* -1: closed */
	char path[sizeof(SB_INSTANCE_CONTROL_SOCKET) + SB_INSTANCE_MAX + 128];
	int patience_ms;   /* for the whole of an answer */
	struct ucred peer; /* who listens there, by SO_PEERCRED */
};

/* False: *ret_why, to be freed. To be closed in any case. */
bool sb_talk_open(const struct sb_ctl *ctl, struct sb_talk *talk, char **ret_why);
void sb_talk_close(struct sb_talk *talk);

/*
 * The answer's line as it came, to be freed, its length bounded; NULL: none came
 * in time. ret_sender, unless NULL: who wrote it, as the kernel has it; pid 0
 * where it was more than one process.
 */
char *sb_talk_ask(struct sb_talk *talk, const char *question, struct ucred *ret_sender);

/* What a line says, to be freed by json_decref(); NULL with *ret_why, to be freed: it is a refusal,
 * no answer of slotbelld's, or NULL. */
json_t *sb_talk_understand(const struct sb_talk *talk, const char *line, char **ret_why);

/*
 * What a command does with the daemon: asks, and prints. It runs in a process of
 * its own that can do nothing else. `data` is only a copy there.
 */
typedef enum sb_exit sb_control_work(struct sb_ctl *ctl, struct sb_talk *talk, void *data);

/* Does it, and says why not if it cannot be done. Returns ctl->status. */
enum sb_exit sb_control_do(struct sb_ctl *ctl, sb_control_work *work, void *data);

/*
 * For such a work: asks {"command": …} (steals it) and returns the answer, the
 * caller's to json_decref(). NULL: it refused, and why is said; leave with
 * ctl->status.
 */
json_t *sb_control_ask(struct sb_ctl *ctl, struct sb_talk *talk, json_t *question);

#endif
