/* Text and words that must be UTF-8, as the receiver of frames takes them. RFC 6455 section 8.1. */
#include "protocol/limits.h"
#include "receiver_feed.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after its standard headers */
#include <cmocka.h>

static char filler[SB_CLIENT_MESSAGE_MAX];

static int set_up(void **state)
{
	(void)state;
	stream_clear();
	memory_clear();
	memset(filler, 'x', sizeof(filler));
	return 0;
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

/* ---- UTF-8 ---- */

/* RFC 3629: the first and the last of each length, and what stands beside them. */
static const struct {
	const char *bytes;
	bool good;
} sequences[] = {
	{"\x7f", true},
	{"\xc2\x80", true},
	{"\xdf\xbf", true},
	{"\xe0\xa0\x80", true},
	{"\xed\x9f\xbf", true},
	{"\xee\x80\x80", true},
	{"\xef\xbf\xbf", true},
	{"\xf0\x90\x80\x80", true},
	{"\xf4\x8f\xbf\xbf", true},
	{"\x80", false},
	{"\xbf", false},
	{"\xc0\xaf", false},
	{"\xc1\xbf", false},
	{"\xc2", false},
	{"\xc2\x41", false},
	{"\xe0\x9f\xbf", false},
	{"\xe2\x82", false},
	{"\xe2\x82\x41", false},
	{"\xed\xa0\x80", false},
	{"\xed\xbf\xbf", false},
	{"\xf0\x8f\xbf\xbf", false},
	{"\xf0\x90\x80", false},
	{"\xf4\x90\x80\x80", false},
	{"\xf5\x80\x80\x80", false},
	{"\xf8\x88\x80\x80\x80", false},
	{"\xfe", false},
	{"\xff", false},
};

/* At every place of the eight bytes that are looked at together. */
static void text_is_utf8(void **state)
{
	char text[32], events[64];

	(void)state;
	for (size_t i = 0; i < sizeof(sequences) / sizeof(*sequences); i++) {
		for (int before = 0; before < 10; before++) {
			for (int after = 0; after < 10; after += 9) {
				(void)snprintf(text, sizeof(text), "%.*s%s%.*s", before, filler,
					       sequences[i].bytes, after, filler);
				(void)snprintf(events, sizeof(events), "text %s", text);
				begin();
				stream_text(FIN | TEXT, text);
				if (sequences[i].good)
					taken(events);
				else
					refused(4400);
			}
		}
	}
}

static void a_character_may_be_cut_by_a_fragment(void **state)
{
	(void)state;
	begin();
	stream_frame(TEXT, "x\xf0", 2);
	stream_text(FIN | PING, "");
	stream_frame(CONTINUATION, "\x90\x80", 2);
	stream_frame(FIN | CONTINUATION, "\x80y", 2);
	taken("ping; text x\xf0\x90\x80\x80y");
	begin();
	stream_frame(TEXT, "x\xf0", 2);
	stream_frame(FIN | CONTINUATION, "\x90\x80", 2);
	refused(4400);
}

/* It is looked at when it is whole. */
static void text_is_refused_at_the_end_of_its_message(void **state)
{
	(void)state;
	begin();
	stream_frame(TEXT, "\xff", 1);
	stream_text(FIN | PING, "");
	stream_gives("text a; ping");
	stream_text(FIN | CONTINUATION, "");
	stream_gives("text a; ping; fail 4400");
}

static void the_reason_of_a_close_is_utf8(void **state)
{
	char events[64];

	(void)state;
	for (size_t i = 0; i < sizeof(sequences) / sizeof(*sequences); i++) {
		begin();
		stream_close(1000, sequences[i].bytes, strlen(sequences[i].bytes));
		(void)snprintf(events, sizeof(events), "text a; close 1000 %s", sequences[i].bytes);
		if (sequences[i].good)
			stream_gives(events);
		else
			refused(1007);
	}
	/* the code is looked at first */
	begin();
	stream_close(1005, "\xff", 1);
	refused(1002);
}

static void a_nul_is_a_character(void **state)
{
	uint8_t *bytes = stream.bytes;
	struct sb_receiver receiver;
	struct sb_received received;
	size_t left;

	(void)state;
	stream_frame(FIN | TEXT, "a\0b", 3);
	left = stream.len;
	sb_receiver_init(&receiver);
	assert_int_equal(sb_receiver_next(&receiver, &bytes, &left, &received), SB_RECEIVER_TEXT);
	assert_int_equal(received.len, 3);
	assert_memory_equal(received.bytes, "a\0b", 3);
	sb_receiver_clear(&receiver);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup(name, set_up)
	const struct CMUnitTest tests[] = {
		CASE(text_is_utf8),
		CASE(a_character_may_be_cut_by_a_fragment),
		CASE(text_is_refused_at_the_end_of_its_message),
		CASE(the_reason_of_a_close_is_utf8),
		CASE(a_nul_is_a_character),
	};

	return cmocka_run_group_tests_name("edge: UTF-8 that is received", tests, NULL, NULL);
}
