/* A short list, looked through once for each line; see log_events.h. */
#include "daemon/ops/log_events.h"
#include <stddef.h>
#include <string.h>

const char *sb_log_event_id(const char *event)
{
	static const struct {
		const char *event, *id;
	} events[] = {
#define EVENT(word, id) {word, id},
		SB_LOG_EVENTS(EVENT)
#undef EVENT
	};

	for (size_t i = 0; i < sizeof(events) / sizeof(*events); i++) {
		if (!strcmp(events[i].event, event))
			return events[i].id;
	}
	return NULL;
}
