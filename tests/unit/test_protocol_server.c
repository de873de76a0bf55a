/* The bounds of what a client believes of a server: at each, and one beyond. */
#include "test_protocol_help.h"

static struct sb_server_message message;
static struct sb_refusal refusal;

/* Takes `text`. */
static int decode(char *text)
{
	size_t len = strlen(text);
	char *exact = malloc(len ? len : 1);
	int result;

	assert_non_null(exact);
	memcpy(exact, text, len);
	result = sb_server_message_decode(exact, len, &message, &refusal);
	free(exact);
	free(text);
	return result;
}

/* Fields after uid and version. */
static char *booking(const char *fields)
{
	return print("{\"type\":\"booking\",\"seq\":1,\"cursor\":\"k.1\",\"change\":\"updated\","
		     "\"published_at\":\"2026-11-23T09:12:44.123456Z\","
		     "\"booking\":{\"uid\":\"u\",\"version\":1%s}}",
		     fields);
}

static void assert_accepted(char *text)
{
	if (decode(text) != 0)
		fail_msg("refused: %s", refusal.detail);
	sb_server_message_fini(&message);
}

static void assert_refused(char *text, const char *detail)
{
	assert_int_equal(decode(text), -EPROTO);
	assert_int_equal(refusal.reason, SB_REASON_BAD_MESSAGE);
	assert_string_equal(refusal.detail, detail);
	assert_null(message.root);
}

/* Of an event, one failed booking: what it takes to ack it is there. */
static void assert_unreadable(char *text, const char *detail)
{
	assert_int_equal(decode(text), -EBADMSG);
	assert_int_equal(refusal.reason, SB_REASON_BAD_MESSAGE);
	assert_string_equal(refusal.detail, detail);
	assert_string_equal(message.detail, detail);
	assert_null(message.root);
	assert_int_equal(message.type, SB_SERVER_BOOKING);
	assert_true(message.event.unreadable);
	assert_int_equal(message.event.change, SB_CHANGE_UPDATED);
	assert_int_equal(message.cursor.seq, 1);
	assert_string_equal(message.cursor.epoch.text, "k");
	assert_null(message.event.booking.uid);
	assert_null(message.event.booking.attendees);
	sb_server_message_fini(&message);
}

static char *field_of(const char *before, const char *letter, size_t count, const char *after)
{
	char *letters = repeat(letter, count);
	char *fields = print("%s%s%s", before, letters, after);
	char *text = booking(fields);

	free(fields);
	free(letters);
	return text;
}

static void booking_text_is_bounded_in_characters(void **state)
{
	const struct {
		const char *before, *after, *name;
		size_t max;
	} fields[] = {
		{",\"subject\":\"", "\"", "subject", SB_SUBJECT_MAX},
		{",\"time_zone\":\"", "\"", "time_zone", SB_TIME_ZONE_MAX},
		{",\"location\":\"", "\"", "location", SB_LOCATION_MAX},
		{",\"join_url\":\"", "\"", "join_url", SB_JOIN_URL_MAX},
		{",\"description\":\"", "\"", "description", SB_DESCRIPTION_MAX},
		{",\"organizer\":{\"email\":\"", "\"}", "organizer.email", SB_EMAIL_MAX},
		{",\"organizer\":{\"email\":\"e\",\"name\":\"", "\"}", "organizer.name",
		 SB_NAME_MAX},
		{",\"attendees\":[{\"email\":\"", "\"}]", "attendees[0].email", SB_EMAIL_MAX},
		{",\"attendees\":[{\"email\":\"e\",\"name\":\"", "\"}]", "attendees[0].name",
		 SB_NAME_MAX},
	};
	/* one, two, three and four bytes a character, and one that JSON spells with twelve */
	const char *const letters[] = {"x", "\u00fc", "\u4e88", "\U0001f514", "\\ud83d\\udd14"};

	(void)state;
	for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
		char *detail = print("booking.booking.%s is longer than %zu characters",
				     fields[i].name, fields[i].max);

		for (size_t l = 0; l < sizeof(letters) / sizeof(*letters); l++) {
			assert_accepted(field_of(fields[i].before, letters[l], fields[i].max,
						 fields[i].after));
			assert_unreadable(field_of(fields[i].before, letters[l], fields[i].max + 1,
						   fields[i].after),
					  detail);
		}
		free(detail);
	}
}

