/* What the receiver holds: nothing for what comes whole, little for what comes in parts, never a
 * secret for longer than it must; and what becomes of random streams. */
#include "protocol/limits.h"
#include "receiver_feed.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after its standard headers */
#include <cmocka.h>

#define SECRET "sbd_42_SECRET"

static char filler[SB_CLIENT_MESSAGE_MAX];

static int set_up(void **state)
{
	(void)state;
	stream_clear();
	memory_clear();
	memset(filler, 'x', sizeof(filler));
	return 0;
}

static void what_comes_whole_takes_no_memory(void **state)
{
	(void)state;
	for (int i = 0; i < 10; i++) {
		stream_frame(FIN | TEXT, filler, 1000);
		stream_frame(FIN | PING, filler, 125);
		stream_frame(FIN | PONG, filler, 125);
	}
	stream_close(1000, filler, 100);
	(void)feed(stream.len, 1);
	assert_int_equal(memory.allocations, 0);
}

static void empty_fragments_take_no_memory(void **state)
{
	(void)state;
	stream_text(TEXT, "");
	for (int i = 0; i < 20000; i++)
		stream_text(CONTINUATION, "");
	stream_text(FIN | CONTINUATION, "end");
	assert_string_equal(feed(stream.len, 1), "text end");
	assert_int_equal(memory.allocations, 0);
	assert_string_equal(feed(4096, 4096), "text end");
	assert_in_range(memory.allocations, 0, 1); /* where "end" was cut */
}

/* By what has come, not by what was announced; and twice as much each time. */
static void a_message_takes_at_most_twice_what_has_come(void **state)
{
	size_t header;

	(void)state;
	stream_frame(FIN | TEXT, filler, SB_CLIENT_MESSAGE_MAX);
	header = stream.len - SB_CLIENT_MESSAGE_MAX;
	for (size_t come = 1; come < SB_CLIENT_MESSAGE_MAX; come = come * 3 + 1) {
		stream.len = header + come;
		memory_clear();
		assert_string_equal(feed(1, 1), "");
		assert_in_range(memory.largest, come, 2 * come);
		assert_in_range(memory.allocations, 1, 16);
		memory_clear();
		(void)feed(stream.len, 1);
		assert_int_equal(memory.largest, come);
	}
}

static void a_message_never_takes_more_than_its_maximum(void **state)
{
	(void)state;
	stream_frame(TEXT, filler, 9000);
	stream_frame(CONTINUATION, filler, 1);
	stream_frame(FIN | CONTINUATION, filler, SB_CLIENT_MESSAGE_MAX - 9001);
	for (size_t read = 1; read < 20000; read = read * 2 + 1) {
		memory_clear();
		(void)feed(read, read);
		assert_int_equal(memory.largest, SB_CLIENT_MESSAGE_MAX);
	}
}

static void a_control_frame_in_parts_takes_its_own_length(void **state)
{
	(void)state;
	stream_frame(FIN | PING, filler, 125);
	(void)feed(10, 1);
	assert_int_equal(memory.allocations, 1);
	assert_int_equal(memory.largest, 125);
}

/* ---- secrets ---- */

static void a_secret_is_wiped_wherever_it_is_cut(void **state)
{
	(void)state;
	stream_text(TEXT, "{\"token\":\"" SECRET "\",");
	stream_text(FIN | PING, "ping");
	stream_text(CONTINUATION, "\"x\":\"a rather long end, so that the buffer grows\"");
	stream_text(FIN | CONTINUATION, "}");
	stream_text(FIN | TEXT, "next");
	for (size_t len = 1; len <= stream.len; len++) {
		size_t whole = stream.len;

		stream.len = len; /* the connection may end anywhere */
		memory.secret = SECRET;
		(void)feed(1, 1);
		for (size_t cut = 1; cut < len; cut++)
			(void)feed(cut, whole);
		stream.len = whole;
	}
	assert_int_equal(memory.unwiped, 0);
	assert_true(memory.allocations > 1000);
}

