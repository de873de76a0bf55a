/*
 * Which heads of requests are read and which refused: a row for each sentence of
 * RFC 9110 and RFC 9112 (and of RFC 3986 on URLs), each read in every way in
 * which its bytes may come (heads.h).
 */
#include "tests/unit/heads.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
/* after its standard headers */
#include <cmocka.h>

struct row {
	const char *rule; /* section, and what it asks; beginning with 3986, 9110 or 9112 */
	int status;	  /* of the refusal; 0: it is read */
	size_t len;
	const char *bytes;
};

#define ROW(status, text, rule)                      \
	{                                            \
		rule, status, sizeof(text) - 1, text \
	}
/* A whole GET with this line of headers beside its Host; with these of its own; of this target. */
#define LINE(line)     "GET / HTTP/1.1\r\nHost: h\r\n" line "\r\n\r\n"
#define FIELDS(fields) "GET / HTTP/1.1\r\n" fields "\r\n"
#define TARGET(target) "GET " target " HTTP/1.1\r\nHost: h\r\n\r\n"
#define FIRST(line)    line "\r\nHost: h\r\n\r\n"

static void check(const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct head_read read = read_every_way(rows[i].bytes, rows[i].len);

		if (read.refusal.status != rows[i].status ||
		    (rows[i].status ? read.reading != SB_HTTP_REFUSED
				    : read.reading != SB_HTTP_READ))
			fail_msg("%s: %d (%s), not %d:\n%.*s", rows[i].rule, read.refusal.status,
				 read.refusal.status ? read.refusal.detail : "", rows[i].status,
				 (int)rows[i].len, rows[i].bytes);
		if (!rows[i].status)
			assert_int_equal(read.head_len, rows[i].len);
	}
}

#define CHECK(rows) check(rows, sizeof(rows) / sizeof(rows[0]))

static void lines_end_with_crlf_and_nothing_else(void **state)
{
	static const struct row rows[] = {
		ROW(0, LINE("A: b"), "9112 2.1: a start-line CRLF, field lines CRLF, CRLF"),
		ROW(400, "GET / HTTP/1.1\nHost: h\n\n",
		    "9112 2.2: a recipient MAY recognize a single LF; this one does not"),
		ROW(400, "GET / HTTP/1.1\r\nHost: h\n\r\n", "9112 2.2: likewise, a field line's"),
		ROW(400, "GET / HTTP/1.1\r\nHost: h\r\n\n", "9112 2.2: likewise, the last line's"),
		ROW(400, LINE("A: b\rc"), "9112 2.2: a bare CR is invalid, or a blank"),
		ROW(400, LINE("A: b\r\r\nC: d"), "9112 2.2: likewise, before a CRLF"),
		ROW(400, "GET / HTTP/1.1\rHost: h\r\n\r\n", "9112 2.2: likewise, as a line's end"),
		ROW(400, LINE("A: b\nContent-Length: 5"), "9112 2.2: a LF inside of a value"),
		ROW(0, "\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
		    "9112 2.2: a server SHOULD ignore at least one empty line before the request"),
		ROW(400, "\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", "9112 2.2: one is enough"),
		ROW(400, "\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", "9112 2.2: empty is CRLF"),
		ROW(400, "\rGET / HTTP/1.1\r\nHost: h\r\n\r\n", "9112 2.2: likewise"),
		ROW(400, "GET / HTTP/1.1\r\n Host: h\r\n\r\n",
		    "9112 2.2: white space before the first field line: invalid"),
		ROW(400, "GET / HTTP/1.1\r\n \r\nHost: h\r\n\r\n",
		    "9112 2.2: likewise, a line of it"),
	};

	(void)state;
	CHECK(rows);
}

