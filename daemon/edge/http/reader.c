/* A request's head by RFC 9112: its end, its request line, its field lines. See reader.h. */
#include "daemon/edge/http/reader.h"
#include "daemon/edge/http/reader_private.h"
#include <string.h>
#include <strings.h>

/* Always false, for a rule to end with. */
static bool refuse(struct sb_http_refusal *refusal, int status, const char *detail)
{
	*refusal = (struct sb_http_refusal){status, detail};
	return false;
}

static struct sb_http_slice slice_of(const char *bytes, size_t len)
{
	return (struct sb_http_slice){bytes, len};
}

bool sb_http_cut(struct sb_http_slice *rest, char at, struct sb_http_slice *ret_part)
{
	const char *found = rest->len ? memchr(rest->bytes, at, rest->len) : NULL;

	*ret_part = slice_of(rest->bytes, found ? (size_t)(found - rest->bytes) : rest->len);
	rest->bytes += ret_part->len + (found != NULL);
	rest->len -= ret_part->len + (found != NULL);
	return found;
}

/* ---- the end ---- */

static bool is_control(char c)
{
	return ((unsigned char)c < 0x20 && c != '\t' && c != '\r' && c != '\n') || c == 0x7f;
}

/*
 * Looks at each byte once. True: no fault so far; *ret_end is the length of the
 * head, or 0 where it has not ended. Lines end with CRLF: RFC 9112 section 2.2
 * lets a server take a bare LF too, which is how it comes to see a line where
 * a proxy sees none.
 */
static bool find_end(const char *bytes, size_t len, size_t *scanned, size_t *ret_end,
		     struct sb_http_refusal *refusal)
{
	size_t limit = len < SB_HTTP_HEAD_MAX ? len : SB_HTTP_HEAD_MAX;

	*ret_end = 0;
	for (size_t i = *scanned; i < limit; i++) {
		bool ends_line = i > 0 && bytes[i - 1] == '\r';

		if (ends_line != (bytes[i] == '\n'))
			return refuse(refusal, 400, "a CR or LF that is no CRLF");
		if (is_control(bytes[i]))
			return refuse(refusal, 400, "a control character");
		/* An empty line. One may come before the request: section 2.2. */
		if (ends_line && i >= 3 && bytes[i - 2] == '\n') {
			if (i == 3)
				return refuse(refusal, 400, "empty lines before the request");
			*ret_end = *scanned = i + 1;
			return true;
		}
	}
	*scanned = limit;
	if (limit < SB_HTTP_HEAD_MAX)
		return true;
	if (!memchr(bytes + 2, '\n', limit - 2))
		return refuse(refusal, 414, "the request line is over 8192 bytes");
	return refuse(refusal, 431, "the headers are over 8192 bytes");
}

/* ---- the request line, RFC 9112 section 3 ---- */

static enum sb_http_method method_of(struct sb_http_slice name)
{
	static const char *const names[] = {
		[SB_HTTP_GET] = "GET",
		[SB_HTTP_HEAD] = "HEAD",
		[SB_HTTP_POST] = "POST",
		[SB_HTTP_OPTIONS] = "OPTIONS",
	};

	for (enum sb_http_method method = SB_HTTP_GET; method < SB_HTTP_OTHER; method++) {
		if (sb_http_slice_is(name, names[method]))
			return method;
	}
	return SB_HTTP_OTHER;
}

/* A token of letters and "-", as all registered methods are; they are case-sensitive, so a small
 * letter is a mistake. */
static bool is_method(struct sb_http_slice name)
{
	for (size_t i = 0; i < name.len; i++) {
		if ((name.bytes[i] < 'A' || name.bytes[i] > 'Z') && name.bytes[i] != '-')
			return false;
	}
	return name.len > 0;
}

static bool read_version(struct sb_http_slice version, struct sb_http_request *request,
			 struct sb_http_refusal *refusal)
{
	const char *digits = version.bytes + 5;

	/* RFC 9112 section 2.3: HTTP-name "/" DIGIT "." DIGIT. */
	if (version.len != 8 || memcmp(version.bytes, "HTTP/", 5) != 0 || digits[0] < '0' ||
	    digits[0] > '9' || digits[1] != '.' || digits[2] < '0' || digits[2] > '9')
		return refuse(refusal, 400, "the request line has no HTTP version at its end");
	if (digits[0] != '1')
		return refuse(refusal, 505, "HTTP/1.1 is spoken here");
	/* RFC 9110 section 2.5: a higher minor version is read as the highest known. */
	request->is_1_0 = digits[2] == '0';
	return true;
}

/* SCHEME://HOST[:PORT], before the path of the absolute form. */
static bool read_authority(struct sb_http_slice *rest, struct sb_http_request *request)
{
	size_t scheme;

	if (rest->len > 8 && !strncasecmp(rest->bytes, "https://", 8))
		scheme = 8;
	else if (rest->len > 7 && !strncasecmp(rest->bytes, "http://", 7))
		scheme = 7;
	else
		return false;
	*rest = slice_of(rest->bytes + scheme, rest->len - scheme);
	request->host = slice_of(rest->bytes, 0);
	while (request->host.len < rest->len && rest->bytes[request->host.len] != '/' &&
	       rest->bytes[request->host.len] != '?')
		request->host.len++;
	*rest = slice_of(rest->bytes + request->host.len, rest->len - request->host.len);
	return sb_http_is_host(request->host);
}

