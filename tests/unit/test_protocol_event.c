/* A booking message, byte for byte: clients in the field read these bytes. */
#include "protocol/booking.h"
#include "protocol/message.h"
#include "test_protocol_help.h"
#include <errno.h>

static const struct sb_epoch epoch = {.text = "k3f9q2"};

static void assert_encoded(const struct sb_event *event, const char *expected)
{
	struct sb_text text;

	sb_text_init(&text);
	sb_event_encode(&text, event, &epoch);
	assert_text(&text, expected);
	sb_text_fini(&text);
}

static void a_full_booking_is_written_in_the_documented_order(void **state)
{
	const struct sb_event event = {
		.seq = 42,
		.version = 1795425164124,
		.change = SB_CHANGE_CREATED,
		.published_at_us = 1795425164123456,
		.uid = "b-1",
		.has_starts_at = true,
		.starts_at_s = 1795510800,
		.starts_local = "2026-11-24T10:00:00",
		.time_zone = "Europe/Berlin",
		.duration_minutes = 30,
		.subject = "Intro \"call\"",
		.attendees = "[{\"name\": \"Grace\", \"email\": \"grace@example.com\"}]",
		.details = "{\"location\": \"Room 4\", \"join_url\": \"https://example.com/4\"}",
	};

	(void)state;
	assert_encoded(
		&event,
		"{\"type\":\"booking\",\"seq\":42,\"cursor\":\"k3f9q2.42\",\"change\":\"created\","
		"\"published_at\":\"2026-11-23T09:12:44.123456Z\",\"booking\":{\"uid\":\"b-1\","
		"\"version\":1795425164124,\"starts_at\":\"2026-11-24T09:00:00Z\","
		"\"starts_local\":\"2026-11-24T10:00:00\",\"time_zone\":\"Europe/Berlin\","
		"\"duration_minutes\":30,\"subject\":\"Intro \\\"call\\\"\","
		"\"attendees\":[{\"name\": \"Grace\", \"email\": \"grace@example.com\"}],"
		"\"location\": \"Room 4\", \"join_url\": \"https://example.com/4\"}}");
}

static void a_cancelled_booking_may_have_nothing_but_its_uid(void **state)
{
	const struct sb_event event = {
		.seq = 7, .version = 8, .change = SB_CHANGE_CANCELLED, .uid = "b-1"};

	(void)state;
	assert_encoded(&event,
		       "{\"type\":\"booking\",\"seq\":7,\"cursor\":\"k3f9q2.7\","
		       "\"change\":\"cancelled\",\"published_at\":\"1970-01-01T00:00:00.000000Z\","
		       "\"booking\":{\"uid\":\"b-1\",\"version\":8}}");
}

static void empty_details_add_nothing(void **state)
{
	const struct sb_event event = {.seq = 7, .version = 8, .uid = "b-1", .details = "{}"};

	(void)state;
	assert_encoded(&event,
		       "{\"type\":\"booking\",\"seq\":7,\"cursor\":\"k3f9q2.7\","
		       "\"change\":\"created\",\"published_at\":\"1970-01-01T00:00:00.000000Z\","
		       "\"booking\":{\"uid\":\"b-1\",\"version\":8}}");
}

static void an_instant_beyond_all_calendars_does_not_overflow(void **state)
{
	const struct sb_event event = {.seq = 7,
				       .version = 8,
				       .uid = "b-1",
				       .has_starts_at = true,
				       .starts_at_s = INT64_MAX};

	(void)state;
	assert_encoded(&event,
		       "{\"type\":\"booking\",\"seq\":7,\"cursor\":\"k3f9q2.7\","
		       "\"change\":\"created\",\"published_at\":\"1970-01-01T00:00:00.000000Z\","
		       "\"booking\":{\"uid\":\"b-1\",\"version\":8,"
		       "\"starts_at\":\"9999-12-31T23:59:59Z\"}}");
}

static void the_largest_event_fits_what_clients_accept(void **state)
{
	/* All of it characters that JSON spells with six. */
	char *subject = repeat("\x01", SB_SUBJECT_MAX), *uid = repeat("\x01", SB_UID_MAX);
	char *piece = repeat("\\u0001", SB_DESCRIPTION_MAX);
	char *details = print("{\"description\": \"%s\"}", piece);
	struct sb_event event = {
		.seq = INT64_MAX, .version = INT64_MAX, .uid = uid, .subject = subject};
	struct sb_server_message message;
	struct sb_refusal refusal;
	struct sb_text text;

	(void)state;
	event.details = details;
	sb_text_init(&text);
	sb_event_encode(&text, &event, &epoch);
	assert_true(text.len > 2 * SB_EVENT_BYTES_MAX);
	assert_int_equal(sb_server_message_decode(text.data, text.len, &message, &refusal), 0);
	assert_int_equal(strlen(message.event.booking.description), SB_DESCRIPTION_MAX);
	sb_server_message_fini(&message);
	sb_text_fini(&text);
	free(details);
	free(piece);
	free(uid);
	free(subject);
}

