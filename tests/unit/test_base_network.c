/* Addresses: how they are read, who counts as one, which networks they are in. */
#include "daemon/base/network.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after its standard headers */
#include <cmocka.h>

/* As accept() gives it to us. */
static struct sb_ip ip_of(const char *text)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

	if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
		return sb_ip_of((struct sockaddr *)(void *)&v4);
	assert_int_equal(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
	return sb_ip_of((struct sockaddr *)(void *)&v6);
}

static const char *household_of(const char *text)
{
	static char buffer[SB_IP_TEXT_MAX];
	struct sb_ip ip = ip_of(text), household = sb_ip_household(&ip);

	sb_ip_format_household(&household, buffer);
	return buffer;
}

static void one_ipv4_address_is_one_whichever_socket_it_came_by(void **state)
{
	struct sb_ip direct = ip_of("192.0.2.1"), mapped = ip_of("::ffff:192.0.2.1");

	(void)state;
	assert_memory_equal(direct.bytes, mapped.bytes, sizeof(direct.bytes));
	assert_true(sb_ip_is_v4(&mapped));
	assert_string_equal(household_of("192.0.2.1"), "192.0.2.1");
	assert_string_equal(household_of("::ffff:192.0.2.1"), "192.0.2.1");
}

static void one_ipv6_household_is_a_64(void **state)
{
	(void)state;
	assert_string_equal(household_of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
	assert_string_equal(household_of("2001:db8:1:2::"), "2001:db8:1:2::/64");
	assert_string_equal(household_of("2001:db8:1:2:ffff:ffff:ffff:ffff"), "2001:db8:1:2::/64");
	assert_string_equal(household_of("2001:db8:1:3::"), "2001:db8:1:3::/64");
	assert_string_equal(household_of("::1"), "::/64");
}

static void an_address_of_no_ip_family_is_none(void **state)
{
	static const struct sb_ip none;
	struct sockaddr address = {.sa_family = AF_UNIX};
	struct sb_ip ip = sb_ip_of(&address);

	(void)state;
	assert_memory_equal(ip.bytes, none.bytes, sizeof(ip.bytes));
	assert_false(sb_ip_is_v4(&ip));
}

/* ---- networks ---- */

static struct sb_networks networks;
static char why[240];

static void parses(const char *text, size_t count)
{
	assert_int_equal(sb_networks_parse(text, &networks, why, sizeof(why)), 0);
	assert_int_equal(networks.count, count);
}

static void has(const char *text, bool expected)
{
	struct sb_ip ip = ip_of(text);

	if (sb_networks_have(&networks, &ip) != expected)
		fail_msg("%s: %s", text, expected ? "not there" : "there");
}

static void no_network_has_nobody(void **state)
{
	(void)state;
	parses("", 0);
	has("127.0.0.1", false);
	has("::", false);
	parses(" ,\t, ", 0);
}

static void a_network_holds_at_its_edges(void **state)
{
	(void)state;
	parses("10.0.0.0/8", 1);
	has("9.255.255.255", false);
	has("10.0.0.0", true);
	has("::ffff:10.1.2.3", true);
	has("10.255.255.255", true);
	has("11.0.0.0", false);
	parses("192.0.2.4/30", 1);
	has("192.0.2.3", false);
	has("192.0.2.4", true);
	has("192.0.2.7", true);
	has("192.0.2.8", false);
	parses("2001:db8::/33", 1);
	has("2001:db8:7fff::1", true);
	has("2001:db8:8000::1", false);
	has("2001:db7:ffff:ffff::", false);
	parses("192.0.2.1", 1);
	has("192.0.2.1", true);
	has("192.0.2.0", false);
	parses("::1/128", 1);
	has("::1", true);
	has("::2", false);
	parses("192.0.2.1/32", 1);
	has("192.0.2.1", true);
}

static void each_of_several_counts_however_they_are_separated(void **state)
{
	(void)state;
	parses("  192.0.2.1,10.0.0.0/8 , fe80::/10\t2001:db8::1,", 4);
	has("192.0.2.1", true);
	has("10.9.9.9", true);
	has("fe80::1", true);
	has("2001:db8::1", true);
	has("2001:db8::2", false);
}

static void everybody_of_one_family_is_nobody_of_the_other(void **state)
{
	(void)state;
	parses("::/0", 1);
	has("2001:db8::1", true);
	has("192.0.2.1", false);
	parses("0.0.0.0/0", 1);
	has("2001:db8::1", false);
	has("192.0.2.1", true);
	parses("::ffff:0.0.0.0/96", 1);
	has("192.0.2.1", true);
}

static void what_is_no_network_is_named(void **state)
{
	static const struct {
		const char *text, *why;
	} bad[] = {
		{"localhost", "localhost is neither ADDRESS nor ADDRESS/BITS"},
		{"10.0.0.0/8 10.0.0", "10.0.0 is neither"},
		{"10.0.0.0/", "10.0.0.0/ has bits that are not 0 to 32"},
		{"10.0.0.0/33", "10.0.0.0/33 has bits that are not 0 to 32"},
		{"10.0.0.0/-1", "not 0 to 32"},
		{"10.0.0.0/+8", "not 0 to 32"},
		{"10.0.0.0/08", "not 0 to 32"},
		{"10.0.0.0/8x", "not 0 to 32"},
		{"10.0.0.0/8/8", "not 0 to 32"},
		{"10.0.0.0/99999999999999999999", "not 0 to 32"},
		{"::/129", "not 0 to 128"},
		{"10.0.0.1/8", "10.0.0.1/8 is an address within its network"},
		{"2001:db8::1/64", "is an address within its network"},
		{"192.0.2.6/30", "is an address within its network"},
		{"fe80::1%eth0", "is neither"},
		{"[::1]", "is neither"},
		{"127.0.0.1:80", "is neither"},
		{"/8", "/8 is neither"},
		{"1111:2222:3333:4444:5555:6666:7777:8888:1111:2222:3333:4444:5555:6666",
		 "is too long for an address"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_int_equal(sb_networks_parse(bad[i].text, &networks, why, sizeof(why)), -1);
		if (!strstr(why, bad[i].why))
			fail_msg("%s: %s", bad[i].text, why);
	}
}

static void all_that_is_wrong_with_a_list_is_told(void **state)
{
	char little[64];

	(void)state;
	assert_int_equal(
		sb_networks_parse("host, 10.0.0.0/33 10.0.0.0/8", &networks, why, sizeof(why)), -1);
	assert_non_null(strstr(why, "host is neither"));
	assert_non_null(strstr(why, "; 10.0.0.0/33 has bits that are not 0 to 32"));
	assert_int_equal(sb_networks_parse("a b c d e f g", &networks, little, sizeof(little)), -1);
	assert_int_equal(sb_networks_parse("a", &networks, NULL, 0), -1);
	assert_int_equal(sb_networks_parse("::1", &networks, NULL, 0), 0);
	assert_int_equal(strlen(little), sizeof(little) - 1);
}

static void as_many_networks_as_there_is_room_for(void **state)
{
	char text[(SB_NETWORKS_MAX + 1) * 16];
	size_t len = 0;

	(void)state;
	for (int i = 0; i < SB_NETWORKS_MAX; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "10.%d.0.0/16 ", i);
	parses(text, SB_NETWORKS_MAX);
	has("10.63.0.1", true);
	(void)snprintf(text + len, sizeof(text) - len, "10.64.0.0/16");
	assert_int_equal(sb_networks_parse(text, &networks, why, sizeof(why)), -1);
	assert_string_equal(why, "has more than 64 networks");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_ipv4_address_is_one_whichever_socket_it_came_by),
		cmocka_unit_test(one_ipv6_household_is_a_64),
		cmocka_unit_test(an_address_of_no_ip_family_is_none),
		cmocka_unit_test(no_network_has_nobody),
		cmocka_unit_test(a_network_holds_at_its_edges),
		cmocka_unit_test(each_of_several_counts_however_they_are_separated),
		cmocka_unit_test(everybody_of_one_family_is_nobody_of_the_other),
		cmocka_unit_test(what_is_no_network_is_named),
		cmocka_unit_test(all_that_is_wrong_with_a_list_is_told),
		cmocka_unit_test(as_many_networks_as_there_is_room_for),
	};

	return cmocka_run_group_tests_name("edge: addresses and networks", tests, NULL, NULL);
}
