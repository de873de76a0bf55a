/* What a head says once it is read: its parts, its limits, its lists, its query. */
#include "tests/unit/heads.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after its standard headers */
#include <cmocka.h>
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, len)   ((void)(at), (void)(len))
#define ASAN_UNPOISON_MEMORY_REGION(at, len) ((void)(at), (void)(len))
#endif

static struct sb_http_request good(const char *text)
{
	struct head_read read = read_text(text);

	if (read.reading != SB_HTTP_READ)
		fail_msg("%s: %d %s", text, read.refusal.status, read.refusal.detail);
	assert_int_equal(read.head_len, strlen(text));
	return read.request;
}

/* ---- parts ---- */

static void a_request_has_a_method_a_path_a_query_and_a_host(void **state)
{
	struct sb_http_request request =
		good("GET /v1/bookings?after=a.1&wait=5 HTTP/1.1\r\nHost: h:8443\r\n\r\n");

	(void)state;
	assert_int_equal(request.method, SB_HTTP_GET);
	slice_is(request.method_name, "GET");
	slice_is(request.target, "/v1/bookings?after=a.1&wait=5");
	slice_is(request.path, "/v1/bookings");
	slice_is(request.query, "after=a.1&wait=5");
	slice_is(request.host, "h:8443");
	assert_false(request.is_1_0 || request.has_length || request.content_length);
	assert_int_equal(good("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n").method, SB_HTTP_HEAD);
	assert_int_equal(good("POST / HTTP/1.1\r\nHost: h\r\n\r\n").method, SB_HTTP_POST);
	assert_int_equal(good("OPTIONS / HTTP/1.1\r\nHost: h\r\n\r\n").method, SB_HTTP_OPTIONS);
	assert_int_equal(good("GE / HTTP/1.1\r\nHost: h\r\n\r\n").method, SB_HTTP_OTHER);
	assert_int_equal(good("GETS / HTTP/1.1\r\nHost: h\r\n\r\n").method, SB_HTTP_OTHER);
	slice_is(good("GET / HTTP/1.1\r\nHost: h\r\n\r\n").query, NULL);
	slice_is(good("GET /? HTTP/1.1\r\nHost: h\r\n\r\n").query, "");
	slice_is(good("GET /a??b=?? HTTP/1.1\r\nHost: h\r\n\r\n").query, "?b=??");
	slice_is(good("GET /%2F/../%41 HTTP/1.1\r\nHost: h\r\n\r\n").path, "/%2F/../%41");
	slice_is(good("GET / HTTP/1.0\r\n\r\n").host, NULL);
}

/* RFC 9112 section 3.2.2: the URL's host counts, the Host field's is ignored. */
static void a_url_names_the_host_itself(void **state)
{
	struct sb_http_request request =
		good("GET hTTps://a.example:1/p?q HTTP/1.1\r\nHost: b.example\r\n\r\n");

	(void)state;
	slice_is(request.host, "a.example:1");
	slice_is(request.fields[SB_HTTP_HOST], "b.example");
	slice_is(request.path, "/p");
	slice_is(request.query, "q");
	slice_is(good("GET http://a HTTP/1.1\r\nHost: a\r\n\r\n").path, "/");
	slice_is(good("GET http://a?q HTTP/1.1\r\nHost: a\r\n\r\n").path, "/");
	slice_is(good("GET http://a?q HTTP/1.1\r\nHost: a\r\n\r\n").query, "q");
	slice_is(good("GET http://a HTTP/1.0\r\n\r\n").host, "a");
	/* section 3.2.4 */
	slice_is(good("OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n").path, "*");
	slice_is(good("OPTIONS http://a/ HTTP/1.1\r\nHost: a\r\n\r\n").path, "/");
	slice_is(good("OPTIONS http://a?q HTTP/1.1\r\nHost: a\r\n\r\n").path, "/");
	slice_is(good("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").path, "*");
}

