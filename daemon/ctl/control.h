/* Talking to a running slotbelld over its control socket. */
#ifndef SB_CTL_CONTROL_H
#define SB_CTL_CONTROL_H

#include "daemon/ctl/ctl.h"
#include <jansson.h>

#define SB_CONTROL_SOCKET	   "/run/slotbell/control.sock"
#define SB_INSTANCE_CONTROL_SOCKET "/run/slotbell/%s/control.sock"

/*
 * Asks {"command": …} (steals it) and returns the answer, the caller's to
 * json_decref(). NULL: it could not be asked or refused, and why is said;
 * leave with ctl->status.
 */
json_t *sb_control_ask(struct sb_ctl *ctl, json_t *question);

/* The same, but silent: NULL with *ret_why, which must be freed. */
json_t *sb_control_try(const struct sb_ctl *ctl, json_t *question, char **ret_why);

#endif
