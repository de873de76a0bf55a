/* From what a client reads back to what the daemon writes, field by field. */
#include "tests/fuzz/again.h"
#include <string.h>

static void append_pair(struct sb_text *text, const char *key, const char *value)
{
	sb_text_append_json(text, key, strlen(key));
	sb_text_append(text, ":", 1);
	sb_text_append_json(text, value, strlen(value));
}

static void append_person(struct sb_text *text, const struct sb_attendee *person)
{
	sb_text_append(text, "{", 1);
	append_pair(text, "name", person->name);
	sb_text_append(text, ",", 1);
	append_pair(text, "email", person->email);
	sb_text_append(text, "}", 1);
}

static void append_attendees(struct sb_text *text, const struct sb_booking *booking)
{
	sb_text_append(text, "[", 1);
	for (size_t i = 0; i < booking->attendee_count; i++) {
		if (i > 0)
			sb_text_append(text, ",", 1);
		append_person(text, &booking->attendees[i]);
	}
	sb_text_append(text, "]", 1);
}

static void append_details(struct sb_text *text, const struct sb_booking *booking)
{
	const struct {
		const char *key, *value;
	} fields[] = {
		{"location", booking->location},
		{"join_url", booking->join_url},
		{"description", booking->description},
	};

	sb_text_append(text, "{", 1);
	if (*booking->organizer.email) {
		sb_text_append_string(text, "\"organizer\":");
		append_person(text, &booking->organizer);
	}
	for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
		if (!*fields[i].value)
			continue;
		if (text->len > 1)
			sb_text_append(text, ",", 1);
		append_pair(text, fields[i].key, fields[i].value);
	}
	sb_text_append(text, "}", 1);
}

static const char *or_null(const char *string)
{
	return *string ? string : NULL;
}

static void append_booking(struct sb_text *text, const struct sb_server_message *message)
{
	const struct sb_booking *booking = &message->event.booking;
	struct sb_event event = {
		.seq = message->cursor.seq,
		.version = booking->version,
		.change = message->event.change,
		.published_at_us = message->event.published_at_us,
		.uid = booking->uid,
		.has_starts_at = booking->has_starts_at,
		.starts_at_s = booking->starts_at_s,
		.starts_local = or_null(booking->starts_local),
		.time_zone = or_null(booking->time_zone),
		.duration_minutes = booking->duration_minutes,
		.subject = or_null(booking->subject),
	};
	struct sb_text attendees, details;

	sb_text_init(&attendees);
	sb_text_init(&details);
	if (booking->attendee_count > 0) {
		append_attendees(&attendees, booking);
		sb_text_append(&attendees, "", 1);
		event.attendees = attendees.data;
	}
	append_details(&details, booking);
	sb_text_append(&details, "", 1);
	event.details = details.data;
	if (sb_text_failed(&attendees) || sb_text_failed(&details))
		text->failed = true;
	else
		sb_event_encode(text, &event, &message->cursor.epoch);
	sb_text_fini(&attendees);
	sb_text_fini(&details);
}

/* Words as sent: a newer server may have more than we have reasons. */
static void append_goodbye(struct sb_text *text, const struct sb_server_message *message)
{
	sb_text_append_string(text, "{\"type\":\"goodbye\",");
	append_pair(text, "reason", message->word);
	sb_text_append_string(text, ",\"reconnect_after_ms\":");
	sb_text_append_int(text, message->reconnect_after_ms);
	sb_text_append(text, "}", 1);
}

static void append_error(struct sb_text *text, const struct sb_server_message *message)
{
	sb_text_append_string(text, "{\"type\":\"error\",");
	append_pair(text, "code", message->word);
	sb_text_append(text, ",", 1);
	append_pair(text, "detail", message->detail);
	sb_text_append(text, "}", 1);
}

void again_server_message(struct sb_text *text, const struct sb_server_message *message)
{
	switch (message->type) {
	case SB_SERVER_WELCOME:
		sb_welcome_encode(text, &message->welcome);
		break;
	case SB_SERVER_BOOKING:
		append_booking(text, message);
		break;
	case SB_SERVER_LIVE:
		sb_live_encode(text, &message->cursor);
		break;
	case SB_SERVER_ACKED:
		sb_acked_encode(text, &message->cursor);
		break;
	case SB_SERVER_RESET:
		sb_reset_encode(text, &message->cursor, message->reset_reason);
		break;
	case SB_SERVER_GOODBYE:
		append_goodbye(text, message);
		break;
	case SB_SERVER_ERROR:
		append_error(text, message);
		break;
	case SB_SERVER_PONG:
		sb_pong_encode(text);
		break;
	case SB_SERVER_UNKNOWN:
		sb_text_append_string(text, "{\"type\":\"unknown\"}");
		break;
	}
}