static void fields_are_known_in_any_case_and_trimmed(void **state)
{
	struct sb_http_request request =
		good("POST / HTTP/1.1\r\nHOST:h\r\nauthorization: \t Bearer  x\t \r\nOrigin:\r\n"
		     "content-LENGTH:16384\r\nX: a\r\nLast-Event-Id: e.1\r\nUpgrade: a\r\n"
		     "sec-websocket-key: k\r\nSEC-WEBSOCKET-VERSION: 13\r\nUpgrade: b\r\n\r\n");

	(void)state;
	slice_is(request.fields[SB_HTTP_HOST], "h");
	slice_is(request.fields[SB_HTTP_AUTHORIZATION], "Bearer  x");
	slice_is(request.fields[SB_HTTP_ORIGIN], "");
	slice_is(request.fields[SB_HTTP_CONTENT_LENGTH], "16384");
	slice_is(request.fields[SB_HTTP_LAST_EVENT_ID], "e.1");
	slice_is(request.fields[SB_HTTP_WEBSOCKET_KEY], "k");
	slice_is(request.fields[SB_HTTP_WEBSOCKET_VERSION], "13");
	slice_is(request.fields[SB_HTTP_UPGRADE], "a");
	slice_is(request.fields[SB_HTTP_CONNECTION], NULL);
	assert_true(request.has_length);
	assert_int_equal(request.content_length, 16384);
	request = good("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 999999999999999\r\n\r\n");
	assert_true(request.content_length == UINT64_C(999999999999999));
	request = good("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
	assert_true(request.has_length && !request.content_length);
}

/* The last header is whole, whatever it is called, and what is behind the head is not in it. */
static void a_head_ends_where_it_ends(void **state)
{
	static const char *const last[] = {"X: a", "A:", "T:", "C", "Host: h", "Content-Length: 3"};
	static const char next[] = "GET /next HTTP/1.1\r\nHost: n\r\n\r\n";
	char text[256];

	(void)state;
	for (size_t i = 0; i < sizeof(last) / sizeof(last[0]); i++) {
		int head = snprintf(text, sizeof(text), "POST / HTTP/1.1\r\n%s%s%s\r\n\r\n",
				    strcmp(last[i], "Host: h") != 0 ? "Host: h\r\n" : "", last[i],
				    strchr(last[i], ':') ? "" : "ontent-Type: x");
		struct head_read read;

		(void)snprintf(text + head, sizeof(text) - (size_t)head, "%s", next);
		read = read_text(text);
		assert_int_equal(read.reading, SB_HTTP_READ);
		assert_int_equal(read.head_len, head);
		slice_is(read.request.path, "/");
		read = read_text(text + head);
		assert_int_equal(read.reading, SB_HTTP_READ);
		slice_is(read.request.path, "/next");
	}
}

/* ---- what the connection is for ---- */

static void a_connection_is_kept_unless_it_is_said_to_close(void **state)
{
	static const struct {
		const char *version, *lines;
		bool keeps;
	} rows[] = {
		{"1.1", "", true}, /* RFC 9112 section 9.3, in its order */
		{"1.1", "Connection: close\r\n", false},
		{"1.1", "Connection: CLOSE\r\n", false},
		{"1.1", "Connection: keep-alive\r\n", true},
		{"1.1", "Connection: keep-alive, close\r\n", false},
		{"1.1", "Connection: keep-alive\r\nConnection: ,, close ,\r\n", false},
		{"1.1", "Connection: closed, xclose, clos\r\n", true},
		{"1.1", "Connections: close\r\n", true},
		{"1.1", "Connection:\r\n", true},
		{"1.2", "", true},
		{"1.0", "", false},
		{"1.0", "Connection: keep-alive\r\n", false}, /* may be; is not here */
	};
	char text[256];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		(void)snprintf(text, sizeof(text), "GET / HTTP/%s\r\nHost: h\r\n%s\r\n",
			       rows[i].version, rows[i].lines);
		if (good(text).keeps_alive != rows[i].keeps)
			fail_msg("%s", text);
	}
}

