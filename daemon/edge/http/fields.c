/* What a request's fields mean, by RFC 9110 and RFC 9112. See reader.h. */
#include "daemon/edge/http/reader.h"
#include "daemon/edge/http/reader_private.h"
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

/* More digits than any body has; all numbers of that many fit. */
#define LENGTH_DIGITS_MAX 15

static const char *const names[SB_HTTP_FIELDS] = {
	[SB_HTTP_HOST] = "host",
	[SB_HTTP_CONTENT_LENGTH] = "content-length",
	[SB_HTTP_EXPECT] = "expect",
	[SB_HTTP_AUTHORIZATION] = "authorization",
	[SB_HTTP_ORIGIN] = "origin",
	[SB_HTTP_LAST_EVENT_ID] = "last-event-id",
	[SB_HTTP_WEBSOCKET_KEY] = "sec-websocket-key",
	[SB_HTTP_WEBSOCKET_VERSION] = "sec-websocket-version",
	[SB_HTTP_CONNECTION] = "connection",
	[SB_HTTP_UPGRADE] = "upgrade",
	[SB_HTTP_TRANSFER_ENCODING] = "transfer-encoding",
	[SB_HTTP_WEBSOCKET_PROTOCOL] = "sec-websocket-protocol",
};

enum sb_http_field sb_http_field_of(struct sb_http_slice name)
{
	enum sb_http_field field = 0;

	while (field < SB_HTTP_FIELDS && !sb_http_slice_is_any_case(name, names[field]))
		field++;
	return field;
}

bool sb_http_field_is_list(enum sb_http_field field)
{
	return field >= SB_HTTP_CONNECTION;
}

/* ---- parts of text ---- */

bool sb_http_slice_is(struct sb_http_slice slice, const char *word)
{
	return slice.len == strlen(word) && !memcmp(slice.bytes, word, slice.len);
}

bool sb_http_slice_is_any_case(struct sb_http_slice slice, const char *word)
{
	return slice.len == strlen(word) && !strncasecmp(slice.bytes, word, slice.len);
}

struct sb_http_slice sb_http_trim(struct sb_http_slice slice)
{
	while (slice.len && memchr(" \t", slice.bytes[0], 2)) {
		slice.bytes++;
		slice.len--;
	}
	while (slice.len && memchr(" \t", slice.bytes[slice.len - 1], 2))
		slice.len--;
	return slice;
}

bool sb_http_next_line(struct sb_http_slice *rest, struct sb_http_slice *ret_line)
{
	if (!sb_http_cut(rest, '\r', ret_line))
		return false;
	rest->bytes++; /* LF: there is no CR without one */
	rest->len--;
	return true;
}

/* The lists' next member that is not empty. */
static bool next_member(struct sb_http_slice *rest, struct sb_http_slice *ret_member)
{
	while (rest->len) {
		(void)sb_http_cut(rest, ',', ret_member);
		*ret_member = sb_http_trim(*ret_member);
		if (ret_member->len)
			return true;
	}
	return false;
}

bool sb_http_is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* -1: no hexadecimal digit. */
static int hex_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool sb_http_is_uri_text(struct sb_http_slice text, const char *also)
{
	for (size_t i = 0; i < text.len; i++) {
		char c = text.bytes[i];

		if (c == '%') {
			if (text.len - i < 3 || hex_of(text.bytes[i + 1]) < 0 ||
			    hex_of(text.bytes[i + 2]) < 0)
				return false;
			i += 2;
		} else if (!sb_http_is_alnum(c) && !memchr("-._~!$&'()*+,;=", c, 15) &&
			   !memchr(also, c, strlen(also))) {
			return false;
		}
	}
	return true;
}

static bool is_digits(struct sb_http_slice text)
{
	for (size_t i = 0; i < text.len; i++) {
		if (text.bytes[i] < '0' || text.bytes[i] > '9')
			return false;
	}
	return true;
}

static bool is_ipv6(struct sb_http_slice text)
{
	char address[INET6_ADDRSTRLEN];
	struct in6_addr ignored;

	if (text.len >= sizeof(address))
		return false;
	memcpy(address, text.bytes, text.len);
	address[text.len] = '\0';
	return inet_pton(AF_INET6, address, &ignored) == 1;
}

bool sb_http_is_host(struct sb_http_slice host)
{
	struct sb_http_slice name, port = host;

	if (host.len && host.bytes[0] == '[') {
		port.bytes++;
		port.len--;
		if (!sb_http_cut(&port, ']', &name) || !is_ipv6(name))
			return false;
		if (port.len && *port.bytes != ':')
			return false;
		port.bytes += port.len > 0;
		port.len -= port.len > 0;
	} else {
		(void)sb_http_cut(&port, ':', &name);
		/* RFC 9110 section 4.2.2: an https URL with an empty host is invalid. */
		if (!name.len || !sb_http_is_uri_text(name, ""))
			return false;
	}
	return port.len <= 5 && is_digits(port);
}

/* ---- what they say ---- */

bool sb_http_lists(const struct sb_http_request *request, enum sb_http_field field,
		   const char *member)
{
	struct sb_http_slice lines = request->lines, line, name, found;

	while (sb_http_next_line(&lines, &line)) {
		(void)sb_http_cut(&line, ':', &name);
		if (!sb_http_slice_is_any_case(name, names[field]))
			continue;
		while (next_member(&line, &found)) {
			if (field == SB_HTTP_WEBSOCKET_PROTOCOL
				    ? sb_http_slice_is(found, member)
				    : sb_http_slice_is_any_case(found, member))
				return true;
		}
	}
	return false;
}