static void changes_are_their_words_and_back(void **state)
{
	enum sb_change change;

	(void)state;
	for (int i = 0; i < SB_CHANGE_COUNT; i++) {
		assert_int_equal(sb_change_parse(sb_change_word((enum sb_change)i), &change), 0);
		assert_int_equal(change, i);
	}
	assert_int_equal(sb_change_parse("Created", &change), -EINVAL);
	assert_int_equal(sb_change_parse("", &change), -EINVAL);
}

/* What a daemon says of it: `whole` or with its uid alone, and always what a client reads. */
static void assert_said(struct sb_event event, bool whole)
{
	struct sb_server_message message;
	struct sb_refusal refusal;
	struct sb_text said, plain;

	event.seq = 7;
	event.version = 8;
	sb_text_init(&said);
	sb_text_init(&plain);
	sb_event_encode(&plain, &event, &epoch);
	if (sb_event_encode_readable(&said, &event, &epoch) != (whole ? 0 : -EBADMSG))
		fail_msg("said as %.*s", (int)said.len, said.data);
	assert_true(whole ==
		    (said.len == plain.len && memcmp(said.data, plain.data, said.len) == 0));
	if (sb_server_message_decode(said.data, said.len, &message, &refusal) != 0)
		fail_msg("%s: %.*s", refusal.detail, (int)said.len, said.data);
	assert_int_equal(message.cursor.seq, 7);
	if (!whole) {
		assert_false(message.event.booking.has_starts_at);
		assert_string_equal(message.event.booking.subject, "");
		assert_int_equal(message.event.booking.attendee_count, 0);
	}
	sb_server_message_fini(&message);
	sb_text_fini(&said);
	sb_text_fini(&plain);
}

static struct sb_event good(void)
{
	return (struct sb_event){.change = SB_CHANGE_CREATED,
				 .uid = "b-1",
				 .has_starts_at = true,
				 .starts_at_s = 1795510800,
				 .starts_local = "2026-11-24T10:00:00",
				 .time_zone = "Europe/Berlin",
				 .duration_minutes = 30,
				 .subject = "Intro call",
				 .attendees = "[]"};
}

static void what_clients_read_is_said_whole(void **state)
{
	static const char *const attendees[] = {
		"[]",
		"[{\"email\": \"a@b.c\"}]",
		"[{\"name\": \"\", \"email\": \"a@b.c\"}]",
		"[{\"email\": \"a@b.c\"}, {\"name\": \"\\\"\\\\\", \"email\": \"a\"}]",
		/* not as jsonb prints what publish() takes, but clients read it */
		"[{\"email\":\"a@b.c\"}]",
		"[{\"name\": null, \"email\": \"a@b.c\"}]",
		"[{\"name\": \"A\", \"phone\": \"7\", \"email\": \"a@b.c\"}]",
		"null",
	};
	static const char *const details[] = {
		"{}",
		"{\"join_url\": \"x\", \"location\": \"\", \"organizer\": {\"email\": \"a\"}}",
		"{\"description\": \"d\\n\"}",
		"{\"organizer\": {\"name\": null, \"email\": \"a\"}}",
		"{\"location\": null}",
		"{\"colour\": [\"red\"]}",
		"{\"description\": \"d\", \"location\": \"l\"}",
	};
	struct sb_event event;
	char *uid = repeat("\u00fc", SB_UID_MAX), *subject = repeat("\U0001f514", SB_SUBJECT_MAX);

	(void)state;
	for (size_t i = 0; i < sizeof(attendees) / sizeof(*attendees); i++) {
		event = good();
		event.attendees = attendees[i];
		assert_said(event, true);
	}
	for (size_t i = 0; i < sizeof(details) / sizeof(*details); i++) {
		event = good();
		event.details = details[i];
		assert_said(event, true);
	}
	event = good();
	event.uid = uid;
	event.subject = subject;
	event.starts_local = "10000-01-01T01:00:00";
	assert_said(event, true);
	assert_said((struct sb_event){.change = SB_CHANGE_CANCELLED, .uid = "b-1"}, true);
	free(uid);
	free(subject);
}