static void a_request_line_is_three_parts_and_two_blanks(void **state)
{
	static const struct row rows[] = {
		ROW(0, FIRST("GET / HTTP/1.1"), "9112 3: method SP request-target SP HTTP-version"),
		ROW(400, FIRST("GET  / HTTP/1.1"), "9112 3: one blank"),
		ROW(400, FIRST("GET /  HTTP/1.1"), "9112 3: one blank"),
		ROW(400, FIRST("GET\t/ HTTP/1.1"), "9112 3: lenient parsing is a security risk"),
		ROW(400, FIRST("GET /\tHTTP/1.1"), "9112 3: likewise"),
		ROW(400, FIRST(" GET / HTTP/1.1"), "9112 3: likewise"),
		ROW(400, FIRST("\tGET / HTTP/1.1"), "9112 3: likewise"),
		ROW(400, FIRST("GET / HTTP/1.1 "), "9112 3: likewise"),
		ROW(400, FIRST("GET / HTTP/1.1\t"), "9112 3: likewise"),
		ROW(400, FIRST("GET /a b HTTP/1.1"), "9112 3.2: no white space in a target"),
		ROW(400, FIRST("GET /"), "9112 3: HTTP/0.9 has no version"),
		ROW(400, FIRST("GET"), "9112 3"),
		ROW(400, FIRST("GET "), "9112 3"),
		ROW(400, FIRST("GET  HTTP/1.1"), "9112 3.2: a target is not empty"),
		ROW(400, FIRST(" / HTTP/1.1"), "9112 3.1: a method is not empty"),
		ROW(400, "Host: h\r\n\r\n", "9112 3: there must be one"),
		ROW(400, FIRST("get / HTTP/1.1"), "9110 9.1: the method token is case-sensitive"),
		ROW(400, FIRST("Get / HTTP/1.1"), "9110 9.1: likewise"),
		ROW(400, FIRST("G\"T / HTTP/1.1"), "9110 9.1: method = token"),
		ROW(400, FIRST("G\xc3\x89T / HTTP/1.1"), "9110 9.1: likewise"),
		ROW(400, FIRST("GET1 / HTTP/1.1"), "9110 9.1: registered ones have no digits"),
		ROW(0, FIRST("BREW / HTTP/1.1"), "9110 9.1: an unknown one is for 405 or 501"),
		ROW(0, FIRST("VERSION-CONTROL / HTTP/1.1"), "9110 16.1: one with a hyphen"),
		ROW(501, "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n", "9110 9.3.6: no tunnels"),
	};

	(void)state;
	CHECK(rows);
}

static void a_version_is_1_and_a_digit(void **state)
{
	static const struct row rows[] = {
		ROW(0, FIRST("GET / HTTP/1.0"), "9110 2.5: the same major version"),
		ROW(0, FIRST("GET / HTTP/1.2"), "9110 2.5: a higher minor version is read as 1.1"),
		ROW(0, "GET / HTTP/1.0\r\n\r\n", "9112 3.2: Host is asked of HTTP/1.1"),
		ROW(400, "GET / HTTP/1.2\r\n\r\n", "9112 3.2: and of what is read as 1.1"),
		ROW(505, FIRST("GET / HTTP/2.0"), "9110 15.6.6: another major version"),
		ROW(505, FIRST("GET / HTTP/0.9"), "9110 15.6.6: likewise"),
		ROW(505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		    "9113 3.4: HTTP/2 with prior knowledge"),
		ROW(400, FIRST("GET / http/1.1"), "9112 2.3: HTTP-name is case-sensitive"),
		ROW(400, FIRST("GET / HTTP/1"), "9112 2.3: DIGIT . DIGIT"),
		ROW(400, FIRST("GET / HTTP/1.10"), "9112 2.3: likewise"),
		ROW(400, FIRST("GET / HTTP/11.1"), "9112 2.3: likewise"),
		ROW(400, FIRST("GET / HTTP/1,1"), "9112 2.3: likewise"),
		ROW(400, FIRST("GET / HTTP/a.1"), "9112 2.3: likewise"),
		ROW(400, FIRST("GET / HTTP/1.b"), "9112 2.3: likewise"),
		ROW(400, FIRST("GET / HTTP 1.1"), "9112 2.3: likewise"),
		ROW(400, FIRST("GET / HTCPCP/1.1"), "9112 2.3: likewise"),
		ROW(400, FIRST("GET / "), "9112 2.3: likewise"),
	};

	(void)state;
	CHECK(rows);
}

