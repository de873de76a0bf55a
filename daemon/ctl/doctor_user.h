/* Users, and the process that may be the daemon: what the kernel knows of them. */
#ifndef SB_CTL_DOCTOR_USER_H
#define SB_CTL_DOCTOR_USER_H

#include "daemon/ctl/control.h"
#include "daemon/ctl/shed.h"
#include "daemon/ops/credential.h"
#include <stdbool.h>

/* As whom the unit runs it, where it does not run and nobody is named. */
#define SB_USUAL_USER "slotbell"

/* As LoadCredential= of the unit has it, and where the manager finds it. */
#define SB_DOCTOR_CREDENTIAL_FILE "/etc/credstore/slotbell." SB_CREDENTIAL_PASSWORD

struct sb_user {
	struct sb_identity identity;
	char name[64];
};

/* False: there is none of that name. */
bool sb_user_by_name(const char *name, struct sb_user *ret_user);
void sb_user_by_id(uid_t uid, gid_t gid, struct sb_user *ret_user);

struct sb_suspect {
	bool known; /* it is one process, that process answered, and it is `user` all through */
	pid_t pid;
	struct sb_user user;
	int environment; /* open, and not read; -1: not to be had */
};

/*
 * Asks for its status, and looks at who answers. The answer's line is not read
 * here; to be freed. NULL: none came.
 */
char *sb_suspect_ask(struct sb_suspect *ret_suspect, struct sb_talk *talk);

#endif
