/*
 * The head of an HTTP/1.1 request: from the first byte to the empty line.
 *
 * Strict, because two programs that read one request differently disagree on
 * where the next one begins (request smuggling, RFC 9112 section 11.2). What is
 * invalid or ambiguous by RFC 9110 and 9112 is refused, also where the RFC lets
 * a server be lenient. Every refusal ends the connection.
 *
 * Pure: it reads the caller's bytes and nothing else, and allocates nothing.
 */
#ifndef SB_EDGE_HTTP_READER_H
#define SB_EDGE_HTTP_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A head's length, with the empty lines before and after it, in bytes. */
#define SB_HTTP_HEAD_MAX 8192
/* Field lines of one head. */
#define SB_HTTP_FIELDS_MAX 100

/* Bytes of the caller's, not terminated. `bytes` is NULL for what is absent, not for what is empty.
 */
struct sb_http_slice {
	const char *bytes;
	size_t len;
};

enum sb_http_method {
	SB_HTTP_GET,
	SB_HTTP_HEAD,
	SB_HTTP_POST,
	SB_HTTP_OPTIONS,
	SB_HTTP_OTHER, /* another token in capitals; RFC 9110 section 9.1: 405 or 501 */
};

/* The fields that are looked at. Names are compared in any case. */
enum sb_http_field {
	/* Refused when they come twice. */
	SB_HTTP_HOST,
	SB_HTTP_CONTENT_LENGTH,
	SB_HTTP_EXPECT,
	SB_HTTP_AUTHORIZATION,
	SB_HTTP_ORIGIN,
	SB_HTTP_LAST_EVENT_ID,
	SB_HTTP_WEBSOCKET_KEY,
	SB_HTTP_WEBSOCKET_VERSION,
	/* Lists, which may go on in further lines: see sb_http_lists(). */
	SB_HTTP_CONNECTION,
	SB_HTTP_UPGRADE,
	SB_HTTP_TRANSFER_ENCODING,
	SB_HTTP_WEBSOCKET_PROTOCOL,
	SB_HTTP_FIELDS, /* how many there are */
};

/* A request's head. Its slices point into the bytes that were read, and are good as long as those
 * stay where they are; `path` may point to a constant. */
struct sb_http_request {
	enum sb_http_method method;
	struct sb_http_slice method_name;
	struct sb_http_slice target; /* as sent, any form of RFC 9112 section 3.2 but authority */
	/* As sent, without the query; "*" for the server as a whole. Only characters of RFC 3986,
	 * never empty. Not decoded: an escaped path is another path. */
	struct sb_http_slice path;
	struct sb_http_slice query; /* without "?"; see sb_http_next_parameter() */
	/* HOST or HOST:PORT: that of the target if it names one, else of the Host field (RFC 9112
	 * section 3.2.2). Absent only in HTTP/1.0. */
	struct sb_http_slice host;
	/* Values without the white space around them; of a list only its first line. */
	struct sb_http_slice fields[SB_HTTP_FIELDS];
	struct sb_http_slice lines; /* all field lines, each with its CRLF */
	uint64_t content_length;    /* of the body behind the head, in bytes; 0 if none is told */
	bool has_length;	    /* whether Content-Length is there */
	bool is_1_0;		    /* HTTP/1.0: no chunks in the answer, no 1xx before it */
	bool keeps_alive;	    /* RFC 9112 section 9.3; HTTP/1.0 never does here */
	bool expects_continue;	    /* waits for 100 before its body, RFC 9110 section 10.1.1 */
	bool wants_websocket;	    /* Upgrade lists it, and HTTP/1.0 cannot (section 7.8) */
};

/* Why a head is refused: the answer's status, and words for it and for the log. */
struct sb_http_refusal {
	int status; /* 400, 411, 413, 414, 417, 431, 501 or 505 */
	const char *detail;
};

enum sb_http_reading {
	SB_HTTP_MORE,	 /* the head has not ended: read on, then call again */
	SB_HTTP_READ,	 /* *ret_request and *ret_head_len are set */
	SB_HTTP_REFUSED, /* *ret_refusal is set; nothing behind this can be trusted */
};

/*
 * Reads the head at `bytes`, of which `len` have come; what comes after it is
 * not looked at. After SB_HTTP_MORE the caller adds bytes and calls again with
 * all of them, wherever they lie then.
 *
 * *scanned is 0 for the first call of each request and the reader's thereafter:
 * each call goes on where the one before it stopped, so that a head costs time
 * linear in its length however it comes. How it is cut does not change the
 * result.
 */
enum sb_http_reading sb_http_read_head(const char *bytes, size_t len, size_t *scanned,
				       struct sb_http_request *ret_request, size_t *ret_head_len,
				       struct sb_http_refusal *ret_refusal);

/* Whether the slice is this word. */
bool sb_http_slice_is(struct sb_http_slice slice, const char *word);
bool sb_http_slice_is_any_case(struct sb_http_slice slice, const char *word); /* of ASCII */

/* Whether a list field has this member in any of its lines. RFC 9110 section 5.6.1: members are
 * divided by commas, empty ones do not count. Connection and Upgrade are compared in any case, a
 * websocket's subprotocol is not (RFC 6455 section 4.2.2). */
bool sb_http_lists(const struct sb_http_request *request, enum sb_http_field field,
		   const char *member);

/*
 * Takes the first NAME=VALUE off a query, with %XX decoded. Both are terminated
 * strings in `room` of `size` bytes; the value is NULL where no "=" is. "+" is
 * itself. Returns 1; 0: there is none; -EMSGSIZE: larger than `room`; -EINVAL:
 * an encoded NUL.
 */
int sb_http_next_parameter(struct sb_http_slice *query, char *room, size_t size,
			   const char **ret_name, const char **ret_value);

#endif
