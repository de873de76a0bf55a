/*
 * What of an event every client can read. publish() takes nothing else; but a
 * row may have been changed by hand, or come from elsewhere. Told by a look at
 * the row for nearly all events, and else by the decoder that clients have.
 */
#include "protocol/instant.h"
#include "protocol/message.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Bytes are never fewer than characters: within the limit by bytes is within it. */
static bool fits(const char *text, size_t max)
{
	return !text || strnlen(text, max + 1) <= max;
}

static bool take(const char **at, const char *text)
{
	size_t len = strlen(text);

	if (strncmp(*at, text, len) != 0)
		return false;
	*at += len;
	return true;
}

/* A string as PostgreSQL's jsonb prints it, `min` to `max` bytes between its quotes. */
static bool take_string(const char **at, size_t min, size_t max)
{
	const char *start, *end;

	if (!take(at, "\""))
		return false;
	start = end = *at;
	while (*end && *end != '"')
		end += *end == '\\' && end[1] ? 2 : 1;
	if (!*end || (size_t)(end - start) < min || (size_t)(end - start) > max)
		return false;
	*at = end + 1;
	return true;
}

static bool take_person(const char **at)
{
	if (!take(at, "{"))
		return false;
	if (take(at, "\"name\": ") && !(take_string(at, 0, SB_NAME_MAX) && take(at, ", ")))
		return false;
	return take(at, "\"email\": ") && take_string(at, 1, SB_EMAIL_MAX) && take(at, "}");
}

static bool is_plain_list(const char *attendees)
{
	int count = 0;

	if (!take(&attendees, "["))
		return false;
	while (*attendees == '{' || (count > 0 && take(&attendees, ", "))) {
		if (++count > SB_ATTENDEES_MAX || !take_person(&attendees))
			return false;
	}
	return take(&attendees, "]") && !*attendees;
}

/* The order is jsonb's: shorter names first. */
static bool is_plain_object(const char *details)
{
	static const struct {
		const char *name;
		size_t max;
	} texts[] = {
		{"\"join_url\": ", SB_JOIN_URL_MAX},
		{"\"location\": ", SB_LOCATION_MAX},
		{"\"organizer\": ", 0},
		{"\"description\": ", SB_DESCRIPTION_MAX},
	};
	bool first = true;

	if (!take(&details, "{"))
		return false;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		const char *at = details;

		if ((!first && !take(&at, ", ")) || !take(&at, texts[i].name))
			continue;
		if (texts[i].max ? !take_string(&at, 0, texts[i].max) : !take_person(&at))
			return false;
		details = at;
		first = false;
	}
	return take(&details, "}") && !*details;
}

/* What created and updated have, or no client can write them down. */
static bool is_whole(const struct sb_event *event)
{
	return event->change == SB_CHANGE_CANCELLED ||
	       (event->has_starts_at && event->duration_minutes > 0);
}

/* Certainly readable. */
static bool is_plain(const struct sb_event *event)
{
	return *event->uid && fits(event->uid, SB_UID_MAX) &&
	       fits(event->subject, SB_SUBJECT_MAX) &&
	       event->duration_minutes <= SB_DURATION_MINUTES_MAX &&
	       (!event->time_zone ||
		(*event->time_zone && fits(event->time_zone, SB_TIME_ZONE_MAX))) &&
	       (!event->starts_local ||
		sb_local_time_valid(event->starts_local, strlen(event->starts_local))) &&
	       (!event->attendees || is_plain_list(event->attendees)) &&
	       (!event->details || is_plain_object(event->details));
}

/* 0, -EBADMSG, or -ENOMEM. */
static int read_back(const char *bytes, size_t len)
{
	struct sb_server_message message;
	struct sb_refusal refusal;
	int result = sb_server_message_decode(bytes, len, &message, &refusal);

	sb_server_message_fini(&message);
	return result == -EPROTO ? -EBADMSG : result;
}

/* Nothing but what names it. Without a uid that can be read it cancels nothing either. */
static void encode_bare(struct sb_text *text, const struct sb_event *event,
			const struct sb_epoch *epoch)
{
	struct sb_event bare = *event;
	char uid[40];

	bare.has_starts_at = false;
	bare.duration_minutes = 0;
	bare.starts_local = bare.time_zone = bare.subject = NULL;
	bare.attendees = bare.details = NULL;
	if (!*event->uid || !fits(event->uid, SB_UID_MAX)) {
		(void)snprintf(uid, sizeof(uid), "unreadable-%lld", (long long)event->seq);
		bare.uid = uid;
		bare.change = SB_CHANGE_UPDATED;
	}
	sb_event_encode(text, &bare, epoch);
}

int sb_event_encode_readable(struct sb_text *text, const struct sb_event *event,
			     const struct sb_epoch *epoch)
{
	size_t start = text->len;
	int result = event->is_spoiled || !is_whole(event) ? -EBADMSG : 0;

	if (result == 0) {
		sb_event_encode(text, event, epoch);
		if (sb_text_failed(text) || is_plain(event))
			return 0;
		result = read_back(text->data + start, text->len - start);
	}
	if (result == -ENOMEM)
		text->failed = true;
	if (result != -EBADMSG)
		return 0;
	text->len = start;
	encode_bare(text, event, epoch);
	return -EBADMSG;
}