static void a_list_goes_over_all_its_lines(void **state)
{
	struct sb_http_request request = good(
		"GET / HTTP/1.1\r\nHost: h\r\nSec-WebSocket-Protocol: slotbell.v2,\t chat ,\r\n"
		"Connection: keep-alive , Upgrade\r\nX: slotbell.v3\r\nUpgrade: h2c\r\n"
		"sec-websocket-protocol:slotbell.v1\r\nupgrade: WebSocket\r\n\r\n");

	(void)state;
	assert_true(request.wants_websocket);
	assert_true(sb_http_lists(&request, SB_HTTP_CONNECTION, "upgrade"));
	assert_true(sb_http_lists(&request, SB_HTTP_CONNECTION, "keep-alive"));
	assert_false(sb_http_lists(&request, SB_HTTP_CONNECTION, "keep"));
	assert_false(sb_http_lists(&request, SB_HTTP_CONNECTION, "alive , Upgrade"));
	assert_true(sb_http_lists(&request, SB_HTTP_WEBSOCKET_PROTOCOL, "slotbell.v1"));
	assert_true(sb_http_lists(&request, SB_HTTP_WEBSOCKET_PROTOCOL, "slotbell.v2"));
	assert_true(sb_http_lists(&request, SB_HTTP_WEBSOCKET_PROTOCOL, "chat"));
	assert_false(sb_http_lists(&request, SB_HTTP_WEBSOCKET_PROTOCOL, "slotbell.v3"));
	/* RFC 6455 section 4.2.2: the subprotocol is compared as it is */
	assert_false(sb_http_lists(&request, SB_HTTP_WEBSOCKET_PROTOCOL, "Slotbell.v1"));
	assert_false(sb_http_lists(&request, SB_HTTP_TRANSFER_ENCODING, "chunked"));
	/* RFC 9110 section 7.8: an Upgrade in HTTP/1.0 MUST be ignored */
	assert_false(good("GET / HTTP/1.0\r\nUpgrade: websocket\r\n\r\n").wants_websocket);
	assert_false(good("GET / HTTP/1.1\r\nHost: h\r\nUpgrade: teapot\r\n\r\n").wants_websocket);
}

/* RFC 9110 section 10.1.1: none is waited for without a body, nor in HTTP/1.0. */
static void a_client_waits_for_100_before_its_body(void **state)
{
	(void)state;
	assert_true(good("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-CONTINUE\r\n"
			 "Content-Length: 1\r\n\r\n")
			    .expects_continue);
	assert_false(good("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"
			  "Content-Length: 0\r\n\r\n")
			     .expects_continue);
	assert_false(good("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\r\n")
			     .expects_continue);
	assert_false(good("POST / HTTP/1.1\r\nHost: h\r\nExpect:\r\nContent-Length: 1\r\n\r\n")
			     .expects_continue);
	assert_false(good("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")
			     .expects_continue);
}

/* ---- limits ---- */

/* A head of `len` bytes: `before`, then as many x as it takes, then `after`. */
static char *filled(const char *before, const char *after, size_t len)
{
	char *text = malloc(len + 1);

	assert_non_null(text);
	memset(text, 'x', len);
	memcpy(text, before, strlen(before));
	memcpy(text + len - strlen(after), after, strlen(after) + 1);
	return text;
}

static void is_refused_with(int status, const char *before, const char *after, size_t len)
{
	char *text = filled(before, after, len);
	struct head_read read = read_text(text);

	assert_int_equal(read.reading, status ? SB_HTTP_REFUSED : SB_HTTP_READ);
	assert_int_equal(read.refusal.status, status);
	free(text);
}

static void a_head_has_8_KiB_at_most(void **state)
{
	static const char value[] = "GET / HTTP/1.1\r\nHost: h\r\nX: ", target[] = "GET /",
			  after[] = " HTTP/1.1\r\nHost: h\r\n\r\n", name[] = "GET / HTTP/1.1\r\n",
			  colon[] = ": x\r\n\r\n", method[] = "X";

	(void)state;
	for (size_t below = 1; below <= 5; below++)
		is_refused_with(0, value, "\r\n\r\n", SB_HTTP_HEAD_MAX - below);
	is_refused_with(0, value, "\r\n\r\n", SB_HTTP_HEAD_MAX);
	for (size_t over = 1; over <= 5; over++)
		is_refused_with(431, value, "\r\n\r\n", SB_HTTP_HEAD_MAX + over);
	is_refused_with(431, name, colon, SB_HTTP_HEAD_MAX + 1);
	is_refused_with(0, target, after, SB_HTTP_HEAD_MAX);
	is_refused_with(431, target, after, SB_HTTP_HEAD_MAX + 1);
	/* the request line itself: RFC 9112 section 3, a server MUST answer 414 */
	is_refused_with(431, target, after, SB_HTTP_HEAD_MAX + strlen("Host: h\r\n\r\n"));
	is_refused_with(414, target, after, SB_HTTP_HEAD_MAX + strlen("Host: h\r\n\r\n") + 1);
	is_refused_with(414, method, after, SB_HTTP_HEAD_MAX + 100);
}

