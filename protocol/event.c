/*
 * A booking message, straight from the database's row to bytes: once per event,
 * whoever and however many it goes to.
 */
#include "protocol/booking.h"
#include "protocol/instant.h"
#include <errno.h>
#include <string.h>

static const char *const words[] = {
#define WORD(name, word) [SB_CHANGE_##name] = word,
	SB_CHANGES(WORD)
#undef WORD
};

const char *sb_change_word(enum sb_change change)
{
	return words[change];
}

int sb_change_parse(const char *word, enum sb_change *ret_change)
{
	for (int i = 0; i < SB_CHANGE_COUNT; i++) {
		if (strcmp(word, words[i]) == 0) {
			*ret_change = (enum sb_change)i;
			return 0;
		}
	}
	return -EINVAL;
}

static void append_string_field(struct sb_text *text, const char *before, const char *value)
{
	if (!value)
		return;
	sb_text_append_string(text, before);
	sb_text_append_json(text, value, strlen(value));
}

static void append_starts_at(struct sb_text *text, int64_t seconds)
{
	/* Held to what instants can say here already: microseconds of more would overflow. */
	if (seconds < SB_INSTANT_MIN_S)
		seconds = SB_INSTANT_MIN_S;
	else if (seconds > SB_INSTANT_MAX_S)
		seconds = SB_INSTANT_MAX_S;
	sb_text_append_string(text, ",\"starts_at\":");
	sb_text_append_instant(text, seconds * 1000000, false);
}

/* The fields of a JSON object, without its braces: they go on the list of ours. */
static void append_details(struct sb_text *text, const char *details)
{
	size_t len = details ? strlen(details) : 0;

	if (len <= 2)
		return;
	sb_text_append(text, ",", 1);
	sb_text_append(text, details + 1, len - 2);
}

static void append_booking(struct sb_text *text, const struct sb_event *event)
{
	append_string_field(text, "{\"uid\":", event->uid);
	sb_text_append_string(text, ",\"version\":");
	sb_text_append_int(text, event->version);
	if (event->has_starts_at)
		append_starts_at(text, event->starts_at_s);
	append_string_field(text, ",\"starts_local\":", event->starts_local);
	append_string_field(text, ",\"time_zone\":", event->time_zone);
	if (event->duration_minutes > 0) {
		sb_text_append_string(text, ",\"duration_minutes\":");
		sb_text_append_int(text, event->duration_minutes);
	}
	append_string_field(text, ",\"subject\":", event->subject);
	if (event->attendees) {
		sb_text_append_string(text, ",\"attendees\":");
		sb_text_append_string(text, event->attendees);
	}
	append_details(text, event->details);
	sb_text_append(text, "}", 1);
}

void sb_event_encode(struct sb_text *text, const struct sb_event *event,
		     const struct sb_epoch *epoch)
{
	sb_text_append_string(text, "{\"type\":\"booking\",\"seq\":");
	sb_text_append_int(text, event->seq);
	/* No character of an epoch needs an escape. */
	sb_text_append_string(text, ",\"cursor\":\"");
	sb_text_append_string(text, epoch->text);
	sb_text_append(text, ".", 1);
	sb_text_append_int(text, event->seq);
	sb_text_append_string(text, "\",\"change\":\"");
	sb_text_append_string(text, words[event->change]);
	sb_text_append_string(text, "\",\"published_at\":");
	sb_text_append_instant(text, event->published_at_us, true);
	sb_text_append_string(text, ",\"booking\":");
	append_booking(text, event);
	sb_text_append(text, "}", 1);
}
