/* The plug-in's small parts: TLS' rules, the jump of a clock, why a connection ended, file names,
 * queues. */
#include "plugin-stub/calendar_name.h"
#include "plugin-stub/ending.h"
#include "plugin-stub/frames.h"
#include "plugin-stub/jump.h"
#include "plugin-stub/retry_after.h"
#include "plugin-stub/tls.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka.h wants those above before it */
#include <cmocka.h>

/* ---- TLS ---- */

/* In TLS 1.2 each would cost us a handshake. */
static void a_server_gets_no_further_handshakes_of_a_connection(void **state)
{
	SSL_CTX *ctx;

	(void)state;
	assert_int_equal(sb_tls_client_new("localhost", NULL, &ctx), 0);
	assert_true(SSL_CTX_get_options(ctx) & SSL_OP_NO_RENEGOTIATION);
	SSL_CTX_free(ctx);
}

/* ---- jump ---- */

static void the_first_look_at_the_clocks_is_no_jump(void **state)
{
	struct sb_jump jump = {.begun = false};

	(void)state;
	assert_false(sb_jump_look(&jump, 1795425164000, 5));
	assert_false(sb_jump_look(&jump, 1795425165000, 1005));
}

static void clocks_may_drift_and_looks_be_late(void **state)
{
	struct sb_jump jump = {.begun = false};
	int64_t wall = 1795425164000, monotonic = 5;

	(void)state;
	sb_jump_look(&jump, wall, monotonic);
	for (int i = 0; i < 100; i++) {
		wall += 60000 + 500; /* a loop that was busy for a minute, a clock that is slewed */
		monotonic += 60000;
		assert_false(sb_jump_look(&jump, wall, monotonic));
	}
}

static void a_clock_that_leaves_the_other_behind_has_jumped(void **state)
{
	static const struct {
		int64_t by_ms;
		bool jumped;
	} cases[] = {{4999, false},  {5000, false},  {5001, true},  {28800000, true},
		     {-4999, false}, {-5000, false}, {-5001, true}, {-86400000, true}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct sb_jump jump = {.begun = false};
		int64_t wall = 1795425164000;

		sb_jump_look(&jump, wall, 5);
		wall += 1000 + cases[i].by_ms;
		assert_int_equal(sb_jump_look(&jump, wall, 1005), cases[i].jumped);
		assert_false(sb_jump_look(&jump, wall + 1000, 2005)); /* once for each */
	}
}

/* ---- Retry-After ---- */