static void a_head_has_100_field_lines_at_most(void **state)
{
	(void)state;
	for (int count = 99; count <= 101; count++) {
		char text[1024] = "GET / HTTP/1.1\r\nHost: h\r\n";
		struct head_read read;

		for (int i = 1; i < count; i++)
			(void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "A:\r\n");
		(void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "\r\n");
		read = read_text(text);
		assert_int_equal(read.refusal.status, count <= 100 ? 0 : 431);
	}
}

/*
 * Each byte is looked at once until the head is whole: what was scanned before
 * may not be touched. AddressSanitizer guards 8 bytes at a time, and a line's
 * end is two bytes before its next.
 */
static void a_slow_sender_costs_no_more_than_a_quick_one(void **state)
{
	size_t len = SB_HTTP_HEAD_MAX, scanned = 0, head_len;
	char *text = filled("\r\nGET / HTTP/1.1\r\nHost: h\r\nX: ", "\r\n\r\n", len), *home = NULL;
	struct sb_http_request request;
	struct sb_http_refusal refusal;

	(void)state;
	assert_int_equal(posix_memalign((void **)&home, 16, len), 0);
	for (size_t come = 1; come < len; come++) {
		size_t guarded = come > 16 ? (come - 9) & ~(size_t)7 : 0;

		home[come - 1] = text[come - 1];
		ASAN_POISON_MEMORY_REGION(home, guarded);
		assert_int_equal(
			sb_http_read_head(home, come, &scanned, &request, &head_len, &refusal),
			SB_HTTP_MORE);
		ASAN_UNPOISON_MEMORY_REGION(home, guarded);
		assert_int_equal(scanned, come);
	}
	home[len - 1] = text[len - 1];
	assert_int_equal(sb_http_read_head(home, len, &scanned, &request, &head_len, &refusal),
			 SB_HTTP_READ);
	free(home);
	free(text);
}

/* ---- the query ---- */

static void parameters_are(const char *query, size_t size, const char *expected, int end)
{
	struct sb_http_slice rest = {query, query ? strlen(query) : 0};
	char *room = malloc(size), found[256] = "";
	const char *name, *value;
	int result;

	assert_non_null(room);
	while ((result = sb_http_next_parameter(&rest, room, size, &name, &value)) == 1)
		(void)snprintf(found + strlen(found), sizeof(found) - strlen(found), "[%s|%s]",
			       name, value ? value : "-");
	assert_int_equal(result, end);
	assert_string_equal(found, expected);
	free(room);
}

static void a_query_is_names_and_values(void **state)
{
	(void)state;
	parameters_are(NULL, 8, "", 0);
	parameters_are("", 8, "", 0);
	parameters_are("&&&", 8, "", 0);
	parameters_are("a=b&c=d", 8, "[a|b][c|d]", 0);
	parameters_are("&a=b&&c&", 8, "[a|b][c|-]", 0);
	parameters_are("a=&=b&=", 8, "[a|][|b][|]", 0);
	parameters_are("a=b=c+d;e", 16, "[a|b=c+d;e]", 0);
	parameters_are("%61%62=%26%3d%c3%A4", 16, "[ab|&=\xc3\xa4]", 0);
	parameters_are("a%3Db=c&%3D", 16, "[a=b|c][=|-]", 0);
	parameters_are("a=b&c=%00d", 16, "[a|b]", -EINVAL);
	/* name, "=" or its place, value, terminator: at the limit, and one byte over it */
	parameters_are("ab=cde", 7, "[ab|cde]", 0);
	parameters_are("a&ab=cdef", 7, "[a|-]", -EMSGSIZE);
	parameters_are("abc=%41%42%43", 8, "[abc|ABC]", 0);
	parameters_are("a", 1, "", -EMSGSIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_has_a_method_a_path_a_query_and_a_host),
		cmocka_unit_test(a_url_names_the_host_itself),
		cmocka_unit_test(fields_are_known_in_any_case_and_trimmed),
		cmocka_unit_test(a_head_ends_where_it_ends),
		cmocka_unit_test(a_connection_is_kept_unless_it_is_said_to_close),
		cmocka_unit_test(a_list_goes_over_all_its_lines),
		cmocka_unit_test(a_client_waits_for_100_before_its_body),
		cmocka_unit_test(a_head_has_8_KiB_at_most),
		cmocka_unit_test(a_head_has_100_field_lines_at_most),
		cmocka_unit_test(a_slow_sender_costs_no_more_than_a_quick_one),
		cmocka_unit_test(a_query_is_names_and_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