/* RFC 9112 section 3.2, and RFC 3986 section 3.3 for a path's characters. */
static bool read_target(struct sb_http_request *request)
{
	struct sb_http_slice rest = request->target;
	bool is_options = request->method == SB_HTTP_OPTIONS;

	if (sb_http_slice_is(rest, "*")) {
		request->path = rest;
		return is_options; /* section 3.2.4 */
	}
	if (rest.len && rest.bytes[0] != '/' && !read_authority(&rest, request))
		return false;
	if (sb_http_cut(&rest, '?', &request->path))
		request->query = rest;
	if (!request->path.len && !request->host.bytes)
		return false;
	if (!request->path.len) /* section 3.2.2, and 3.2.4 for OPTIONS */
		request->path = slice_of(is_options && !request->query.bytes ? "*" : "/", 1);
	return sb_http_is_uri_text(request->path, "/:@") &&
	       sb_http_is_uri_text(request->query, "/:@?");
}

static bool read_request_line(struct sb_http_slice line, struct sb_http_request *request,
			      struct sb_http_refusal *refusal)
{
	if (!sb_http_cut(&line, ' ', &request->method_name) || !is_method(request->method_name))
		return refuse(refusal, 400, "the request line begins with no method in capitals");
	if (!sb_http_cut(&line, ' ', &request->target))
		return refuse(refusal, 400, "the request line is not METHOD TARGET VERSION");
	if (!read_version(line, request, refusal))
		return false;
	request->method = method_of(request->method_name);
	if (sb_http_slice_is(request->method_name, "CONNECT"))
		return refuse(refusal, 501, "there are no tunnels here");
	if (!read_target(request))
		return refuse(refusal, 400, "the request's target is no path or URL");
	return true;
}

/* ---- field lines, RFC 9112 section 5 ---- */

static bool is_token(struct sb_http_slice name)
{
	for (size_t i = 0; i < name.len; i++) {
		char c = name.bytes[i];

		if (!sb_http_is_alnum(c) && !memchr("!#$%&'*+-.^_`|~", c, 15))
			return false;
	}
	return name.len > 0;
}

static bool read_field_line(struct sb_http_slice line, struct sb_http_request *request,
			    struct sb_http_refusal *refusal)
{
	enum sb_http_field field;
	struct sb_http_slice name;

	if (line.bytes[0] == ' ' || line.bytes[0] == '\t') /* sections 2.2 and 5.2 */
		return refuse(refusal, 400, "a header line begins with a blank");
	if (!sb_http_cut(&line, ':', &name))
		return refuse(refusal, 400, "a header line has no colon");
	if (name.len && memchr(" \t", name.bytes[name.len - 1], 2)) /* section 5.1 */
		return refuse(refusal, 400, "a blank before a header's colon");
	if (!is_token(name))
		return refuse(refusal, 400, "a header's name is no token");
	field = sb_http_field_of(name);
	if (field == SB_HTTP_FIELDS)
		return true;
	if (!request->fields[field].bytes)
		request->fields[field] = sb_http_trim(line);
	else if (!sb_http_field_is_list(field)) /* RFC 9110 section 5.3 */
		return refuse(refusal, 400, "a header came twice that may come once");
	return true;
}

static bool read_fields(struct sb_http_request *request, struct sb_http_refusal *refusal)
{
	struct sb_http_slice rest = request->lines, line;
	size_t count = 0;

	while (sb_http_next_line(&rest, &line)) {
		if (++count > SB_HTTP_FIELDS_MAX)
			return refuse(refusal, 431, "more than 100 headers");
		if (!read_field_line(line, request, refusal))
			return false;
	}
	return true;
}

enum sb_http_reading sb_http_read_head(const char *bytes, size_t len, size_t *scanned,
				       struct sb_http_request *ret_request, size_t *ret_head_len,
				       struct sb_http_refusal *ret_refusal)
{
	struct sb_http_slice rest, line;
	size_t end, start;

	if (!find_end(bytes, len, scanned, &end, ret_refusal))
		return SB_HTTP_REFUSED;
	if (!end)
		return SB_HTTP_MORE;
	memset(ret_request, 0, sizeof(*ret_request));
	start = bytes[0] == '\r' ? 2 : 0;
	rest = slice_of(bytes + start, end - 2 - start); /* without the empty lines */
	(void)sb_http_next_line(&rest, &line);
	ret_request->lines = rest;
	if (!read_request_line(line, ret_request, ret_refusal) ||
	    !read_fields(ret_request, ret_refusal))
		return SB_HTTP_REFUSED;
	*ret_refusal = sb_http_judge_fields(ret_request);
	if (ret_refusal->status)
		return SB_HTTP_REFUSED;
	*ret_head_len = end;
	return SB_HTTP_READ;
}