static void a_target_is_a_path_a_url_or_for_options_an_asterisk(void **state)
{
	static const struct row rows[] = {
		ROW(0, TARGET("/a-._~!$&'()*+,;=:@%20//b?c=/?%ff&"),
		    "3986 3.3 and 3.4: characters"),
		ROW(400, TARGET("/a#b"), "9112 3.2.1: no fragment"),
		ROW(400, TARGET("/?a#b"), "9112 3.2.1: likewise"),
		ROW(400, TARGET("/\xc3\xa4"), "3986 2: ASCII only"),
		ROW(400, TARGET("/?\xc3\xa4"), "3986 2: likewise"),
		ROW(400, TARGET("/a\x01"), "3986 2: no control characters"),
		ROW(400, TARGET("/a\x7f"), "3986 2: likewise"),
		ROW(400, TARGET("/%zz"), "3986 2.1: % HEXDIG HEXDIG"),
		ROW(400, TARGET("/%0z"), "3986 2.1: likewise"),
		ROW(400, TARGET("/%"), "3986 2.1: likewise"),
		ROW(400, TARGET("/%0"), "3986 2.1: likewise"),
		ROW(400, TARGET("/?%0"), "3986 2.1: likewise"),
		ROW(400, TARGET("/\\a"), "3986 2: not among its characters"),
		ROW(400, TARGET("/<a>"), "3986 2: likewise"),
		ROW(400, TARGET("a"), "9112 3.2: no form of a target"),
		ROW(400, TARGET("?a"), "9112 3.2.1: a path is not empty"),
		ROW(400, TARGET("h:443"), "9112 3.2.3: only CONNECT has the authority form"),
		ROW(400, TARGET("*"), "9112 3.2.4: only OPTIONS has the asterisk"),
		ROW(0, "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "9112 3.2.4"),
		ROW(400, "OPTIONS *? HTTP/1.1\r\nHost: h\r\n\r\n", "9112 3.2.4"),
		ROW(0, TARGET("https://h/a?b"),
		    "9112 3.2.2: a server MUST accept the absolute form"),
		ROW(0, TARGET("HTTP://h:80"), "3986 3.1: schemes are case-insensitive"),
		ROW(0, TARGET("https://[2001:db8::1]:443/"), "3986 3.2.2: IP-literal"),
		ROW(400, TARGET("https:/a"), "9110 4.2.2: https-URI has an authority"),
		ROW(400, TARGET("https:///a"), "9110 4.2.2: an empty host is invalid"),
		ROW(400, TARGET("https://"), "9110 4.2.2: likewise"),
		ROW(400, TARGET("https://:443/a"), "9110 4.2.2: likewise"),
		ROW(400, TARGET("https://u@h/"), "9110 4.2.4: userinfo is an error"),
		ROW(400, TARGET("https://h#f"), "9112 3.2.2: absolute-URI has no fragment"),
		ROW(400, TARGET("ftp://h/"), "9110 7.1: another scheme is not served here"),
		ROW(400, "GET https://h/ HTTP/1.1\r\n\r\n", "9112 3.2.2: with a Host all the same"),
		ROW(0, "GET https://h/ HTTP/1.0\r\n\r\n", "9112 3.2.2: but in HTTP/1.0"),
	};

	(void)state;
	CHECK(rows);
}

static void a_field_line_is_token_colon_value(void **state)
{
	static const struct row rows[] = {
		ROW(400, LINE("Transfer-Encoding : chunked"),
		    "9112 5.1: a server MUST reject white space before the colon"),
		ROW(400, LINE("A\t: b"), "9112 5.1: likewise"),
		ROW(400, LINE("A : b"), "9112 5.1: likewise"),
		ROW(400, LINE("A b: c"), "9110 5.1: field-name = token"),
		ROW(400, LINE("A\"b: c"), "9110 5.1: likewise"),
		ROW(400, LINE("A(b): c"), "9110 5.1: likewise"),
		ROW(400, LINE("A\xc3\xa4: c"), "9110 5.1: likewise"),
		ROW(400, LINE("Content-Length\x01: 5"), "9110 5.1: likewise"),
		ROW(400, LINE(": b"), "9110 5.6.2: a token is not empty"),
		ROW(400, LINE("A"), "9112 5: a colon"),
		ROW(400, LINE("A b"), "9112 5: likewise"),
		ROW(400, LINE("A: b\r\n c"), "9112 5.2: a server MUST reject or unfold obs-fold"),
		ROW(400, LINE("A: b\r\n\tc"), "9112 5.2: likewise"),
		ROW(400, LINE("A: b\r\n "), "9112 5.2: likewise"),
		ROW(400, LINE("A: b\0c"), "9110 5.5: NUL is invalid and dangerous"),
		ROW(400, LINE("A: \x01"), "9110 5.5: other control characters are invalid"),
		ROW(400, LINE("A: \x1b[0m"), "9110 5.5: likewise"),
		ROW(400, LINE("A: \x0b"), "9110 5.5: likewise"),
		ROW(400, LINE("A: \x7f"), "9110 5.5: likewise"),
		ROW(0, LINE("A: \xc3\xa4\xff\x80"), "9110 5.5: obs-text is opaque data"),
		ROW(0, LINE("A: b\tc  d"), "9110 5.5: blanks and tabs inside of a value"),
		ROW(0, LINE("A:b"), "9112 5: OWS is optional"),
		ROW(0, LINE("A: \t b\t "), "9112 5: and excluded"),
		ROW(0, LINE("A:"), "9110 5.5: a value may be empty"),
		ROW(0, LINE("A: : b:c"), "9112 5: the first colon counts"),
		ROW(0, LINE("!#$%&'*+-.^_`|~09azAZ: b"), "9110 5.6.2: every tchar"),
		ROW(0, LINE("A: b\r\nA: c"), "9110 5.3: unknown ones may come again"),
		ROW(0, LINE("X: a"),
		    "9110 5.1: an unknown name, also the beginning of a known one"),
		ROW(0, LINE("H: a"), "9110 5.1: likewise"),
		ROW(0, LINE("T:"), "9110 5.1: likewise"),
		ROW(0, LINE("Content-Lengt: a"), "9110 5.1: likewise"),
		ROW(0, LINE("Content-Lengths: a"), "9110 5.1: and one that goes on"),
	};

	(void)state;
	CHECK(rows);
}

static void there_is_one_host_and_it_is_one(void **state)
{
	static const struct row rows[] = {
		ROW(400, FIELDS(""), "9112 3.2: a server MUST answer 400 to HTTP/1.1 without Host"),
		ROW(400, FIELDS("Host: h\r\nHost: h\r\n"), "9112 3.2: and to more than one"),
		ROW(400, FIELDS("Host: a\r\nhOsT: b\r\n"), "9112 3.2: likewise"),
		ROW(400, "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
		    "9112 3.2: of any version"),
		ROW(400, FIELDS("Host: a, b\r\n"), "9112 3.2: and to an invalid value"),
		ROW(400, FIELDS("Host: a b\r\n"), "9112 3.2: likewise"),
		ROW(400, FIELDS("Host: a/b\r\n"), "9112 3.2: likewise"),
		ROW(400, FIELDS("Host: u@h\r\n"), "9112 3.2: likewise"),
		ROW(400, FIELDS("Host: h:80:80\r\n"), "9112 3.2: likewise"),
		ROW(400, FIELDS("Host: h:x\r\n"), "9112 3.2: likewise"),
		ROW(400, FIELDS("Host: h:+1\r\n"), "9112 3.2: likewise"),
		ROW(400, FIELDS("Host: h:123456\r\n"), "9112 3.2: no port has six digits"),
		ROW(400, FIELDS("Host: \xc3\xa4\r\n"), "9112 3.2: likewise"),
		ROW(400, FIELDS("Host: a%2\r\n"), "9112 3.2: likewise"),
		ROW(400, FIELDS("Host: [::1\r\n"), "9112 3.2: likewise"),
		ROW(400, FIELDS("Host: [::1]80\r\n"), "9112 3.2: likewise"),
		ROW(400, FIELDS("Host: [h]\r\n"), "9112 3.2: likewise"),
		ROW(400, FIELDS("Host: [1:2:3:4:5:6:7:8:9:a:b:c:d:e:f:1:2:3:4:5:6:7:8]\r\n"),
		    "9112 3.2: likewise"),
		ROW(400, FIELDS("Host: ::1\r\n"), "9112 3.2: an IPv6 address has brackets"),
		ROW(400, FIELDS("Host:\r\n"),
		    "9110 4.2.2: an https URL with an empty host is invalid"),
		ROW(400, FIELDS("Host: :443\r\n"), "9110 4.2.2: likewise"),
		ROW(400, "GET https://h/ HTTP/1.1\r\nHost: a b\r\n\r\n",
		    "9112 3.2: beside a URL too"),
		ROW(0, FIELDS("Host: relay.example.com:8443\r\n"), "9110 7.2: uri-host [ : port ]"),
		ROW(0, FIELDS("Host: h:\r\n"), "3986 3.2.3: a port may be empty"),
		ROW(0, FIELDS("host:192.0.2.1:65535\t\r\n"), "9110 7.2: IPv4address"),
		ROW(0, FIELDS("Host: [::ffff:192.0.2.1]\r\n"), "9110 7.2: IP-literal"),
		ROW(0, FIELDS("Host: a_b%20\r\n"), "3986 3.2.2: reg-name"),
	};

	(void)state;
	CHECK(rows);
}

static void a_body_has_one_length_in_plain_digits(void **state)
{
	static const struct row rows[] = {
		ROW(0, LINE("Content-Length: 0"), "9110 8.6: 1*DIGIT"),
		ROW(0, LINE("Content-Length:\t29 "), "9110 8.6: likewise"),
		ROW(0, LINE("Content-Length: 999999999999999"), "9110 8.6: any size"),
		ROW(413, LINE("Content-Length: 1000000000000000"), "9110 8.6: no overflow"),
		ROW(413, LINE("Content-Length: 18446744073709551621"), "9110 8.6: likewise"),
		ROW(400, LINE("Content-Length: 029"), "9110 8.6: some read it as octal"),
		ROW(400, LINE("Content-Length: 00"), "9110 8.6: likewise"),
		ROW(400, LINE("Content-Length: +5"), "9110 8.6: digits"),
		ROW(400, LINE("Content-Length: -5"), "9110 8.6: likewise"),
		ROW(400, LINE("Content-Length: 0x5"), "9110 8.6: likewise"),
		ROW(400, LINE("Content-Length: 5 5"), "9110 8.6: likewise"),
		ROW(400, LINE("Content-Length: 5.0"), "9110 8.6: likewise"),
		ROW(400, LINE("Content-Length: 5e1"), "9110 8.6: likewise"),
		ROW(400, LINE("Content-Length: \xef\xbc\x95"), "9110 8.6: likewise"),
		ROW(400, LINE("Content-Length:"), "9110 8.6: one at least"),
		ROW(400, LINE("Content-Length: 5,5"),
		    "9112 6.3: a list MAY be refused though it agrees"),
		ROW(400, LINE("Content-Length: 5, 6"), "9112 6.3: and MUST where it does not"),
		ROW(400, LINE("Content-Length: 5\r\nContent-Length: 5"), "9112 6.3: MAY likewise"),
		ROW(400, LINE("Content-Length: 5\r\ncontent-length: 6"), "9112 6.3: MUST likewise"),
	};

	(void)state;
	CHECK(rows);
}

static void no_body_is_chunked(void **state)
{
	static const struct row rows[] = {
		ROW(411, LINE("Transfer-Encoding: chunked"), "9112 6.3: 411 to what has no length"),
		ROW(411, LINE("transfer-encoding:CHUNKED"), "9112 7: names are case-insensitive"),
		ROW(411, LINE("Transfer-Encoding: , chunked ,"), "9110 5.6.1: empty members"),
		ROW(501, LINE("Transfer-Encoding: gzip, chunked"), "9112 6.1: an unknown coding"),
		ROW(501, LINE("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked"),
		    "9110 5.3: lines of a list are one list"),
		ROW(400, LINE("Transfer-Encoding: gzip"),
		    "9112 6.3: chunked is not the final coding: a server MUST answer 400"),
		ROW(400, LINE("Transfer-Encoding: identity"), "9112 6.3: likewise"),
		ROW(400, LINE("Transfer-Encoding: chunked, gzip"), "9112 6.3: likewise"),
		ROW(400, LINE("Transfer-Encoding: chunked\r\nTransfer-Encoding: x"),
		    "9112 6.3: likewise"),
		ROW(400, LINE("Transfer-Encoding: xchunked"), "9112 6.3: likewise"),
		ROW(400, LINE("Transfer-Encoding: chunked;q=1"), "9112 7.1: it has no parameters"),
		ROW(400, LINE("Transfer-Encoding: \"chunked\""), "9112 7: a token"),
		ROW(400, LINE("Transfer-Encoding:"), "9112 6.3: likewise"),
		ROW(400, LINE("Content-Length: 5\r\nTransfer-Encoding: chunked"),
		    "9112 6.1: a server MAY reject both"),
		ROW(400, LINE("Transfer-Encoding: chunked\r\nContent-Length: 5"),
		    "9112 6.1: likewise"),
		ROW(400, LINE("Transfer-Encoding: x\r\nContent-Length: 5"), "9112 6.1: likewise"),
		ROW(400, "POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
		    "9112 6.1: in HTTP/1.0 the framing is faulty"),
	};

	(void)state;
	CHECK(rows);
}

static void what_may_come_once_comes_once(void **state)
{
	static const struct row rows[] = {
		ROW(417, LINE("Expect: 200-ok"), "9110 10.1.1: any other expectation: 417"),
		ROW(417, LINE("Expect: 100-continue, x"), "9110 10.1.1: likewise"),
		ROW(0, LINE("Expect: 100-Continue"), "9110 10.1.1: case-insensitive"),
		ROW(0, LINE("Expect:"), "9110 5.6.1: an empty list"),
		ROW(400, LINE("Expect: 100-continue\r\nExpect: 100-continue"), "ambiguous"),
		ROW(400, LINE("Authorization: Bearer a\r\nAuthorization: Bearer b"), "9110 5.3"),
		ROW(400, LINE("Origin: a\r\nOrigin: a"), "6454 7.3: one Origin"),
		ROW(400, LINE("Last-Event-ID: a\r\nLast-Event-ID: a"), "9110 5.3"),
		ROW(400, LINE("Sec-WebSocket-Key: a\r\nSec-WebSocket-Key: a"), "6455 11.3.1"),
		ROW(400, LINE("Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 13"),
		    "6455 11.3.5"),
		ROW(400, LINE("Origin:\r\nOrigin: a"), "9110 5.3: an empty one counts"),
		ROW(0, LINE("Connection: a\r\nConnection: b"), "9110 5.3: lists may"),
		ROW(0, LINE("Upgrade: a\r\nUpgrade: b"), "9110 5.3: likewise"),
		ROW(0, LINE("Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: b"),
		    "6455 11.3.4"),
	};

	(void)state;
	CHECK(rows);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_end_with_crlf_and_nothing_else),
		cmocka_unit_test(a_request_line_is_three_parts_and_two_blanks),
		cmocka_unit_test(a_version_is_1_and_a_digit),
		cmocka_unit_test(a_target_is_a_path_a_url_or_for_options_an_asterisk),
		cmocka_unit_test(a_field_line_is_token_colon_value),
		cmocka_unit_test(there_is_one_host_and_it_is_one),
		cmocka_unit_test(a_body_has_one_length_in_plain_digits),
		cmocka_unit_test(no_body_is_chunked),
		cmocka_unit_test(what_may_come_once_comes_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
