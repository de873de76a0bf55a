/* The two addresses of the command line: what is taken, and what is said of the rest. */
#include "plugin-stub/url.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka.h wants those above before it */
#include <cmocka.h>

static void a_url_is_host_port_and_path(void **state)
{
	static const struct {
		const char *text, *host;
		uint16_t port;
		const char *path;
	} cases[] = {
		{"wss://bell.example.com:8443", "bell.example.com", 8443, "/v1/session"},
		{"wss://bell.example.com:8443/", "bell.example.com", 8443, "/v1/session"},
		{"wss://bell.example.com", "bell.example.com", 443, "/v1/session"},
		{"WSS://Bell.Example.com", "Bell.Example.com", 443, "/v1/session"},
		{"wss://bell/slotbell/v1/session", "bell", 443, "/slotbell/v1/session"},
		{"wss://bell:1/a?b=c", "bell", 1, "/a?b=c"},
		{"wss://bell:65535?b=c", "bell", 65535, "/?b=c"},
		{"wss://127.0.0.1:8443", "127.0.0.1", 8443, "/v1/session"},
		{"wss://[::1]:8443", "::1", 8443, "/v1/session"},
		{"wss://[2001:db8::7]/x", "2001:db8::7", 443, "/x"},
		{"wss://a-b_c.example", "a-b_c.example", 443, "/v1/session"},
	};
	struct sb_url url;
	const char *words;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_int_equal(sb_url_parse(cases[i].text, &url, &words), 0);
		assert_string_equal(url.host, cases[i].host);
		assert_int_equal(url.port, cases[i].port);
		assert_string_equal(url.path, cases[i].path);
	}
}

static void a_url_that_cannot_be_meant_is_refused_with_words(void **state)
{
	static const struct {
		const char *text, *words;
	} cases[] = {
		{"", "begin with wss://"},
		{"bell.example.com", "begin with wss://"},
		{"https://bell.example.com", "begin with wss://"},
		{"ws://bell.example.com", "in clear"},
		{"wss://", "no host name"},
		{"wss://:8443", "no host name"},
		{"wss:///v1/session", "no host name"},
		{"wss://be!l", "no host name"},
		{"wss://[::1", "']'"},
		{"wss://[::g]", "no host name"},
		{"wss://::1", "no host name"},
		{"wss://[::1]8443", "port"},
		{"wss://bell:", "port"},
		{"wss://bell:0", "port"},
		{"wss://bell:65536", "port"},
		{"wss://bell:099999", "port"},
		{"wss://bell:84a3", "port"},
		{"wss://bell:-1", "port"},
		{"wss://bell:+1", "port"},
		{"wss://ada:secret@bell", "no user name"},
		{"wss://bell/a#b", "fragment"},
		{"wss://bell /a", "spaces"},
		{"wss://b\xc3\xa4ll", "ASCII"},
		{"wss://bell/\n", "spaces"},
	};
	struct sb_url url;
	const char *words;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		if (sb_url_parse(cases[i].text, &url, &words) != -EINVAL)
			fail_msg("taken: %s", cases[i].text);
		if (!strstr(words, cases[i].words))
			fail_msg("%s: %s", cases[i].text, words);
	}
}

/* Of `len` bytes, all 'a' but for what it begins with. */
static const char *long_text(const char *beginning, size_t len)
{
	static char text[8192];

	assert_true(strlen(beginning) + len < sizeof(text));
	snprintf(text, sizeof(text), "%s", beginning);
	memset(text + strlen(beginning), 'a', len);
	text[strlen(beginning) + len] = '\0';
	return text;
}

static void host_and_path_have_a_limit(void **state)
{
	struct sb_url url;
	const char *words;

	(void)state;
	assert_int_equal(sb_url_parse(long_text("wss://", SB_HOST_MAX - 1), &url, &words), 0);
	assert_int_equal(sb_url_parse(long_text("wss://", SB_HOST_MAX), &url, &words), 0);
	assert_int_equal(sb_url_parse(long_text("wss://", SB_HOST_MAX + 1), &url, &words), -EINVAL);
	assert_string_equal(words, "the host name is too long");
	assert_int_equal(sb_url_parse(long_text("wss://b/", SB_PATH_MAX - 3), &url, &words), 0);
	assert_int_equal(sb_url_parse(long_text("wss://b/", SB_PATH_MAX - 2), &url, &words), 0);
	assert_int_equal(strlen(url.path), SB_PATH_MAX - 1);
	assert_int_equal(sb_url_parse(long_text("wss://b/", SB_PATH_MAX - 1), &url, &words),
			 -EINVAL);
	assert_string_equal(words, "the path is too long");
}

