/*
 * Any bytes from a server: read within their bounds or refused with words.
 * What is read is written, read and written again, and comes out the same.
 */
#include "protocol/message.h"
#include "tests/fuzz/again.h"
#include "tests/fuzz/fuzz.h"
#include <errno.h>
#include <string.h>

static void check_refusal(const struct sb_refusal *refusal)
{
	CHECK(refusal->reason == SB_REASON_BAD_MESSAGE || refusal->reason == SB_REASON_TOO_BIG);
	CHECK(memchr(refusal->detail, '\0', sizeof(refusal->detail)));
	CHECK(refusal->detail[0] != '\0');
}

/* All that is left of an event whose booking cannot be read. */
static void check_envelope(const struct sb_server_message *message)
{
	CHECK(message->type == SB_SERVER_BOOKING && message->event.unreadable);
	CHECK(message->cursor.seq >= 1);
	CHECK(message->detail[0] != '\0');
	CHECK(!message->event.booking.uid && !message->event.booking.attendees);
}

/* Touches all that a client would. */
static void check_bounds(const struct sb_server_message *message)
{
	const struct sb_booking *booking = &message->event.booking;

	CHECK(message->cursor.seq >= 0);
	if (message->type != SB_SERVER_BOOKING)
		return;
	CHECK(booking->uid[0] != '\0');
	CHECK(booking->version >= 1);
	CHECK(booking->duration_minutes >= 0 &&
	      booking->duration_minutes <= SB_DURATION_MINUTES_MAX);
	CHECK(strlen(booking->subject) <= 4 * SB_SUBJECT_MAX);
	CHECK(strlen(booking->description) <= 4 * SB_DESCRIPTION_MAX);
	CHECK(booking->attendee_count <= SB_ATTENDEES_MAX);
	for (size_t i = 0; i < booking->attendee_count; i++) {
		CHECK(strlen(booking->attendees[i].name) <= 4 * SB_NAME_MAX);
		CHECK(booking->attendees[i].email[0] != '\0');
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sb_server_message message, again;
	struct sb_refusal refusal;
	struct sb_text first, second;
	int result;

	memset(&refusal, 0xff, sizeof(refusal));
	result = sb_server_message_decode((const char *)data, size, &message, &refusal);
	if (result == -EPROTO || result == -EBADMSG)
		check_refusal(&refusal);
	if (result == -EBADMSG)
		check_envelope(&message);
	if (result < 0) {
		CHECK(!message.root);
		return 0;
	}
	check_bounds(&message);
	sb_text_init(&first);
	sb_text_init(&second);
	again_server_message(&first, &message);
	CHECK(sb_server_message_decode(first.data, first.len, &again, &refusal) == 0);
	again_server_message(&second, &again);
	CHECK(again.type == message.type);
	CHECK(first.len == second.len && memcmp(first.data, second.data, first.len) == 0);
	sb_text_fini(&first);
	sb_text_fini(&second);
	sb_server_message_fini(&message);
	sb_server_message_fini(&again);
	return 0;
}
