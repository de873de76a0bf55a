/* Numeric addresses with a port: what is one, and what only looks like one. */
#include "daemon/base/address.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
/* after its standard headers */
#include <cmocka.h>

static void v4_and_v6_are_taken_with_every_port(void **state)
{
	struct sockaddr_storage address;
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)&address;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)&address;

	(void)state;
	assert_int_equal(sb_address_parse("127.0.0.1:9464", &address), 0);
	assert_int_equal(v4->sin_family, AF_INET);
	assert_int_equal(ntohl(v4->sin_addr.s_addr), INADDR_LOOPBACK);
	assert_int_equal(ntohs(v4->sin_port), 9464);
	assert_int_equal(sb_address_parse("0.0.0.0:0", &address), 0);
	assert_int_equal(sb_address_parse("[::1]:65535", &address), 0);
	assert_int_equal(v6->sin6_family, AF_INET6);
	assert_memory_equal(&v6->sin6_addr, &in6addr_loopback, sizeof(in6addr_loopback));
	assert_int_equal(ntohs(v6->sin6_port), 65535);
	assert_int_equal(sb_address_parse("[::]:8443", &address), 0);
	assert_int_equal(
		sb_address_parse("[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:1", &address), 0);
	assert_int_equal(sb_address_parse("[fe80::1%lo]:1", &address), 0);
	assert_int_not_equal(v6->sin6_scope_id, 0);
}

static void what_only_looks_like_one_is_refused(void **state)
{
	static const char *const wrong[] = {
		"",
		":",
		"127.0.0.1",
		"127.0.0.1:",
		":8443",
		"localhost:1",
		"127.0.0.1:65536",
		"127.0.0.1:-1",
		"127.0.0.1: 1",
		"127.0.0.1:1x",
		"127.0.0.1:000001",
		"127.1:1",
		"::1:8443",
		"[::1]",
		"[::1]8443",
		"[::1:8443",
		"::1]:8443",
		"[]:1",
		"[127.0.0.1]:1",
		"[fe80::1%]:1",
		"[fe80::1%nowhere]:1",
		"[::1]:1:1",
		"1.2.3.4.5:1",
		"[1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc:dddd:eeee]:1",
	};
	struct sockaddr_storage address;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		assert_int_equal(sb_address_parse(wrong[i], &address), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(v4_and_v6_are_taken_with_every_port),
		cmocka_unit_test(what_only_looks_like_one_is_refused),
	};

	return cmocka_run_group_tests_name("base: addresses", tests, NULL, NULL);
}
