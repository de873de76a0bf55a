/* The receiver of websocket frames: every rule of receiver.h, at, below and above its limits,
 * however the bytes are cut. */
#include "protocol/limits.h"
#include "receiver_feed.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after its standard headers */
#include <cmocka.h>

static char filler[2 * SB_CLIENT_MESSAGE_MAX];

static int set_up(void **state)
{
	(void)state;
	stream_clear();
	memory_clear();
	memset(filler, 'x', sizeof(filler));
	return 0;
}

/* How the receiver shows a payload of so many 'x', see receiver_feed.c. */
static const char *text_of(size_t len)
{
	static char words[64];
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum = sum * 31 + 'x';
	(void)snprintf(words, sizeof(words), "text (%zu bytes, %08x)", len, (unsigned int)sum);
	return words;
}

/* A good message, a frame in question, and one more message: what is wrong is told once, and ends
 * it. */
static void begin(void)
{
	stream_clear();
	stream_text(FIN | TEXT, "a");
}

static void refused(int code)
{
	char events[32];

	stream_text(FIN | TEXT, "b");
	stream_text(FIN | PING, "c");
	stream_close(1000, NULL, 0);
	(void)snprintf(events, sizeof(events), "text a; fail %d", code);
	stream_gives(events);
}

static void taken(const char *events)
{
	char all[250];

	stream_text(FIN | TEXT, "b");
	(void)snprintf(all, sizeof(all), "text a; %s; text b", events);
	stream_gives(all);
}

/* ---- messages ---- */

static void messages_of_every_form_of_length(void **state)
{
	static const size_t lens[] = {126, 127, 255, 256, 4096, 16383, 16384};
	char events[200];

	(void)state;
	begin();
	stream_text(FIN | TEXT, "");
	stream_frame(FIN | TEXT, filler, 125);
	(void)snprintf(events, sizeof(events), "text; text %.125s", filler);
	taken(events);
	for (size_t i = 0; i < sizeof(lens) / sizeof(*lens); i++) {
		begin();
		stream_frame(FIN | TEXT, filler, lens[i]);
		if (lens[i] > 200) {
			taken(text_of(lens[i]));
		} else {
			(void)snprintf(events, sizeof(events), "text %.*s", (int)lens[i], filler);
			taken(events);
		}
	}
}

static void a_message_over_16384_bytes_is_refused_by_its_header(void **state)
{
	static const uint64_t lens[] = {16385, 65535, 65536, 1 << 24, 1ULL << 32, INT64_MAX};

	(void)state;
	for (size_t i = 0; i < sizeof(lens) / sizeof(*lens); i++) {
		begin();
		stream_header(FIN | TEXT, lens[i], lens[i] < 65536 ? 2 : 8);
		/* not even the mask is waited for */
		stream.len -= 4;
		stream_gives("text a; fail 1009");
		refused(1009);
	}
}

static void fragments_together_have_the_same_limit(void **state)
{
	(void)state;
	begin();
	stream_frame(TEXT, filler, 10000);
	stream_frame(CONTINUATION, filler, 6000);
	stream_frame(FIN | CONTINUATION, filler, 384);
	taken(text_of(16384));
	begin();
	stream_frame(TEXT, filler, 16384);
	stream_frame(CONTINUATION, filler, 0);
	stream_frame(FIN | CONTINUATION, filler, 0);
	taken(text_of(16384));
	begin();
	stream_frame(TEXT, filler, 10000);
	stream_frame(CONTINUATION, filler, 6000);
	stream_header(CONTINUATION, 385, 2);
	refused(1009);
	begin();
	stream_frame(TEXT, filler, 16384);
	stream_header(FIN | CONTINUATION, 1, 0);
	refused(1009);
	begin();
	stream_frame(TEXT, filler, 1);
	stream_header(FIN | CONTINUATION, INT64_MAX, 8);
	refused(1009);
}

static void fragments_become_one_message(void **state)
{
	(void)state;
	begin();
	stream_text(TEXT, "hel");
	stream_text(CONTINUATION, "");
	stream_text(CONTINUATION, "l");
	stream_text(FIN | CONTINUATION, "o");
	stream_text(TEXT, "");
	stream_text(CONTINUATION, "");
	stream_text(FIN | CONTINUATION, "");
	stream_text(TEXT, "");
	stream_text(FIN | CONTINUATION, "late");
	stream_text(TEXT, "early");
	stream_text(FIN | CONTINUATION, "");
	taken("text hello; text; text late; text early");
}

