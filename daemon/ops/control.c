/* JSON in, the command found, JSON out; see control.h. */
#include "daemon/ops/control.h"
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An operator may type at it, with a pause. */
#define PATIENCE_MS 60000
#define MODE	    0660

struct sb_control {
	struct sb_requests *requests;
	const struct sb_control_command *commands;
	void *data;
	void (*on_closed)(void *data);
	void *closed_data;
};

static void send_answer(struct sb_request *request, json_t *answer)
{
	char *line = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
	size_t len = line ? strlen(line) : 0;

	json_decref(answer);
	if (line)
		line[len++] = '\n'; /* in the place of its end */
	sb_request_answer(request, line, len);
}

void sb_control_answer(struct sb_request *request, json_t *answer)
{
	json_t *whole = answer ? json_pack("{s:b}", "ok", 1) : NULL;

	/* "ok" first. */
	if (whole && json_object_update(whole, answer) != 0) {
		json_decref(whole);
		whole = NULL;
	}
	json_decref(answer);
	if (whole)
		send_answer(request, whole);
	else
		sb_control_refuse(request, "out of memory");
}

void sb_control_refuse(struct sb_request *request, const char *error)
{
	send_answer(request, json_pack("{s:b, s:s}", "ok", 0, "error", error));
}

static void refuse_command(const struct sb_control *control, struct sb_request *request)
{
	char words[512] = "no such command; there are:";
	size_t len = strlen(words);

	for (const struct sb_control_command *command = control->commands;
	     command->name && len < sizeof(words); command++)
		len += (size_t)snprintf(words + len, sizeof(words) - len, " %s", command->name);
	sb_control_refuse(request, words);
}

static void run(const struct sb_control *control, struct sb_request *request,
		const json_t *arguments)
{
	const char *name = json_string_value(json_object_get(arguments, "command"));

	for (const struct sb_control_command *command = control->commands; name && command->name;
	     command++) {
		if (!strcmp(command->name, name)) {
			command->run(control->data, request, arguments);
			return;
		}
	}
	refuse_command(control, request);
}

static void on_request(void *data, struct sb_request *request, const char *text, size_t len)
{
	json_t *arguments;

	if (!text) {
		sb_control_refuse(request, "a request over 4096 bytes");
		return;
	}
	arguments = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	if (json_is_object(arguments))
		run(data, request, arguments);
	else
		sb_control_refuse(request, "not a JSON object on a line");
	json_decref(arguments);
}

int sb_control_open(uv_loop_t *loop, const char *path, const struct sb_control_command *commands,
		    void *data, struct sb_control **ret_control)
{
	struct sb_control *control = calloc(1, sizeof(*control));
	const struct sb_requests_config config = {
		.terminator = "\n",
		.patience_ms = PATIENCE_MS,
		.keep = true,
		.on_request = on_request,
		.data = control,
	};
	int result;

	if (!control)
		return -ENOMEM;
	control->commands = commands;
	control->data = data;
	result = sb_requests_listen_path(loop, path, MODE, &config, &control->requests);
	if (result != 0) {
		free(control);
		return result;
	}
	*ret_control = control;
	return 0;
}

static void on_requests_closed(void *data)
{
	struct sb_control *control = data;

	control->on_closed(control->closed_data);
	free(control);
}

void sb_control_close(struct sb_control *control, void (*on_closed)(void *data), void *data)
{
	if (!control)
		return;
	control->on_closed = on_closed;
	control->closed_data = data;
	sb_requests_close(control->requests, on_requests_closed, control);
}
