/*
 * The bounds of what a client may send: at each, and one beyond. Kinds of
 * messages are in protocol/vectors; here is what is too long for them.
 */
#include "test_protocol_help.h"

static struct sb_client_message message;
static struct sb_refusal refusal;

/* Decodes an exact copy, so that a sanitizer sees a read past the end. Takes `text`. */
static int decode(char *text)
{
	size_t len = strlen(text);
	char *exact = malloc(len ? len : 1);
	int result;

	assert_non_null(exact);
	memcpy(exact, text, len);
	memset(&refusal, 0xff, sizeof(refusal));
	result = sb_client_message_decode(exact, len, &message, &refusal);
	free(exact);
	free(text);
	return result;
}

static void assert_accepted(char *text)
{
	if (decode(text) != 0)
		fail_msg("refused: %s", refusal.detail);
}

static void assert_refused(char *text, enum sb_reason reason, const char *detail)
{
	assert_int_equal(decode(text), -EPROTO);
	assert_int_equal(refusal.reason, reason);
	assert_non_null(memchr(refusal.detail, '\0', sizeof(refusal.detail)));
	assert_string_equal(refusal.detail, detail);
}

/* A hello with one string field of `count` letters. */
static char *hello(const char *before, size_t count, const char *after)
{
	char *letters = repeat("x", count);
	char *text = print("{\"type\":\"hello\",%s%s%s}", before, letters, after);

	free(letters);
	return text;
}

static void hello_text_is_bounded(void **state)
{
	const struct {
		const char *before, *after, *detail;
		size_t max;
	} fields[] = {
		{"\"token\":\"", "\"", "hello.token is longer than 67 bytes", SB_TOKEN_MAX},
		{"\"client\":{\"name\":\"", "\"}", "hello.client.name is longer than 64 bytes",
		 SB_CLIENT_NAME_MAX},
		{"\"client\":{\"version\":\"", "\"}",
		 "hello.client.version is longer than 32 bytes", SB_CLIENT_VERSION_MAX},
		{"\"features\":[\"a\",\"", "\"]", "hello.features[1] is longer than 32 bytes",
		 SB_FEATURE_MAX},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
		assert_accepted(hello(fields[i].before, fields[i].max - 1, fields[i].after));
		assert_accepted(hello(fields[i].before, fields[i].max, fields[i].after));
		assert_refused(hello(fields[i].before, fields[i].max + 1, fields[i].after),
			       SB_REASON_BAD_MESSAGE, fields[i].detail);
	}
}

static void hello_lists_at_most_sixteen_features(void **state)
{
	char *fifteen = repeat(",\"f\"", SB_FEATURES_MAX - 1);

	(void)state;
	assert_accepted(print("{\"type\":\"hello\",\"features\":[\"f\"%s]}", fifteen));
	assert_refused(print("{\"type\":\"hello\",\"features\":[\"f\",\"f\"%s]}", fifteen),
		       SB_REASON_BAD_MESSAGE, "hello.features has more than 16 items");
	free(fifteen);
}

/* An ack of seq 300 with `count` failures, seq 1 and on. */
static char *ack_with_failures(int count)
{
	struct sb_text text;
	char *result;

	sb_text_init(&text);
	for (int i = 1; i <= count; i++) {
		sb_text_append_string(&text, i > 1 ? ",{\"seq\":" : "{\"seq\":");
		sb_text_append_int(&text, i);
		sb_text_append_string(&text, ",\"reason\":\"rejected\"}");
	}
	result = print("{\"type\":\"ack\",\"cursor\":\"k.300\",\"failed\":[%.*s]}", (int)text.len,
		       text.data ? text.data : "");
	sb_text_fini(&text);
	return result;
}

static void an_ack_carries_as_many_failures_as_the_largest_window(void **state)
{
	(void)state;
	assert_accepted(ack_with_failures(0));
	assert_int_equal(message.ack.failed_count, 0);
	assert_accepted(ack_with_failures(SB_FAILED_MAX));
	assert_int_equal(message.ack.failed_count, SB_FAILED_MAX);
	for (int i = 0; i < SB_FAILED_MAX; i++) {
		assert_int_equal(message.ack.failed[i].seq, i + 1);
		assert_int_equal(message.ack.failed[i].reason, SB_FAILURE_REJECTED);
	}
	assert_refused(ack_with_failures(SB_FAILED_MAX + 1), SB_REASON_BAD_MESSAGE,
		       "ack.failed has more than 256 items");
}