static void a_secret_is_wiped_when_the_stream_fails(void **state)
{
	(void)state;
	memory.secret = SECRET;
	stream_text(TEXT, SECRET);
	stream_text(TEXT, "a new message amid fragments");
	stream_gives("fail 1002");
	stream_clear();
	stream_text(TEXT, SECRET);
	stream_frame(FIN | CONTINUATION, "\xff", 1);
	stream_gives("fail 4400");
	stream_clear();
	stream_text(TEXT, SECRET);
	stream_close(1000, NULL, 0);
	stream_gives("close 1000");
	assert_int_equal(memory.unwiped, 0);
}

/* The next call releases it, so no message outlives the turn of the loop that brought it. */
static void a_message_is_released_by_the_next_call(void **state)
{
	struct sb_receiver receiver;
	struct sb_received received;
	uint8_t *bytes = stream.bytes;
	size_t left;

	(void)state;
	stream_text(TEXT, "a");
	stream_text(FIN | CONTINUATION, "b");
	left = stream.len;
	sb_receiver_init(&receiver);
	assert_int_equal(sb_receiver_next(&receiver, &bytes, &left, &received), SB_RECEIVER_TEXT);
	assert_non_null(receiver.message);
	assert_int_equal(sb_receiver_next(&receiver, &bytes, &left, &received), SB_RECEIVER_MORE);
	assert_null(receiver.message);
	sb_receiver_clear(&receiver);
	sb_receiver_clear(NULL);
}

/* ---- out of memory ---- */

static void every_allocation_may_fail(void **state)
{
	int fail_at = 0;

	(void)state;
	stream_text(FIN | PING, "ping");
	stream_text(TEXT, SECRET);
	stream_text(FIN | PING, "amid");
	stream_text(FIN | CONTINUATION, "and more than twice as much as the first");
	stream_close(1000, "bye", 3);
	do {
		const char *events;

		memory_clear();
		memory.secret = SECRET;
		memory.fail_at = ++fail_at;
		events = feed(1, 1);
		assert_int_equal(memory.unwiped, 0);
		if (memory.allocations >= fail_at)
			assert_string_equal(events + strlen(events) - 9, "fail 1013");
		else
			assert_string_equal(events + strlen(events) - 14, "close 1000 bye");
	} while (memory.allocations >= fail_at);
	assert_true(fail_at > 5);
}

/* ---- random streams ---- */

struct plan {
	uint32_t seed;
	size_t len;
	char events[20000];
};

static uint32_t dice(struct plan *plan, uint32_t sides)
{
	return chance(&plan->seed) % sides;
}

static void expect(struct plan *plan, const char *word, const char *payload, size_t len)
{
	assert_true(plan->len + len + 20 < sizeof(plan->events));
	plan->len += (size_t)snprintf(plan->events + plan->len, sizeof(plan->events) - plan->len,
				      "%s%s%s%.*s", plan->len ? "; " : "", word, len ? " " : "",
				      (int)len, payload);
}