static void control_frames_come_amid_fragments(void **state)
{
	(void)state;
	begin();
	stream_text(TEXT, "he");
	stream_text(FIN | PING, "one");
	stream_text(CONTINUATION, "ll");
	stream_text(FIN | PONG, "two");
	stream_text(FIN | PING, "");
	stream_text(FIN | CONTINUATION, "o");
	taken("ping one; pong two; ping; text hello");
	begin();
	stream_text(TEXT, "he");
	stream_close(1001, "gone", 4);
	stream_text(FIN | CONTINUATION, "o");
	stream_gives("text a; close 1001 gone");
}

static void a_binary_message_is_refused(void **state)
{
	(void)state;
	begin();
	stream_frame(FIN | BINARY, "", 0);
	refused(4400);
	begin();
	stream_frame(BINARY, "x", 1);
	refused(4400);
	/* by its first byte */
	begin();
	stream_raw("\x82", 1);
	stream_gives("text a; fail 4400");
}

/* ---- what RFC 6455 forbids ---- */

static void a_frame_without_a_mask_is_refused(void **state)
{
	static const uint8_t firsts[] = {FIN | TEXT, TEXT, FIN | CLOSE, FIN | PING, FIN | PONG};

	(void)state;
	for (size_t i = 0; i < sizeof(firsts); i++) {
		uint8_t header[2] = {firsts[i], 0};

		begin();
		stream_raw(header, sizeof(header));
		stream_gives("text a; fail 1002");
		refused(1002);
	}
	begin();
	stream_text(TEXT, "x");
	stream_raw("\x80\x01y", 3);
	refused(1002);
}

static void reserved_bits_are_refused(void **state)
{
	static const uint8_t opcodes[] = {TEXT, BINARY, CLOSE, PING, PONG};

	(void)state;
	for (uint8_t bits = 1; bits < 8; bits++) {
		for (size_t i = 0; i < sizeof(opcodes); i++) {
			begin();
			stream_text((uint8_t)(FIN | bits << 4 | opcodes[i]), "");
			refused(1002);
		}
		begin();
		stream_text(TEXT, "x");
		stream_text((uint8_t)(FIN | bits << 4), "y");
		refused(1002);
	}
}

static void reserved_opcodes_are_refused(void **state)
{
	static const uint8_t opcodes[] = {3, 4, 5, 6, 7, 11, 12, 13, 14, 15};

	(void)state;
	for (size_t i = 0; i < sizeof(opcodes); i++) {
		begin();
		stream_text(FIN | opcodes[i], "x");
		refused(1002);
		begin();
		stream_text(opcodes[i], "");
		refused(1002);
		begin();
		stream_text(TEXT, "x");
		stream_text(FIN | opcodes[i], "x");
		refused(1002);
	}
}

static void a_control_frame_in_fragments_is_refused(void **state)
{
	static const uint8_t opcodes[] = {CLOSE, PING, PONG};

	(void)state;
	for (size_t i = 0; i < sizeof(opcodes); i++) {
		begin();
		stream_text(opcodes[i], "");
		refused(1002);
	}
}

static void a_control_frame_has_at_most_125_bytes(void **state)
{
	static const uint8_t opcodes[] = {CLOSE, PING, PONG};
	char events[200];

	(void)state;
	begin();
	stream_frame(FIN | PING, filler, 124);
	(void)snprintf(events, sizeof(events), "ping %.124s", filler);
	taken(events);
	begin();
	stream_frame(FIN | PING, filler, 125);
	(void)snprintf(events, sizeof(events), "ping %.125s", filler);
	taken(events);
	begin();
	stream_frame(FIN | PONG, filler, 125);
	(void)snprintf(events, sizeof(events), "pong %.125s", filler);
	taken(events);
	begin();
	stream_close(1000, filler, 123);
	(void)snprintf(events, sizeof(events), "text a; close 1000 %.123s", filler);
	stream_gives(events);
	for (size_t i = 0; i < sizeof(opcodes); i++) {
		begin();
		stream_header(FIN | opcodes[i], 126, 2);
		refused(1002);
		begin();
		stream_header(FIN | opcodes[i], 65536, 8);
		refused(1002);
		/* by its second byte */
		begin();
		stream_header(FIN | opcodes[i], 126, 2);
		stream.len -= 6;
		stream_gives("text a; fail 1002");
	}
}

