/*
 * The control socket: operators' commands for the running daemon, over a unix
 * socket that owner and group may connect to.
 *
 * A request is a JSON object on a line, {"command": NAME, …}, and so is its
 * answer: {"ok": true, …} or {"ok": false, "error": "…"}. What commands there
 * are is up to whoever opens the socket.
 */
#ifndef SB_OPS_CONTROL_H
#define SB_OPS_CONTROL_H

#include "daemon/ops/requests.h"
#include <jansson.h>

struct sb_control_command {
	const char *name;
	/*
	 * `arguments` is the whole request, borrowed until return. Exactly one of
	 * the two answers below must follow, now or later.
	 */
	void (*run)(void *data, struct sb_request *request, const json_t *arguments);
};

struct sb_control;

/* `commands` end with one whose name is NULL, and are borrowed. 0 or a negative errno. */
int sb_control_open(uv_loop_t *loop, const char *path, const struct sb_control_command *commands,
		    void *data, struct sb_control **ret_control);

/* Steals `answer`, an object, and adds "ok". NULL is "out of memory". */
void sb_control_answer(struct sb_request *request, json_t *answer);
void sb_control_refuse(struct sb_request *request, const char *error);

/* See sb_requests_close(). */
void sb_control_close(struct sb_control *control, void (*on_closed)(void *data), void *data);

#endif
