/* The PROXY protocol: what is a header, at every cut; what is none, from the first wrong byte on.
 */
#include "daemon/edge/door/proxy_header.h"
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
/* after its standard headers */
#include <cmocka.h>

#define LOCAL  0x20
#define PROXY  0x21
#define NOBODY 0x00
#define TCP4   0x11
#define TCP6   0x21
#define UNIX   0x31

static uint8_t bytes[SB_PROXY_FIXED + 65535];

/* A header in `bytes`: its length. Its addresses are 192.0.2.7 or 2001:db8::7, then `more` bytes
 * 0xee. */
static size_t make(uint8_t command, uint8_t family, size_t addresses, size_t more)
{
	static const uint8_t v4[12] = {192, 0, 2, 7, 203, 0, 113, 1, 0xc3, 0x50, 0x20, 0xfb};
	uint8_t v6[36] = {0};
	size_t payload = addresses + more;

	memcpy(bytes, "\r\n\r\n\0\r\nQUIT\n", 12);
	bytes[12] = command;
	bytes[13] = family;
	bytes[14] = (uint8_t)(payload >> 8);
	bytes[15] = (uint8_t)payload;
	memset(bytes + SB_PROXY_FIXED, 0xee, payload);
	(void)inet_pton(AF_INET6, "2001:db8::7", v6);
	(void)inet_pton(AF_INET6, "2001:db8::1", v6 + 16);
	if (family == TCP4)
		memcpy(bytes + SB_PROXY_FIXED, v4, payload < sizeof(v4) ? payload : sizeof(v4));
	else if (family == TCP6)
		memcpy(bytes + SB_PROXY_FIXED, v6, payload < sizeof(v6) ? payload : sizeof(v6));
	return SB_PROXY_FIXED + payload;
}

/* Feeds `len` bytes, cut at `cut` and wherever the header wants no more. `ret_used` are taken. */
static enum sb_proxy_state feed(size_t len, size_t cut, struct sb_ip *ret_client, size_t *ret_used)
{
	struct sb_proxy_header header;
	enum sb_proxy_state state = SB_PROXY_MORE;
	size_t at = 0;

	sb_proxy_header_init(&header);
	memset(ret_client, 0, sizeof(*ret_client));
	while (state == SB_PROXY_MORE && at < len) {
		size_t end = at < cut ? cut : len, wants = sb_proxy_header_wants(&header);
		size_t span = end - at < wants ? end - at : wants;
		/* in memory of their own, so that reading beyond them is seen */
		uint8_t *part = malloc(span);

		assert_true(span > 0);
		memcpy(part, bytes + at, span);
		state = sb_proxy_header_feed(&header, part, (uint32_t)span, ret_client);
		free(part);
		at += span;
	}
	*ret_used = at;
	return state;
}

/* The same at every cut, and never finished before its last byte, nor after. */
static void is(size_t len, enum sb_proxy_state expected, const char *client)
{
	struct sb_ip found;
	size_t used;

	for (size_t cut = 0; cut <= len; cut++) {
		char text[INET6_ADDRSTRLEN];

		assert_int_equal(feed(len, cut, &found, &used), expected);
		assert_int_equal(used, len);
		if (client) {
			(void)inet_ntop(AF_INET6, found.bytes, text, sizeof(text));
			assert_string_equal(text, client);
		}
	}
	for (size_t short_of = 1; short_of < len; short_of++)
		assert_int_equal(feed(short_of, 0, &found, &used), SB_PROXY_MORE);
}

static void who_is_behind_the_proxy_is_read_at_every_cut(void **state)
{
	(void)state;
	is(make(PROXY, TCP4, 12, 0), SB_PROXY_RELAYED, "::ffff:192.0.2.7");
	is(make(PROXY, TCP6, 36, 0), SB_PROXY_RELAYED, "2001:db8::7");
}

static void extensions_are_skipped(void **state)
{
	(void)state;
	is(make(PROXY, TCP4, 12, 1), SB_PROXY_RELAYED, "::ffff:192.0.2.7");
	is(make(PROXY, TCP4, 12, 24), SB_PROXY_RELAYED, "::ffff:192.0.2.7");
	is(make(PROXY, TCP4, 12, 25), SB_PROXY_RELAYED, "::ffff:192.0.2.7");
	is(make(PROXY, TCP6, 36, 300), SB_PROXY_RELAYED, "2001:db8::7");
}

static void a_proxy_that_speaks_for_itself_is_itself(void **state)
{
	(void)state;
	is(make(LOCAL, NOBODY, 0, 0), SB_PROXY_LOCAL, NULL);
	/* whatever else it says then is passed over */
	is(make(LOCAL, TCP4, 12, 0), SB_PROXY_LOCAL, NULL);
	is(make(LOCAL, TCP6, 3, 0), SB_PROXY_LOCAL, NULL);
	is(make(LOCAL, 0xff, 0, 40), SB_PROXY_LOCAL, NULL);
}