/* Whole characters of one to four bytes: their length. */
static size_t letters(struct plan *plan, char *buffer, uint32_t count)
{
	static const char *const alphabet[] = {
		"a", "z", " ", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x94\x94"};
	size_t len = 0;

	for (uint32_t i = 0; i < count; i++) {
		const char *letter = alphabet[dice(plan, 6)];

		memcpy(buffer + len, letter, strlen(letter));
		len += strlen(letter);
	}
	return len;
}

static void plan_control(struct plan *plan)
{
	char payload[128];
	size_t len = letters(plan, payload, dice(plan, 31));
	bool is_ping = dice(plan, 2);

	stream_frame(FIN | (is_ping ? PING : PONG), payload, len);
	expect(plan, is_ping ? "ping" : "pong", payload, len);
}

static void plan_message(struct plan *plan)
{
	char payload[256];
	size_t len = letters(plan, payload, dice(plan, 50)), at = 0;
	uint8_t opcode = TEXT;

	while (dice(plan, 3) > 0) {
		size_t span = dice(plan, (uint32_t)(len - at) + 1);

		stream_frame(opcode, payload + at, span);
		at += span;
		opcode = CONTINUATION;
		if (dice(plan, 4) == 0)
			plan_control(plan);
	}
	stream_frame(FIN | opcode, payload + at, len - at);
	expect(plan, "text", payload, len);
}

static void plan_end(struct plan *plan)
{
	static const uint8_t garbage[] = {0xff, 0x83, 0x0b, 0x09};
	uint8_t byte = garbage[dice(plan, sizeof(garbage))];

	switch (dice(plan, 3)) {
	case 0:
		stream_close(1001, "off", 3);
		expect(plan, "close 1001", "off", 3);
		break;
	case 1:
		stream_raw(&byte, 1);
		expect(plan, "fail 1002", "", 0);
		break;
	default:
		return;
	}
	while (dice(plan, 20) > 0) {
		byte = (uint8_t)dice(plan, 256);
		stream_raw(&byte, 1);
	}
}

static void random_streams_give_what_was_put_in_however_they_are_cut(void **state)
{
	const uint32_t seeds = getenv("SLOTBELL_LONG") ? 20000 : 300;

	(void)state;
	for (uint32_t seed = 1; seed <= seeds; seed++) {
		struct plan plan = {.seed = seed};

		stream_clear();
		for (uint32_t steps = dice(&plan, 8); steps > 0; steps--) {
			if (dice(&plan, 3))
				plan_message(&plan);
			else
				plan_control(&plan);
		}
		plan_end(&plan);
		for (int cut = 0; cut < 20; cut++) {
			size_t first = 1 + dice(&plan, (uint32_t)stream.len + 1);
			size_t read = 1 + dice(&plan, cut % 2 ? 20 : 1000);

			if (strcmp(feed(first, read), plan.events) != 0) {
				print_error("seed %u, reads of %zu and %zu bytes\n", seed, first,
					    read);
				assert_string_equal(feed(first, read), plan.events);
			}
		}
	}
}

/* Bytes that nobody made: the same events, however they are cut. */
static void random_bytes_mean_the_same_however_they_are_cut(void **state)
{
	const uint32_t seeds = getenv("SLOTBELL_LONG") ? 200000 : 5000;

	(void)state;
	for (uint32_t seed = 1; seed <= seeds; seed++) {
		uint32_t dice_seed = seed;
		char whole[2000];

		stream_clear();
		for (uint32_t frames = 1 + chance(&dice_seed) % 4; frames > 0; frames--) {
			uint8_t bytes[40];
			size_t len = chance(&dice_seed) % sizeof(bytes);

			for (size_t i = 0; i < sizeof(bytes); i++)
				bytes[i] = (uint8_t)chance(&dice_seed);
			/* mostly something like a frame */
			if (chance(&dice_seed) % 8)
				stream_frame(bytes[0] & (chance(&dice_seed) % 4 ? 0x8b : 0xff),
					     bytes + 1, len ? len - 1 : 0);
			else
				stream_raw(bytes, len);
		}
		(void)snprintf(whole, sizeof(whole), "%s", feed(stream.len + 1, 1));
		for (size_t cut = 1; cut < stream.len; cut++) {
			if (strcmp(feed(cut, cut), whole) != 0) {
				print_error("seed %u, reads of %zu bytes\n", seed, cut);
				assert_string_equal(feed(cut, cut), whole);
			}
		}
	}
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup(name, set_up)
	const struct CMUnitTest tests[] = {
		CASE(what_comes_whole_takes_no_memory),
		CASE(empty_fragments_take_no_memory),
		CASE(a_message_takes_at_most_twice_what_has_come),
		CASE(a_message_never_takes_more_than_its_maximum),
		CASE(a_control_frame_in_parts_takes_its_own_length),
		CASE(a_secret_is_wiped_wherever_it_is_cut),
		CASE(a_secret_is_wiped_when_the_stream_fails),
		CASE(a_message_is_released_by_the_next_call),
		CASE(every_allocation_may_fail),
		CASE(random_streams_give_what_was_put_in_however_they_are_cut),
		CASE(random_bytes_mean_the_same_however_they_are_cut),
	};

	return cmocka_run_group_tests_name("edge: memory of the receiver", tests, NULL, NULL);
}