static void a_proxy_is_host_port_and_perhaps_a_login(void **state)
{
	static const struct {
		const char *text, *host;
		uint16_t port;
		const char *auth;
	} cases[] = {
		{"http://proxy.example:3128", "proxy.example", 3128, ""},
		{"http://proxy.example:3128/", "proxy.example", 3128, ""},
		{"HTTP://proxy:1", "proxy", 1, ""},
		{"http://[::1]:3128", "::1", 3128, ""},
		{"http://ada:secret@proxy:3128", "proxy", 3128, "ada:secret"},
		{"http://ada:@proxy:3128", "proxy", 3128, "ada:"},
		{"http://ada:a%40b%3Ac%25@proxy:3128", "proxy", 3128, "ada:a@b:c%"},
		{"http://ada:a@b@proxy:3128", "proxy", 3128, "ada:a@b"},
	};
	struct sb_proxy proxy;
	const char *words;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_int_equal(sb_proxy_parse(cases[i].text, &proxy, &words), 0);
		assert_string_equal(proxy.host, cases[i].host);
		assert_int_equal(proxy.port, cases[i].port);
		assert_string_equal(proxy.auth, cases[i].auth);
	}
}

static void a_proxy_that_cannot_be_meant_is_refused_with_words(void **state)
{
	static const struct {
		const char *text, *words;
	} cases[] = {
		{"", "begin with http://"},
		{"proxy:3128", "begin with http://"},
		{"https://proxy:3128", "begin with http://"},
		{"socks5://proxy:1080", "begin with http://"},
		{"http://proxy", "needs a port"},
		{"http://proxy/", "needs a port"},
		{"http://proxy:0", "port"},
		{"http://:3128", "no host name"},
		{"http://proxy:3128/path", "no path"},
		{"http://proxy:3128?x", "no path"},
		{"http://ada@proxy:3128", "needs a password"},
		{"http://ada:%4@proxy:3128", "%"},
		{"http://ada:%zz@proxy:3128", "%"},
		{"http://ada:%0a@proxy:3128", "%"}, /* no line of our own into its headers */
		{"http://ada:%00@proxy:3128", "%"},
		{"http://ad a:x@proxy:3128", "spaces"},
	};
	struct sb_proxy proxy;
	const char *words;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		if (sb_proxy_parse(cases[i].text, &proxy, &words) != -EINVAL)
			fail_msg("taken: %s", cases[i].text);
		if (!strstr(words, cases[i].words))
			fail_msg("%s: %s", cases[i].text, words);
	}
}

static void a_login_has_a_limit(void **state)
{
	struct sb_proxy proxy;
	const char *words;
	char text[256];

	(void)state;
	for (size_t len = SB_PROXY_AUTH_MAX - 1; len <= SB_PROXY_AUTH_MAX + 1; len++) {
		snprintf(text, sizeof(text), "%s@proxy:1", long_text("http://u:", len - 2));
		assert_int_equal(sb_proxy_parse(text, &proxy, &words),
				 len <= SB_PROXY_AUTH_MAX ? 0 : -EINVAL);
	}
	assert_non_null(strstr(words, "too long"));
}

static void an_authority_has_brackets_where_a_literal_needs_them(void **state)
{
	char text[32];

	(void)state;
	sb_url_authority("::1", 8443, text, sizeof(text));
	assert_string_equal(text, "[::1]:8443");
	sb_url_authority("bell.example.com", 443, text, sizeof(text));
	assert_string_equal(text, "bell.example.com:443");
}

static void siblings_stand_beside_the_session(void **state)
{
	static const struct {
		const char *url, *path;
	} cases[] = {
		{"wss://b", "/v1/stream"},
		{"wss://b/v1/session", "/v1/stream"},
		{"wss://b/v1/session?a=/v1/session", "/v1/stream"},
		{"wss://b/bell/v1/session", "/bell/v1/stream"},
		{"wss://b/bell/v1/session?a=b", "/bell/v1/stream"},
		{"wss://b/elsewhere", "/v1/stream"},
		{"wss://b/v1/session/more", "/v1/stream"},
	};
	struct sb_url url;
	const char *words;
	char path[64];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(sb_url_parse(cases[i].url, &url, &words), 0);
		sb_url_sibling(&url, "/v1/stream", path, sizeof(path));
		assert_string_equal(path, cases[i].path);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(siblings_stand_beside_the_session),
		cmocka_unit_test(a_url_is_host_port_and_path),
		cmocka_unit_test(a_url_that_cannot_be_meant_is_refused_with_words),
		cmocka_unit_test(host_and_path_have_a_limit),
		cmocka_unit_test(a_proxy_is_host_port_and_perhaps_a_login),
		cmocka_unit_test(a_proxy_that_cannot_be_meant_is_refused_with_words),
		cmocka_unit_test(a_login_has_a_limit),
		cmocka_unit_test(an_authority_has_brackets_where_a_literal_needs_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