static void retry_after_is_a_number_of_seconds(void **state)
{
	static const struct {
		const char *text;
		bool good;
		uint32_t ms;
	} cases[] = {
		{"0", true, 0},
		{"7", true, 7000},
		{"120", true, 120000},
		{" 7\t", true, 7000},
		{"007", true, 7000},
		{"4294966", true, 4294966000},
		{"4294967", true, 4294967000},
		{"4294968", false, 0},
		{"99999999", false, 0},
		{"18446744073709551617", false, 0},
		{"", false, 0},
		{" ", false, 0},
		{"-1", false, 0},
		{"+1", false, 0},
		{"1.5", false, 0},
		{"7 8", false, 0},
		{"7s", false, 0},
		{"Wed, 21 Oct 2026 07:28:00 GMT", false, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		uint32_t ms = 0;

		if (sb_retry_after_parse(cases[i].text, &ms) != cases[i].good)
			fail_msg("%s", cases[i].text);
		assert_int_equal(ms, cases[i].ms);
	}
}

/* ---- endings ---- */

static void the_first_cause_and_the_first_words_are_told(void **state)
{
	struct sb_ending ending;

	(void)state;
	sb_ending_clear(&ending);
	sb_ending_explain(&ending, "%s", "");
	sb_ending_explain(&ending, "the certificate is refused: %s", "expired");
	sb_ending_set(&ending, 1006, "connect SSL err 1");
	sb_ending_set(&ending, 1000, "closed by us");
	assert_int_equal(sb_ending_gone(&ending).code, 1006);
	assert_string_equal(sb_ending_gone(&ending).words, "the certificate is refused: expired");
	assert_false(sb_ending_gone(&ending).has_hint);
	sb_ending_clear(&ending);
	assert_int_equal(ending.code, 0);
	assert_string_equal(ending.words, "");
}

static void an_http_answer_may_say_when_to_come_back(void **state)
{
	static const struct {
		const char *after;
		bool has_hint;
		uint32_t hint_ms;
	} cases[] = {{NULL, false, 0}, {"soon", false, 0}, {"7", true, 7000}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct sb_ending ending;
		struct sb_gone gone;

		sb_ending_clear(&ending);
		sb_ending_set_http(&ending, 503, cases[i].after);
		gone = sb_ending_gone(&ending);
		assert_int_equal(gone.code, 1006);
		assert_int_equal(gone.has_hint, cases[i].has_hint);
		assert_int_equal(gone.hint_ms, cases[i].hint_ms);
		assert_string_equal(gone.words, "the upgrade was answered with HTTP 503");
	}
}

static void words_are_one_line_of_a_bounded_length(void **state)
{
	char text[SB_ENDING_WORDS_SIZE + 8];

	(void)state;
	for (size_t len = SB_ENDING_WORDS_SIZE - 2; len <= SB_ENDING_WORDS_SIZE; len++) {
		struct sb_ending ending;

		memset(text, '\n', len);
		text[len] = '\0';
		sb_ending_clear(&ending);
		sb_ending_set(&ending, 4000, text);
		assert_int_equal(strlen(ending.words),
				 len < SB_ENDING_WORDS_SIZE ? len : SB_ENDING_WORDS_SIZE - 1);
		assert_int_equal(ending.words[strspn(ending.words, " ")], '\0');
	}
}

/* ---- file names ---- */

static void assert_name(const char *uid, const char *expected)
{
	char name[SB_CALENDAR_NAME_MAX + 1];

	assert_int_equal(sb_calendar_name(uid, name), 0);
	assert_string_equal(name, expected);
}

static void a_uid_names_a_file_in_its_folder_whatever_it_holds(void **state)
{
	(void)state;
	assert_name("6f1c@shop", "6f1c@shop.ics");
	assert_name("a_b-c=", "a_b-c=.ics");
	assert_name(".", "%2E.ics");
	assert_name("..", "%2E%2E.ics");
	assert_name("../x", "%2E%2E%2Fx.ics");
	assert_name(".slotbell.tmp", "%2Eslotbell%2Etmp.ics");
	assert_name("a b\n\x7f", "a%20b%0A%7F.ics");
	assert_name("%2E", "%252E.ics"); /* not the name of another uid */
	assert_name("a~b", "a%7Eb.ics");
	assert_name("\xc3\xa4", "%C3%A4.ics");
}

/* To which the appointment would be written, on a folder that Windows serves. */
static void no_uid_names_a_device(void **state)
{
	(void)state;
	assert_name("CON", "%43ON.ics");
	assert_name("nul", "%6Eul.ics");
	assert_name("Aux", "%41ux.ics");
	assert_name("prn", "%70rn.ics");
	assert_name("com1", "%63om1.ics");
	assert_name("LPT9", "%4CPT9.ics");
	assert_name("com10", "com10.ics");
	assert_name("comx", "comx.ics");
	assert_name("con.x", "con%2Ex.ics");
}

static void a_long_uid_becomes_its_beginning_and_its_hash(void **state)
{
	char uid[1024], name[SB_CALENDAR_NAME_MAX + 1], other[SB_CALENDAR_NAME_MAX + 1];

	(void)state;
	for (size_t len = SB_CALENDAR_NAME_MAX - 5; len <= SB_CALENDAR_NAME_MAX - 3; len++) {
		memset(uid, 'a', len);
		uid[len] = '\0';
		assert_int_equal(sb_calendar_name(uid, name), 0);
		assert_true(strlen(name) <= SB_CALENDAR_NAME_MAX);
		assert_int_equal(strchr(name, '~') != NULL, len > SB_CALENDAR_NAME_MAX - 4);
	}
	uid[0] = 'b';
	assert_int_equal(sb_calendar_name(uid, other), 0);
	assert_string_not_equal(name, other);
	/* 255 characters of four bytes, each of them three in the name: cut between escapes. */
	memset(uid, 0, sizeof(uid));
	for (int i = 0; i < 255; i++)
		memcpy(uid + 4 * i, "\xf0\x9f\x94\x94", 4);
	assert_int_equal(sb_calendar_name(uid, name), 0);
	assert_true(strlen(name) <= SB_CALENDAR_NAME_MAX);
	for (const char *c = name; *c != '~'; c += 3)
		assert_int_equal(*c, '%');
}

/* ---- queues ---- */

static void messages_leave_in_the_order_they_came(void **state)
{
	struct sb_outbox box;
	struct sb_outgoing *out;

	(void)state;
	sb_outbox_init(&box);
	assert_null(sb_outbox_pop(&box));
	assert_int_equal(sb_outbox_push(&box, 4, "one", 3), 0);
	assert_int_equal(sb_outbox_push(&box, 4, "two", 3), 0);
	out = sb_outbox_pop(&box);
	assert_int_equal(out->len, 3);
	assert_memory_equal(out->bytes + 4, "one", 3);
	free(out);
	assert_int_equal(sb_outbox_push(&box, 4, "three", 5), 0);
	out = sb_outbox_pop(&box);
	assert_memory_equal(out->bytes + 4, "two", 3);
	free(out);
	sb_outbox_clear(&box);
	assert_null(sb_outbox_pop(&box));
	assert_int_equal(sb_outbox_push(&box, 4, "four", 4), 0);
	sb_outbox_clear(&box);
}

static void parts_become_one_message_of_a_bounded_size(void **state)
{
	struct sb_inbox box = {.bytes = NULL};

	(void)state;
	assert_int_equal(sb_inbox_add(&box, NULL, 0, 10), 0);
	assert_int_equal(sb_inbox_add(&box, "01234", 5, 10), 0);
	assert_int_equal(sb_inbox_add(&box, "5678", 4, 10), 0);
	assert_int_equal(sb_inbox_add(&box, "9", 1, 10), 0);
	assert_int_equal(box.len, 10);
	assert_memory_equal(box.bytes, "0123456789", 10);
	assert_int_equal(sb_inbox_add(&box, "x", 1, 10), -EFBIG);
	sb_inbox_clear(&box);
	assert_int_equal(box.len, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_server_gets_no_further_handshakes_of_a_connection),
		cmocka_unit_test(the_first_look_at_the_clocks_is_no_jump),
		cmocka_unit_test(clocks_may_drift_and_looks_be_late),
		cmocka_unit_test(a_clock_that_leaves_the_other_behind_has_jumped),
		cmocka_unit_test(retry_after_is_a_number_of_seconds),
		cmocka_unit_test(the_first_cause_and_the_first_words_are_told),
		cmocka_unit_test(an_http_answer_may_say_when_to_come_back),
		cmocka_unit_test(words_are_one_line_of_a_bounded_length),
		cmocka_unit_test(a_uid_names_a_file_in_its_folder_whatever_it_holds),
		cmocka_unit_test(no_uid_names_a_device),
		cmocka_unit_test(a_long_uid_becomes_its_beginning_and_its_hash),
		cmocka_unit_test(messages_leave_in_the_order_they_came),
		cmocka_unit_test(parts_become_one_message_of_a_bounded_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
