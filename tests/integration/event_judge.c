/*
 * What a client makes of each message on standard input, a line each: how the
 * decoder of protocol/ and the plug-in's calendar files take it. For
 * test_publish_property.py.
 *
 *     written | unsupported | unreadable WHY | refused WHY
 */
#include "plugin-stub/ical.h"
#include "protocol/message.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX (1024 * 1024) /* as calendar.c reads one */

static const char *write_down(const struct sb_server_message *message)
{
	const char *uid = message->event.booking.uid;
	char *text;
	const char *verdict = "unsupported";

	if (message->type != SB_SERVER_BOOKING)
		return "no booking";
	if (sb_ical_write(message, NULL, &text) == 0) {
		bool found = sb_ical_holds(text, uid) == SB_ICAL_THIS;

		if (!found)
			verdict = "another uid";
		else
			verdict = strlen(text) > FILE_MAX ? "too long" : "written";
		free(text);
	}
	return verdict;
}

int main(void)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t len;

	sb_ical_setup();
	while ((len = getline(&line, &size, stdin)) > 0) {
		struct sb_server_message message;
		struct sb_refusal refusal;
		int result = sb_server_message_decode(line, (size_t)len - 1, &message, &refusal);

		if (result == 0)
			(void)puts(write_down(&message));
		else
			(void)printf("%s %s\n", result == -EBADMSG ? "unreadable" : "refused",
				     refusal.detail);
		sb_server_message_fini(&message);
	}
	free(line);
	return 0;
}