static void a_uid_has_one_to_255_characters(void **state)
{
	const size_t lengths[] = {0, 1, SB_UID_MAX, SB_UID_MAX + 1};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		char *uid = repeat("u", lengths[i]);
		int result = decode(print("{\"type\":\"booking\",\"seq\":1,\"cursor\":\"k.1\","
					  "\"change\":\"cancelled\",\"published_at\":"
					  "\"2026-11-23T09:12:44.123456Z\","
					  "\"booking\":{\"uid\":\"%s\",\"version\":1}}",
					  uid));

		assert_int_equal(result, i == 1 || i == 2 ? 0 : -EBADMSG);
		sb_server_message_fini(&message);
		free(uid);
	}
}

static void a_booking_lasts_a_minute_to_31_days(void **state)
{
	(void)state;
	assert_unreadable(booking(",\"duration_minutes\":0"),
			  "booking.booking.duration_minutes is less than 1");
	assert_accepted(booking(",\"duration_minutes\":1"));
	assert_accepted(booking(",\"duration_minutes\":44640"));
	assert_unreadable(booking(",\"duration_minutes\":44641"),
			  "booking.booking.duration_minutes is more than 44640");
}

static void a_booking_has_at_most_500_attendees(void **state)
{
	char *people = repeat(",{\"email\":\"e@example.com\"}", SB_ATTENDEES_MAX - 1);
	char *list =
		print(",\"attendees\":[{\"name\":\"A\",\"email\":\"a@example.com\"}%s]", people);
	char *long_list = print(",\"attendees\":[{\"email\":\"a\"},{\"email\":\"b\"}%s]", people);

	(void)state;
	assert_int_equal(decode(booking(list)), 0);
	assert_int_equal(message.event.booking.attendee_count, SB_ATTENDEES_MAX);
	assert_string_equal(message.event.booking.attendees[0].name, "A");
	assert_string_equal(message.event.booking.attendees[499].name, "");
	assert_string_equal(message.event.booking.attendees[499].email, "e@example.com");
	sb_server_message_fini(&message);
	assert_unreadable(booking(long_list), "booking.booking.attendees has more than 500 items");
	free(long_list);
	free(list);
	free(people);
}

static void what_a_booking_does_not_say_is_empty(void **state)
{
	const struct sb_booking *b = &message.event.booking;

	(void)state;
	assert_int_equal(decode(booking("")), 0);
	assert_string_equal(b->uid, "u");
	assert_false(b->has_starts_at);
	assert_string_equal(b->starts_local, "");
	assert_string_equal(b->time_zone, "");
	assert_int_equal(b->duration_minutes, 0);
	assert_string_equal(b->subject, "");
	assert_int_equal(b->attendee_count, 0);
	assert_string_equal(b->organizer.name, "");
	assert_string_equal(b->organizer.email, "");
	assert_string_equal(b->location, "");
	assert_string_equal(b->join_url, "");
	assert_string_equal(b->description, "");
	sb_server_message_fini(&message);
}

static char *welcome(const char *session, const char *window, const char *min_ms)
{
	return print("{\"type\":\"welcome\",\"session\":\"%s\",\"mailbox\":\"ada@example.com\","
		     "\"cursor\":\"k.1\",\"head\":4,\"window\":%s,\"heartbeat_seconds\":25,"
		     "\"server_time\":\"2026-11-23T09:12:44.123456Z\","
		     "\"reconnect\":{\"min_ms\":%s,\"max_ms\":60000},\"features\":[]}",
		     session, window, min_ms);
}

static void a_welcome_is_bounded(void **state)
{
	char *name = repeat("s", SB_SESSION_NAME_MAX);
	char *long_name = repeat("s", SB_SESSION_NAME_MAX + 1);

	(void)state;
	assert_accepted(welcome(name, "1", "4294967295"));
	assert_accepted(welcome("s", "256", "0"));
	assert_refused(welcome(long_name, "32", "500"),
		       "welcome.session is longer than 64 characters");
	assert_refused(welcome("", "32", "500"), "welcome.session is empty");
	assert_refused(welcome("s", "0", "500"), "welcome.window is less than 1");
	assert_refused(welcome("s", "257", "500"), "welcome.window is more than 256");
	assert_refused(welcome("s", "32", "4294967296"),
		       "welcome.reconnect.min_ms is more than 4294967295");
	free(name);
	free(long_name);
}