static void a_client_without_an_ip_address_is_its_proxy(void **state)
{
	(void)state;
	is(make(PROXY, NOBODY, 0, 0), SB_PROXY_LOCAL, NULL);
	is(make(PROXY, NOBODY, 0, 17), SB_PROXY_LOCAL, NULL);
	is(make(PROXY, UNIX, 216, 0), SB_PROXY_LOCAL, NULL);
	is(make(PROXY, UNIX, 216, 9), SB_PROXY_LOCAL, NULL);
}

/* What comes after the header is TLS, and not ours to take. */
static void what_comes_after_is_not_taken(void **state)
{
	struct sb_ip client;
	size_t len = make(PROXY, TCP4, 12, 5), used;

	(void)state;
	memset(bytes + len, 0x16, 100);
	for (size_t cut = 0; cut <= len + 100; cut++) {
		assert_int_equal(feed(len + 100, cut, &client, &used), SB_PROXY_RELAYED);
		assert_int_equal(used, len);
	}
}

/* Bad with its `nth` byte, whatever comes after, and not before. */
static void is_bad_from(size_t nth)
{
	struct sb_ip client;
	size_t used;

	for (size_t cut = 0; cut <= nth; cut++)
		assert_int_equal(feed(nth, cut, &client, &used), SB_PROXY_BAD);
	for (size_t len = 1; len < nth; len++)
		assert_int_equal(feed(len, 0, &client, &used), SB_PROXY_MORE);
}

static void every_byte_of_the_signature_counts(void **state)
{
	(void)state;
	for (size_t i = 0; i < 12; i++) {
		(void)make(PROXY, TCP4, 12, 0);
		bytes[i] ^= 1;
		is_bad_from(i + 1);
	}
}

static void other_protocols_are_none(void **state)
{
	(void)state;
	(void)memcpy(bytes, "PROXY TCP4 192.0.2.7 203.0.113.1 50000 8443\r\n", 45); /* version 1 */
	is_bad_from(1);
	(void)memcpy(bytes, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11); /* TLS */
	is_bad_from(1);
	(void)memcpy(bytes, "\r\n\r\nGET / HTTP/1.1\r\n", 20);
	is_bad_from(5);
}

static void only_version_2_and_its_two_commands_are_known(void **state)
{
	(void)state;
	for (unsigned int command = 0; command < 256; command++) {
		if (command == LOCAL || command == PROXY)
			continue;
		(void)make((uint8_t)command, TCP4, 12, 0);
		is_bad_from(13);
	}
}

static void only_streams_are_relayed(void **state)
{
	(void)state;
	for (unsigned int family = 0; family < 256; family++) {
		if (family == NOBODY || family == TCP4 || family == TCP6 || family == UNIX)
			continue;
		(void)make(PROXY, (uint8_t)family, 216, 0);
		is_bad_from(16);
	}
}

static void addresses_need_their_room(void **state)
{
	(void)state;
	(void)make(PROXY, TCP4, 11, 0);
	is_bad_from(16);
	(void)make(PROXY, TCP4, 0, 0);
	is_bad_from(16);
	(void)make(PROXY, TCP6, 35, 0);
	is_bad_from(16);
	(void)make(PROXY, UNIX, 215, 0);
	is_bad_from(16);
}

static void a_header_has_its_maximum(void **state)
{
	struct sb_ip client;
	size_t len, used;

	(void)state;
	len = make(PROXY, TCP4, 12, SB_PROXY_PAYLOAD_MAX - 12 - 1);
	assert_int_equal(feed(len, 0, &client, &used), SB_PROXY_RELAYED);
	len = make(PROXY, TCP4, 12, SB_PROXY_PAYLOAD_MAX - 12);
	assert_int_equal(feed(len, 0, &client, &used), SB_PROXY_RELAYED);
	assert_int_equal(used, SB_PROXY_FIXED + SB_PROXY_PAYLOAD_MAX);
	(void)make(PROXY, TCP4, 12, SB_PROXY_PAYLOAD_MAX - 12 + 1);
	is_bad_from(16);
	(void)make(LOCAL, NOBODY, 0, 65535);
	is_bad_from(16);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_is_behind_the_proxy_is_read_at_every_cut),
		cmocka_unit_test(extensions_are_skipped),
		cmocka_unit_test(a_proxy_that_speaks_for_itself_is_itself),
		cmocka_unit_test(a_client_without_an_ip_address_is_its_proxy),
		cmocka_unit_test(what_comes_after_is_not_taken),
		cmocka_unit_test(every_byte_of_the_signature_counts),
		cmocka_unit_test(other_protocols_are_none),
		cmocka_unit_test(only_version_2_and_its_two_commands_are_known),
		cmocka_unit_test(only_streams_are_relayed),
		cmocka_unit_test(addresses_need_their_room),
		cmocka_unit_test(a_header_has_its_maximum),
	};

	return cmocka_run_group_tests_name("edge: the PROXY protocol", tests, NULL, NULL);
}