static void what_no_client_reads_is_said_with_its_uid_alone(void **state)
{
	static const char *const attendees[] = {
		"7",
		"{}",
		"\"a\"",
		"[7]",
		"[{}]",
		"[{\"email\": \"\"}]",
		"[{\"email\": null}]",
		"[{\"name\": 7, \"email\": \"a\"}]",
		"[{\"email\": \"a\"}, []]",
	};
	static const char *const details[] = {
		"[\"a\", \"b\"]",
		"true",
		"12345",
		"\"}\"",
		"\"x\\\": 1\"",
		"{\"uid\": \"another\"}",
		"{\"seq\": 7, \"version\": 9}",
		"{\"location\": 7}",
		"{\"organizer\": {\"name\": \"A\"}}",
		"{\"organizer\": []}",
		"{\"location\": \"l\", \"attendees\": []}",
		"{\"x\": [[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]}",
	};
	const struct {
		const char *start, *zone;
		int minutes;
	} others[] = {
		{"10001-01-01T10:00:00", "UTC", 30},   {"-044-01-01T10:00:00", "UTC", 30},
		{"2026-11-24T10:00:00", "UTC", 44641}, {"2026-11-24T10:00:00", "UTC", 0},
		{"2026-11-24T10:00:00", "UTC", -30},
	};
	struct sb_event event;
	char *uid = repeat("u", SB_UID_MAX + 1), *people = repeat(", {\"email\": \"a\"}", 500);
	char *list = print("[{\"email\": \"a\"}%s]", people), *large = repeat("x", 9 * 65536);

	(void)state;
	for (size_t i = 0; i < sizeof(attendees) / sizeof(*attendees); i++) {
		event = good();
		event.attendees = attendees[i];
		assert_said(event, false);
	}
	for (size_t i = 0; i < sizeof(details) / sizeof(*details); i++) {
		event = good();
		event.details = details[i];
		assert_said(event, false);
	}
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
		event = good();
		event.starts_local = others[i].start;
		event.time_zone = others[i].zone;
		event.duration_minutes = others[i].minutes;
		assert_said(event, false);
	}
	event = good();
	event.time_zone = "";
	assert_said(event, false);
	event = good();
	event.has_starts_at = false;
	assert_said(event, false);
	event = good();
	event.is_spoiled = true;
	assert_said(event, false);
	event = good();
	event.subject = uid;
	assert_said(event, false);
	event = good();
	event.attendees = list;
	assert_said(event, false);
	event = good();
	event.subject = large;
	assert_said(event, false);
	event = good();
	event.uid = uid;
	assert_said(event, false);
	free(uid);
	free(people);
	free(list);
	free(large);
}

/* A cancel that cannot be told whole is one all the same; one that does not say of what is none. */
static void a_spoiled_cancel_cancels_what_it_names_and_nothing_else(void **state)
{
	struct sb_event event = {.seq = 7,
				 .version = 8,
				 .change = SB_CHANGE_CANCELLED,
				 .uid = "b-1",
				 .attendees = "7"};
	struct sb_text text;

	(void)state;
	sb_text_init(&text);
	assert_int_equal(sb_event_encode_readable(&text, &event, &epoch), -EBADMSG);
	assert_non_null(memmem(text.data, text.len, "\"cancelled\"", 11));
	assert_non_null(memmem(text.data, text.len, "\"b-1\"", 5));
	sb_text_clear(&text);
	event.uid = "";
	assert_int_equal(sb_event_encode_readable(&text, &event, &epoch), -EBADMSG);
	assert_non_null(memmem(text.data, text.len, "\"updated\"", 9));
	assert_non_null(memmem(text.data, text.len, "\"unreadable-7\"", 14));
	sb_text_fini(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_full_booking_is_written_in_the_documented_order),
		TEST(a_cancelled_booking_may_have_nothing_but_its_uid),
		TEST(empty_details_add_nothing),
		TEST(an_instant_beyond_all_calendars_does_not_overflow),
		TEST(the_largest_event_fits_what_clients_accept),
		TEST(changes_are_their_words_and_back),
		cmocka_unit_test(what_clients_read_is_said_whole),
		cmocka_unit_test(what_no_client_reads_is_said_with_its_uid_alone),
		cmocka_unit_test(a_spoiled_cancel_cancels_what_it_names_and_nothing_else),
	};

	return cmocka_run_group_tests_name("protocol/event", tests, NULL, NULL);
}