/* All lines' last member, and how many there are. */
static size_t last_coding(const struct sb_http_request *request, struct sb_http_slice *ret_last)
{
	struct sb_http_slice lines = request->lines, line, name;
	size_t count = 0;

	while (sb_http_next_line(&lines, &line)) {
		(void)sb_http_cut(&line, ':', &name);
		if (sb_http_field_of(name) != SB_HTTP_TRANSFER_ENCODING)
			continue;
		while (next_member(&line, ret_last))
			count++;
	}
	return count;
}

/* RFC 9112 sections 6.1 and 6.3. No body here is chunked. */
static struct sb_http_refusal judge_coding(const struct sb_http_request *request)
{
	struct sb_http_slice last = {"", 0};
	size_t count;

	if (!request->fields[SB_HTTP_TRANSFER_ENCODING].bytes)
		return (struct sb_http_refusal){0};
	if (request->fields[SB_HTTP_CONTENT_LENGTH].bytes)
		return (struct sb_http_refusal){400, "Transfer-Encoding beside Content-Length"};
	if (request->is_1_0)
		return (struct sb_http_refusal){400, "Transfer-Encoding in HTTP/1.0"};
	count = last_coding(request, &last);
	if (!sb_http_slice_is_any_case(last, "chunked"))
		return (struct sb_http_refusal){400, "Transfer-Encoding does not end with chunked"};
	if (count > 1)
		return (struct sb_http_refusal){501, "a transfer coding that is not known here"};
	return (struct sb_http_refusal){411, "say the body's Content-Length"};
}

/* RFC 9110 section 8.6: digits; here in their shortest form, and as no list. */
static struct sb_http_refusal read_length(struct sb_http_request *request)
{
	struct sb_http_slice value = request->fields[SB_HTTP_CONTENT_LENGTH];

	if (!value.bytes)
		return (struct sb_http_refusal){0};
	if (!value.len || !is_digits(value) || (value.len > 1 && value.bytes[0] == '0'))
		return (struct sb_http_refusal){400, "Content-Length is no decimal number"};
	if (value.len > LENGTH_DIGITS_MAX)
		return (struct sb_http_refusal){413, "the body is too long"};
	for (size_t i = 0; i < value.len; i++)
		request->content_length =
			request->content_length * 10 + (uint64_t)(value.bytes[i] - '0');
	request->has_length = true;
	return (struct sb_http_refusal){0};
}

/* RFC 9112 section 3.2. */
static struct sb_http_refusal judge_host(struct sb_http_request *request)
{
	struct sb_http_slice host = request->fields[SB_HTTP_HOST];

	if (!host.bytes && !request->is_1_0)
		return (struct sb_http_refusal){400, "there is no Host header"};
	if (host.bytes && !sb_http_is_host(host))
		return (struct sb_http_refusal){400, "Host is not HOST or HOST:PORT"};
	if (!request->host.bytes)
		request->host = host;
	return (struct sb_http_refusal){0};
}

/* RFC 9110 section 10.1.1. */
static struct sb_http_refusal judge_expectation(struct sb_http_request *request)
{
	struct sb_http_slice value = request->fields[SB_HTTP_EXPECT];

	if (!value.len)
		return (struct sb_http_refusal){0};
	if (!sb_http_slice_is_any_case(value, "100-continue"))
		return (struct sb_http_refusal){417, "Expect knows 100-continue only"};
	request->expects_continue = !request->is_1_0 && request->content_length > 0;
	return (struct sb_http_refusal){0};
}

struct sb_http_refusal sb_http_judge_fields(struct sb_http_request *request)
{
	static struct sb_http_refusal (*const rules[])(struct sb_http_request *) = {
		judge_host, read_length, judge_expectation};
	struct sb_http_refusal refusal = judge_coding(request);

	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]) && !refusal.status; i++)
		refusal = rules[i](request);
	request->keeps_alive =
		!request->is_1_0 && !sb_http_lists(request, SB_HTTP_CONNECTION, "close");
	request->wants_websocket =
		!request->is_1_0 && sb_http_lists(request, SB_HTTP_UPGRADE, "websocket");
	return refusal;
}

int sb_http_next_parameter(struct sb_http_slice *query, char *room, size_t size,
			   const char **ret_name, const char **ret_value)
{
	struct sb_http_slice part;
	size_t len = 0;

	do {
		if (!query->len)
			return 0;
		(void)sb_http_cut(query, '&', &part);
	} while (!part.len);
	*ret_name = room;
	*ret_value = NULL;
	for (size_t i = 0; i < part.len; i++) {
		char c = part.bytes[i];

		if (len + 1 >= size)
			return -EMSGSIZE;
		if (c == '=' && !*ret_value) {
			c = '\0';
			*ret_value = room + len + 1;
		} else if (c == '%' && part.len - i >= 3) {
			c = (char)(hex_of(part.bytes[i + 1]) << 4 | hex_of(part.bytes[i + 2]));
			i += 2;
			if (!c)
				return -EINVAL;
		}
		room[len++] = c;
	}
	room[len] = '\0';
	return 1;
}