static void sixteen_kibibytes_are_read_and_one_more_byte_is_too_big(void **state)
{
	char *spaces = repeat(" ", SB_CLIENT_MESSAGE_MAX - strlen("{\"type\":\"ping\"}"));

	(void)state;
	assert_accepted(print("{\"type\":\"ping\"%s}", spaces));
	assert_refused(print("{\"type\":\"ping\"%s }", spaces), SB_REASON_TOO_BIG,
		       "longer than 16384 bytes");
	free(spaces);
}

static void nesting_is_followed_sixteen_deep(void **state)
{
	char *open = repeat("[", SB_JSON_DEPTH_MAX - 1),
	     *close = repeat("]", SB_JSON_DEPTH_MAX - 1);
	char *objects = repeat("{\"a\":", SB_JSON_DEPTH_MAX - 1);
	char *ends = repeat("}", SB_JSON_DEPTH_MAX - 1);

	(void)state;
	assert_accepted(print("{\"type\":\"ping\",\"x\":%s%s}", open, close));
	assert_accepted(print("{\"type\":\"ping\",\"x\":%s0%s}", objects, ends));
	assert_refused(print("{\"type\":\"ping\",\"x\":[%s%s]}", open, close),
		       SB_REASON_BAD_MESSAGE, "nested deeper than 16");
	assert_refused(print("{\"type\":\"ping\",\"x\":[%s0%s]}", objects, ends),
		       SB_REASON_BAD_MESSAGE, "nested deeper than 16");
	free(open);
	free(close);
	free(objects);
	free(ends);
}

static void a_message_of_brackets_alone_is_refused_at_once(void **state)
{
	char *open = repeat("[", SB_CLIENT_MESSAGE_MAX - 10);

	(void)state;
	assert_refused(print("{\"x\":%s", open), SB_REASON_BAD_MESSAGE, "nested deeper than 16");
	free(open);
}

static void brackets_in_strings_are_no_nesting(void **state)
{
	char *open = repeat("[{", 100);

	(void)state;
	assert_accepted(print("{\"type\":\"ping\",\"x\":\"%s\"}", open));
	assert_accepted(print("{\"type\":\"ping\",\"x\":\"\\\"%s\\\\\"}", open));
	free(open);
}

static void a_seq_is_read_exactly_up_to_the_largest(void **state)
{
	(void)state;
	assert_accepted(print("{\"type\":\"ack\",\"cursor\":\"k.%" PRId64
			      "\",\"failed\":[{\"seq\":%" PRId64 ",\"reason\":\"conflict\"}]}",
			      INT64_MAX, INT64_MAX));
	assert_int_equal(message.ack.cursor.seq, INT64_MAX);
	assert_int_equal(message.ack.failed[0].seq, INT64_MAX);
	/* 2^53 + 1 is what a double would round */
	assert_accepted(print("{\"type\":\"ack\",\"cursor\":\"k.9007199254740993\",\"failed\":"
			      "[{\"seq\":9007199254740993,\"reason\":\"conflict\"}]}"));
	assert_int_equal(message.ack.failed[0].seq, 9007199254740993);
}

static void nothing_at_all_is_refused(void **state)
{
	(void)state;
	assert_refused(print("%s", ""), SB_REASON_BAD_MESSAGE, "not a JSON object");
	assert_refused(print("   "), SB_REASON_BAD_MESSAGE, "not a JSON object");
}

static void a_raw_nul_byte_is_refused_wherever_it_is(void **state)
{
	static const char text[] = "{\"type\":\"ping\",\"x\":\"yz\"}";
	char bytes[sizeof(text)];

	(void)state;
	for (size_t i = 0; i <= sizeof(text) - 1; i++) {
		memcpy(bytes, text, i);
		bytes[i] = '\0';
		memcpy(bytes + i + 1, text + i, sizeof(text) - 1 - i);
		assert_int_equal(sb_client_message_decode(bytes, sizeof(bytes), &message, &refusal),
				 -EPROTO);
		assert_int_equal(refusal.reason, SB_REASON_BAD_MESSAGE);
	}
}