static void a_welcome_reads_as_it_was_written(void **state)
{
	const struct sb_welcome before = {
		.session = "s-1",
		.mailbox = "ada@example.com",
		.cursor = {.epoch.text = "k3f9q2", .seq = 41},
		.head = 44,
		.window = 32,
		.heartbeat_seconds = 25,
		.server_time_us = 1795425164123456,
		.reconnect_min_ms = 500,
		.reconnect_max_ms = 60000,
	};
	struct sb_text text;

	(void)state;
	sb_text_init(&text);
	sb_welcome_encode(&text, &before);
	assert_int_equal(sb_server_message_decode(text.data, text.len, &message, &refusal), 0);
	assert_int_equal(message.type, SB_SERVER_WELCOME);
	assert_string_equal(message.welcome.session, "s-1");
	assert_string_equal(message.welcome.mailbox, "ada@example.com");
	assert_true(sb_epoch_equal(&message.welcome.cursor.epoch, &before.cursor.epoch));
	assert_int_equal(message.welcome.cursor.seq, 41);
	assert_int_equal(message.cursor.seq, 41);
	assert_int_equal(message.welcome.head, 44);
	assert_int_equal(message.welcome.window, 32);
	assert_int_equal(message.welcome.heartbeat_seconds, 25);
	assert_int_equal(message.welcome.server_time_us, 1795425164123456);
	assert_int_equal(message.welcome.reconnect_min_ms, 500);
	assert_int_equal(message.welcome.reconnect_max_ms, 60000);
	sb_server_message_fini(&message);
	sb_text_fini(&text);
}

static void words_and_details_are_bounded(void **state)
{
	char *word = repeat("w", 63), *long_word = repeat("w", 64);
	char *detail = repeat("d", SB_DETAIL_MAX), *long_detail = repeat("d", SB_DETAIL_MAX + 1);

	(void)state;
	assert_accepted(
		print("{\"type\":\"goodbye\",\"reason\":\"%s\",\"reconnect_after_ms\":1}", word));
	assert_refused(print("{\"type\":\"goodbye\",\"reason\":\"%s\",\"reconnect_after_ms\":1}",
			     long_word),
		       "goodbye.reason is longer than 63 bytes");
	assert_accepted(
		print("{\"type\":\"error\",\"code\":\"%s\",\"detail\":\"%s\"}", word, detail));
	assert_refused(
		print("{\"type\":\"error\",\"code\":\"%s\",\"detail\":\"%s\"}", long_word, detail),
		"error.code is longer than 63 bytes");
	assert_refused(
		print("{\"type\":\"error\",\"code\":\"%s\",\"detail\":\"%s\"}", word, long_detail),
		"error.detail is longer than 255 bytes");
	free(word);
	free(long_word);
	free(detail);
	free(long_detail);
}

static void half_a_mebibyte_is_read_and_one_more_byte_is_too_big(void **state)
{
	char *spaces = repeat(" ", SB_SERVER_MESSAGE_MAX - strlen("{\"type\":\"pong\"}"));

	(void)state;
	assert_accepted(print("{\"type\":\"pong\"%s}", spaces));
	assert_int_equal(decode(print("{\"type\":\"pong\"%s }", spaces)), -EPROTO);
	assert_int_equal(refusal.reason, SB_REASON_TOO_BIG);
	free(spaces);
}

static void a_fini_of_nothing_is_fine(void **state)
{
	struct sb_server_message empty = {0};

	(void)state;
	sb_server_message_fini(NULL);
	sb_server_message_fini(&empty);
	assert_int_equal(decode(print("{\"type\":\"pong\"}")), 0);
	sb_server_message_fini(&message);
	sb_server_message_fini(&message);
	assert_null(message.root);
}

static void resets_are_their_words(void **state)
{
	(void)state;
	assert_string_equal(sb_reset_word(SB_RESET_EXPIRED), "expired");
	assert_string_equal(sb_reset_word(SB_RESET_EPOCH), "epoch");
	assert_string_equal(sb_reset_word(SB_RESET_UNKNOWN_CURSOR), "unknown-cursor");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(booking_text_is_bounded_in_characters),
		TEST(a_uid_has_one_to_255_characters),
		TEST(a_booking_lasts_a_minute_to_31_days),
		TEST(a_booking_has_at_most_500_attendees),
		TEST(what_a_booking_does_not_say_is_empty),
		TEST(a_welcome_is_bounded),
		TEST(a_welcome_reads_as_it_was_written),
		TEST(words_and_details_are_bounded),
		TEST(half_a_mebibyte_is_read_and_one_more_byte_is_too_big),
		TEST(a_fini_of_nothing_is_fine),
		TEST(resets_are_their_words),
	};

	return cmocka_run_group_tests_name("protocol/server", tests, NULL, NULL);
}
