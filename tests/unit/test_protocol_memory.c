/*
 * Decoding without memory: -ENOMEM wherever it runs out, nothing lost, jansson
 * as it was, and the next message as good as ever.
 *
 * Under LeakSanitizer this also shows that all that was allocated until then
 * is freed.
 */
#include "test_protocol_help.h"
#include <jansson.h>

static int calls_left = INT_MAX; /* of malloc, until it fails once and for all */

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

void *__wrap_malloc(size_t size)
{
	if (calls_left == 0)
		return NULL;
	calls_left--;
	return __real_malloc(size);
}

static int decode_client(const char *text)
{
	struct sb_client_message message;
	struct sb_refusal refusal;

	return sb_client_message_decode(text, strlen(text), &message, &refusal);
}

static int decode_server(const char *text)
{
	struct sb_server_message message;
	struct sb_refusal refusal;
	int result = sb_server_message_decode(text, strlen(text), &message, &refusal);

	if (result < 0)
		assert_null(message.root);
	sb_server_message_fini(&message);
	return result;
}

/* Fails the first, second, ... malloc until there is enough; returns how many fail it takes. */
static int fail_each(int (*decode)(const char *text), const char *text)
{
	int failures = 0;

	for (;; failures++) {
		json_malloc_t json_malloc_now;
		json_free_t json_free_now;
		int result;

		calls_left = failures;
		result = decode(text);
		calls_left = INT_MAX;
		json_get_alloc_funcs(&json_malloc_now, &json_free_now);
		assert_ptr_equal(json_free_now, free);
		if (result == 0)
			return failures;
		assert_int_equal(result, -ENOMEM);
		assert_int_equal(decode("{\"type\":\"ping\"}"), 0);
	}
}

static void a_short_message_needs_one_allocation(void **state)
{
	(void)state;
	assert_int_equal(fail_each(decode_client, "{\"type\":\"ping\"}"), 1);
	assert_int_equal(fail_each(decode_client, "{\"type\":\"ack\",\"cursor\":\"k3f9q2.43\"}"),
			 1);
	assert_int_equal(
		fail_each(decode_client,
			  "{\"type\":\"hello\",\"token\":"
			  "\"sbd_42_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\",\"cursor\":"
			  "\"k3f9q2.41\",\"mode\":\"live\",\"client\":{\"name\":\"outlook-com\","
			  "\"version\":\"1.4.0\"},\"features\":[]}"),
		1);
}

/*
 * The arena's pieces are few, so padding moves their ends through every kind of
 * allocation that jansson makes: its lexer's buffer, tables, keys, strings.
 */
static void memory_may_run_out_anywhere_in_an_ack(void **state)
{
	int most = 0;

	(void)state;
	for (size_t padding = 0; padding < 4096; padding += 7) {
		char *letters = repeat("p", padding);
		char *items = repeat(",[{\"a string of some length\":123456789012345678}]", 60);
		char *text = print("{\"%s\":\"\\u00fc\",\"x\":[0%s],\"type\":\"ack\","
				   "\"cursor\":\"k3f9q2.123456789012345\"}",
				   letters, items);
		int failures = fail_each(decode_client, text);

		if (failures > most)
			most = failures;
		free(text);
		free(items);
		free(letters);
	}
	assert_true(most >= 3);
}

static void memory_may_run_out_anywhere_in_a_booking(void **state)
{
	(void)state;
	for (size_t people = 1; people <= SB_ATTENDEES_MAX; people += 13) {
		char *list =
			repeat(",{\"name\":\"Grace\",\"email\":\"grace@example.com\"}", people);
		char *text = print("{\"type\":\"booking\",\"seq\":1,\"cursor\":\"k.1\",\"change\":"
				   "\"created\",\"published_at\":\"2026-11-23T09:12:44.123456Z\","
				   "\"booking\":{\"uid\":\"u\",\"version\":1,\"attendees\":[%s]}}",
				   list + 1);

		assert_true(fail_each(decode_server, text) >= 1);
		free(text);
		free(list);
	}
}

static void a_refusal_needs_no_more_than_the_parse(void **state)
{
	struct sb_client_message message;
	struct sb_refusal refusal;

	(void)state;
	calls_left = 0;
	assert_int_equal(sb_client_message_decode("[]", 2, &message, &refusal), -EPROTO);
	assert_int_equal(sb_client_message_decode("{}", 2, &message, &refusal), -ENOMEM);
	calls_left = 1;
	assert_int_equal(sb_client_message_decode("{}", 2, &message, &refusal), -EPROTO);
	calls_left = INT_MAX;
}

static void *counting_malloc(size_t size)
{
	return malloc(size);
}

static void counting_free(void *memory)
{
	free(memory);
}

static void another_allocator_of_jansson_stays_in_place(void **state)
{
	json_malloc_t json_malloc_now;
	json_free_t json_free_now;

	(void)state;
	json_set_alloc_funcs(counting_malloc, counting_free);
	assert_int_equal(decode_client("{\"type\":\"ping\"}"), 0);
	assert_int_equal(decode_client("{\"type\":"), -EPROTO);
	json_get_alloc_funcs(&json_malloc_now, &json_free_now);
	assert_ptr_equal(json_malloc_now, counting_malloc);
	assert_ptr_equal(json_free_now, counting_free);
	json_set_alloc_funcs(malloc, free);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_short_message_needs_one_allocation),
		TEST(memory_may_run_out_anywhere_in_an_ack),
		TEST(memory_may_run_out_anywhere_in_a_booking),
		TEST(a_refusal_needs_no_more_than_the_parse),
		TEST(another_allocator_of_jansson_stays_in_place),
	};

	return cmocka_run_group_tests_name("protocol/memory", tests, NULL, NULL);
}