static void a_message_cut_anywhere_is_refused(void **state)
{
	static const char text[] = "{\"type\":\"ack\",\"cursor\":\"k.43\",\"failed\":[{\"seq\":42,"
				   "\"reason\":\"conflict\"}],\"x\":\"\\u00fc\xc3\xbc\"}";

	(void)state;
	for (size_t i = 0; i < sizeof(text) - 1; i++)
		assert_int_equal(decode(print("%.*s", (int)i, text)), -EPROTO);
	assert_accepted(print("%s", text));
}

static void refusals_never_repeat_what_was_sent(void **state)
{
	static const char ack[] = "{\"type\":\"ack\",\"cursor\":\"k.1\","
				  "\"failed\":[{\"seq\":1,\"reason\":\"sesame\"}]}";
	const char *const bad[] = {
		"{\"type\":\"sesame\"}",
		"{\"type\":\"hello\",\"mode\":\"sesame\"}",
		"{\"type\":\"hello\",\"cursor\":\"sesame\"}",
		ack,
		"{\"sesame\":1,\"sesame\":2}",
		"{sesame}",
		"{\"x\":sesame}",
		"{\"sesame\":1e999}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_int_equal(decode(print("%s", bad[i])), -EPROTO);
		assert_null(strstr(refusal.detail, "sesame"));
	}
}

static void what_is_written_reads_the_same(void **state)
{
	struct sb_client_message before = {
		.type = SB_CLIENT_HELLO,
		.hello = {.has_token = true,
			  .token = "sbd_1_\"quoted\"",
			  .has_cursor = true,
			  .cursor = {.epoch.text = "k3f9q2", .seq = 41},
			  .mode = SB_MODE_ONCE,
			  .client_name = "Outlook\n\xc3\xbc",
			  .client_version = "1.4.0"},
	};
	struct sb_text text;

	(void)state;
	sb_text_init(&text);
	sb_client_message_encode(&text, &before);
	assert_int_equal(sb_client_message_decode(text.data, text.len, &message, &refusal), 0);
	assert_int_equal(message.type, SB_CLIENT_HELLO);
	assert_true(message.hello.has_token && message.hello.has_cursor);
	assert_string_equal(message.hello.token, before.hello.token);
	assert_true(sb_epoch_equal(&message.hello.cursor.epoch, &before.hello.cursor.epoch));
	assert_int_equal(message.hello.cursor.seq, 41);
	assert_int_equal(message.hello.mode, SB_MODE_ONCE);
	assert_string_equal(message.hello.client_name, before.hello.client_name);
	assert_string_equal(message.hello.client_version, before.hello.client_version);
	sb_text_fini(&text);
}

static void failures_are_their_words(void **state)
{
	(void)state;
	assert_string_equal(sb_failure_word(SB_FAILURE_CONFLICT), "conflict");
	assert_string_equal(sb_failure_word(SB_FAILURE_REJECTED), "rejected");
	assert_string_equal(sb_failure_word(SB_FAILURE_UNSUPPORTED), "unsupported");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(hello_text_is_bounded),
		TEST(hello_lists_at_most_sixteen_features),
		TEST(an_ack_carries_as_many_failures_as_the_largest_window),
		TEST(sixteen_kibibytes_are_read_and_one_more_byte_is_too_big),
		TEST(nesting_is_followed_sixteen_deep),
		TEST(a_message_of_brackets_alone_is_refused_at_once),
		TEST(brackets_in_strings_are_no_nesting),
		TEST(a_seq_is_read_exactly_up_to_the_largest),
		TEST(nothing_at_all_is_refused),
		TEST(a_raw_nul_byte_is_refused_wherever_it_is),
		TEST(a_message_cut_anywhere_is_refused),
		TEST(refusals_never_repeat_what_was_sent),
		TEST(what_is_written_reads_the_same),
		TEST(failures_are_their_words),
	};

	return cmocka_run_group_tests_name("protocol/client", tests, NULL, NULL);
}
