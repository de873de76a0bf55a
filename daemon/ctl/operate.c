/* slotbellctl status, sessions, kick, drain, reload: the running daemon, by its control socket. */
#include "daemon/ctl/control.h"
#include "daemon/ctl/output.h"
#include "daemon/ctl/status.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum sb_exit show_status(struct sb_ctl *ctl, struct sb_talk *talk, void *data)
{
	json_t *answer = sb_control_ask(ctl, talk, json_pack("{s:s}", "command", "status"));

	(void)data;
	if (!answer)
		return ctl->status;
	if (ctl->json) {
		sb_print_json(answer);
	} else {
		sb_status_print(answer);
		json_decref(answer);
	}
	return SB_EXIT_DONE;
}

static enum sb_exit run_status(struct sb_ctl *ctl, int argc, char **argv)
{
	if (!sb_ctl_arguments(ctl, argc, argv, 0))
		return ctl->status;
	return sb_control_do(ctl, show_status, NULL);
}

/* ---- sessions ---- */

/* slotbelld sends 256 at a time, and none of its pages but the last has fewer. */
#define PAGE_MAX 4096
/* Of all pages: twice what sessions.max can be, for some come and go meanwhile. */
#define SESSIONS_MAX 2000000

#define COLUMNS 7

static void print_page(const json_t *sessions, bool with_titles)
{
	static const char *const titles[COLUMNS] = {"SESSION", "STATE", "TRANSPORT", "DEVICE",
						    "MAILBOX", "ACKED", "HEAD"};
	static const char *const keys[COLUMNS] = {"session", "state", "transport", "device",
						  "mailbox", "acked", "head"};
	size_t count = json_array_size(sessions), rows = count + with_titles;
	const char **cells = calloc(rows * COLUMNS, sizeof(*cells));
	char(*numbers)[24] = calloc(rows * COLUMNS, sizeof(*numbers));

	sb_need(rows == 0 || (cells && numbers));
	for (size_t i = 0; i < rows * COLUMNS; i++) {
		size_t row = i / COLUMNS, column = i % COLUMNS;
		const json_t *value;

		if (with_titles && row == 0) {
			cells[i] = titles[column];
			continue;
		}
		value = json_object_get(json_array_get(sessions, row - with_titles), keys[column]);
		if (json_is_integer(value) && (json_integer_value(value) || column > 4))
			(void)snprintf(numbers[i], sizeof(numbers[i]), "%lld",
				       (long long)json_integer_value(value));
		cells[i] = json_is_string(value) ? json_string_value(value)
			   : *numbers[i]	 ? numbers[i]
						 : NULL;
	}
	sb_print_table("lllrrrr", rows, cells);
	free(numbers);
	free(cells);
}

static void print_page_json(const json_t *sessions)
{
	for (size_t i = 0; i < json_array_size(sessions); i++)
		sb_print_json(json_incref(json_array_get(sessions, i)));
}

/* A page at a time, so that it costs the daemon no pause, however many there are. */
static enum sb_exit show_sessions(struct sb_ctl *ctl, struct sb_talk *talk, void *data)
{
	json_int_t after = 0, next = 0;
	size_t seen = 0;

	(void)data;
	do {
		json_t *answer = sb_control_ask(
			ctl, talk, json_pack("{s:s, s:I}", "command", "sessions", "after", next));
		const json_t *sessions = json_object_get(answer, "sessions");

		if (!answer)
			return ctl->status;
		after = next;
		next = json_integer_value(json_object_get(answer, "next"));
		seen += json_array_size(sessions);
		/* Else it could go on for ever. */
		if (json_array_size(sessions) > PAGE_MAX || seen > SESSIONS_MAX ||
		    (next && (next <= after || json_array_size(sessions) == 0))) {
			json_decref(answer);
			return sb_ctl_fail("slotbelld at %s gave no answer", talk->path);
		}
		if (ctl->json)
			print_page_json(sessions);
		else
			print_page(sessions, after == 0);
		json_decref(answer);
	} while (next);
	return SB_EXIT_DONE;
}

static enum sb_exit run_sessions(struct sb_ctl *ctl, int argc, char **argv)
{
	if (!sb_ctl_arguments(ctl, argc, argv, 0))
		return ctl->status;
	return sb_control_do(ctl, show_sessions, NULL);
}

/* ---- what changes something ---- */

static enum sb_exit kick(struct sb_ctl *ctl, struct sb_talk *talk, void *data)
{
	const char *session = data;
	json_t *answer = sb_control_ask(
		ctl, talk, json_pack("{s:s, s:s}", "command", "kick", "session", session));

	if (!answer)
		return ctl->status;
	if (ctl->json) {
		sb_print_json(answer);
	} else {
		sb_ctl_say("session %s was told to come back in a while", session);
		json_decref(answer);
	}
	return SB_EXIT_DONE;
}

static enum sb_exit run_kick(struct sb_ctl *ctl, int argc, char **argv)
{
	if (!sb_ctl_arguments(ctl, argc, argv, 1))
		return ctl->status;
	return sb_control_do(ctl, kick, argv[optind]);
}

static enum sb_exit drain(struct sb_ctl *ctl, struct sb_talk *talk, void *data)
{
	json_t *answer = sb_control_ask(ctl, talk, json_pack("{s:s}", "command", "drain"));