static void a_continuation_needs_a_beginning(void **state)
{
	(void)state;
	begin();
	stream_text(FIN | CONTINUATION, "x");
	refused(1002);
	begin();
	stream_text(CONTINUATION, "");
	refused(1002);
	begin();
	stream_text(TEXT, "x");
	stream_text(FIN | CONTINUATION, "y");
	stream_text(FIN | CONTINUATION, "z");
	stream_gives("text a; text xy; fail 1002");
}

static void a_new_message_amid_fragments_is_refused(void **state)
{
	static const uint8_t firsts[] = {FIN | TEXT, TEXT, FIN | BINARY, BINARY};

	(void)state;
	for (size_t i = 0; i < sizeof(firsts); i++) {
		begin();
		stream_text(TEXT, "x");
		stream_text(firsts[i], "y");
		refused(1002);
		begin();
		stream_text(TEXT, "");
		stream_text(CONTINUATION, "");
		stream_text(firsts[i], "y");
		refused(1002);
	}
}

static void a_length_must_be_in_its_shortest_form(void **state)
{
	static const struct {
		uint64_t len;
		size_t more;
	} cases[] = {{0, 2},   {1, 2},	   {125, 2},	    {0, 8},	     {125, 8},
		     {126, 8}, {65535, 8}, {1ULL << 63, 8}, {UINT64_MAX, 8}, {(1ULL << 63) + 5, 8}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		begin();
		stream_header(FIN | TEXT, cases[i].len, cases[i].more);
		refused(1002);
		begin();
		stream_text(TEXT, "x");
		stream_header(FIN | CONTINUATION, cases[i].len, cases[i].more);
		refused(1002);
	}
}

/* ---- close ---- */

static void a_close_ends_it(void **state)
{
	(void)state;
	begin();
	stream_frame(FIN | CLOSE, NULL, 0);
	stream_text(FIN | TEXT, "x");
	stream_raw("\xff\xff\xff", 3);
	stream_gives("text a; close 1005");
	begin();
	stream_close(1000, NULL, 0);
	stream_frame(FIN | CLOSE, NULL, 0);
	stream_gives("text a; close 1000");
	begin();
	stream_close(4999, "bye \xe2\x82\xac", 7);
	stream_gives("text a; close 4999 bye \xe2\x82\xac");
}

static void a_close_of_one_byte_is_refused(void **state)
{
	(void)state;
	begin();
	stream_frame(FIN | CLOSE, "\x03", 1);
	refused(1002);
}

/* RFC 6455 section 7.4, and 1012 to 1014 of IANA's registry. */
static bool is_for_the_wire(int code)
{
	return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
	       (code >= 3000 && code <= 4999);
}

static void close_codes_are_those_for_the_wire(void **state)
{
	char events[32];

	(void)state;
	for (int code = 0; code < 65536; code++) {
		stream_clear();
		stream_close(code, NULL, 0);
		(void)snprintf(events, sizeof(events), "%s %d",
			       is_for_the_wire(code) ? "close" : "fail",
			       is_for_the_wire(code) ? code : 1002);
		assert_string_equal(feed(stream.len, 1), events);
	}
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup(name, set_up)
	const struct CMUnitTest tests[] = {
		CASE(messages_of_every_form_of_length),
		CASE(a_message_over_16384_bytes_is_refused_by_its_header),
		CASE(fragments_together_have_the_same_limit),
		CASE(fragments_become_one_message),
		CASE(control_frames_come_amid_fragments),
		CASE(a_binary_message_is_refused),
		CASE(a_frame_without_a_mask_is_refused),
		CASE(reserved_bits_are_refused),
		CASE(reserved_opcodes_are_refused),
		CASE(a_control_frame_in_fragments_is_refused),
		CASE(a_control_frame_has_at_most_125_bytes),
		CASE(a_continuation_needs_a_beginning),
		CASE(a_new_message_amid_fragments_is_refused),
		CASE(a_length_must_be_in_its_shortest_form),
		CASE(a_close_ends_it),
		CASE(a_close_of_one_byte_is_refused),
		CASE(close_codes_are_those_for_the_wire),
	};

	return cmocka_run_group_tests_name("edge: frames that are received", tests, NULL, NULL);
}
