/* A booking message, byte for byte: clients in the field read these bytes. */
#include "protocol/booking.h"
#include "test_protocol_help.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_full_booking_is_written_in_the_documented_order),
		TEST(a_cancelled_booking_may_have_nothing_but_its_uid),
		TEST(empty_details_add_nothing),
		TEST(an_instant_beyond_all_calendars_does_not_overflow),
		TEST(the_largest_event_fits_what_clients_accept),
		TEST(changes_are_their_words_and_back),
	};

	return cmocka_run_group_tests_name("protocol/event", tests, NULL, NULL);
}
