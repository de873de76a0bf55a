/* What reader.c and fields.c share. */
#ifndef SB_EDGE_HTTP_READER_PRIVATE_H
#define SB_EDGE_HTTP_READER_PRIVATE_H

#include "daemon/edge/http/reader.h"

/* Takes what comes before the first `at` off `rest`, and `at` with it. Without one it takes all,
 * and returns false. */
bool sb_http_cut(struct sb_http_slice *rest, char at, struct sb_http_slice *ret_part);

/* Takes one line off `rest`, which has only whole ones. False: there is none. */
bool sb_http_next_line(struct sb_http_slice *rest, struct sb_http_slice *ret_line);

/* Without the white space around it: OWS, RFC 9110 section 5.6.3. */
struct sb_http_slice sb_http_trim(struct sb_http_slice slice);

bool sb_http_is_alnum(char c); /* of ASCII */

/* Whether it has only unreserved characters, sub-delims and whole %XX of RFC 3986 section 2, and
 * those of `also`. */
bool sb_http_is_uri_text(struct sb_http_slice text, const char *also);

/* Whether it is HOST or HOST:PORT (RFC 3986 section 3.2), and HOST is not empty. */
bool sb_http_is_host(struct sb_http_slice host);

/* SB_HTTP_FIELDS: one that is not looked at. */
enum sb_http_field sb_http_field_of(struct sb_http_slice name);
bool sb_http_field_is_list(enum sb_http_field field);

/* What the fields say together: whose host, how long a body, what is expected. Status 0: nothing is
 * wrong. */
struct sb_http_refusal sb_http_judge_fields(struct sb_http_request *request);

#endif