	(void)data;
	if (!answer)
		return ctl->status;
	if (ctl->json) {
		sb_print_json(answer);
	} else {
		sb_ctl_say("it drains: %lld connections, %lld seconds at most; again: faster",
			   (long long)json_integer_value(json_object_get(answer, "connections")),
			   (long long)json_integer_value(json_object_get(answer, "seconds")));
		json_decref(answer);
	}
	return SB_EXIT_DONE;
}

static enum sb_exit run_drain(struct sb_ctl *ctl, int argc, char **argv)
{
	if (!sb_ctl_arguments(ctl, argc, argv, 0))
		return ctl->status;
	return sb_control_do(ctl, drain, NULL);
}

/* "" for what is none. */
static const char *text_at(const json_t *list, size_t i)
{
	const char *text = json_string_value(json_array_get(list, i));

	return text ? text : "";
}

static void say_list(const char *before, const json_t *list, const char *nothing)
{
	char *names = NULL;
	size_t size;
	FILE *out = open_memstream(&names, &size);

	sb_need(out);
	for (size_t i = 0; i < json_array_size(list); i++)
		(void)fprintf(out, " %s", text_at(list, i));
	sb_need(fclose(out) == 0);
	if (*names || *nothing)
		sb_ctl_say("%s%s", before, *names ? names : nothing);
	free(names);
}

static enum sb_exit reload(struct sb_ctl *ctl, struct sb_talk *talk, void *data)
{
	json_t *answer = sb_control_ask(ctl, talk, json_pack("{s:s}", "command", "reload"));
	const json_t *problems;

	(void)data;
	if (!answer)
		return ctl->status;
	problems = json_object_get(answer, "problems");
	ctl->status =
		json_is_true(json_object_get(answer, "reloaded")) ? SB_EXIT_DONE : SB_EXIT_FAILED;
	if (ctl->json) {
		sb_print_json(answer);
		return ctl->status;
	}
	if (ctl->status == SB_EXIT_DONE) {
		say_list("reloaded; changed:", json_object_get(answer, "changed"), " nothing");
		say_list("needs a restart:", json_object_get(answer, "needs_restart"), "");
	} else {
		sb_ctl_fail("refused, and all is as it was:");
		for (size_t i = 0; i < json_array_size(problems); i++)
			sb_ctl_say("%s", text_at(problems, i));
	}
	json_decref(answer);
	return ctl->status;
}

static enum sb_exit run_reload(struct sb_ctl *ctl, int argc, char **argv)
{
	if (!sb_ctl_arguments(ctl, argc, argv, 0))
		return ctl->status;
	return sb_control_do(ctl, reload, NULL);
}

#define ASKS_THE_DAEMON                                                                            \
	"Asks the running slotbelld by its control socket, [control] socket of its "               \
	"configuration:\n"                                                                         \
	"--socket PATH, --instance NAME of slotbelld@NAME.service, else SLOTBELL_CONTROL_SOCKET, " \
	"else " SB_CONTROL_SOCKET ".\n"

const struct sb_ctl_command sb_command_status = {
	.group = "status",
	.arguments = "",
	.summary = "Shows how the running daemon is",
	.help = ASKS_THE_DAEMON "\nExamples:\n"
				"  slotbellctl status\n"
				"  slotbellctl --json status | jq .state\n",
	.run = run_status,
};

const struct sb_ctl_command sb_command_sessions = {
	.group = "sessions",
	.arguments = "",
	.summary = "Lists the sessions that the running daemon holds",
	.help = ASKS_THE_DAEMON
	"\nMailboxes and devices by number, as `slotbellctl device list --json` has them.\n"
	"\nExamples:\n"
	"  slotbellctl sessions\n"
	"  slotbellctl --json sessions | jq 'select(.acked < .head)'\n",
	.run = run_sessions,
};

const struct sb_ctl_command sb_command_kick = {
	.group = "kick",
	.arguments = "SESSION",
	.summary = "Sends one session away, to come back in a while",
	.help = ASKS_THE_DAEMON "\nIt is told goodbye as in a drain, and loses nothing. To shut a "
				"device out for good:\n"
				"slotbellctl device revoke.\n"
				"\nExamples:\n"
				"  slotbellctl kick 5d41402a-17\n",
	.run = run_kick,
};

const struct sb_ctl_command sb_command_drain = {
	.group = "drain",
	.arguments = "",
	.summary = "Tells the running daemon to say goodbye to all, and to end",
	.help = ASKS_THE_DAEMON "\nThe same as SIGTERM. It returns at once; a second time hurries "
				"it.\n"
				"\nExamples:\n"
				"  slotbellctl drain\n"
				"  slotbellctl --instance 2 drain\n",
	.run = run_drain,
};

const struct sb_ctl_command sb_command_reload = {
	.group = "reload",
	.arguments = "",
	.summary = "Tells the running daemon to read its configuration again",
	.help = ASKS_THE_DAEMON
	"\nThe same as SIGHUP, but it says what came of it: what changed, what needs a restart;\n"
	"or all that is wrong, and then nothing was changed (exit code 1).\n"
	"\nExamples:\n"
	"  slotbellctl reload && slotbellctl status\n",
	.run = run_reload,
};
