/* One connection's HTTP, and the request that is served on it; for http/'s own files. */
#ifndef SB_EDGE_HTTP_EXCHANGE_H
#define SB_EDGE_HTTP_EXCHANGE_H

#include "daemon/edge/http/http.h"
#include "daemon/edge/http/reader.h"
#include "protocol/text.h"

#define SB_SESSION_PATH "/v1/session"
#define SB_ORIGIN_MAX	255

enum sb_exchange_state {
	SB_EXCHANGE_READING, /* the head of a request */
	SB_EXCHANGE_BODY,    /* its body */
	SB_EXCHANGE_SERVING, /* it is read, and not answered in full */
	SB_EXCHANGE_ENDING,  /* all is answered: the peer is waited for */
};

struct sb_exchange {
	struct sb_http *http;
	struct sb_connection *connection;
	struct sb_deadline deadline; /* in http->bodies, kept or ends; in none while a session is
					served, which has times of its own */
	uint8_t state;		     /* enum sb_exchange_state */
	bool is_kept : 1;	     /* waits for a further request */
	bool is_1_0 : 1;	     /* HTTP/1.0: no chunks, no 1xx */
	bool is_head : 1;	     /* the answer has no body, RFC 9110 section 9.3.2 */
	bool may_be_followed : 1;    /* by another request on this connection */
	bool keeps : 1;		     /* its answer says so */
	bool started : 1;	     /* stream.c: status and headers are out */
	bool ended : 1;		     /* nothing is made any more: it is over when all is sent */
	uint8_t role;		     /* enum sb_role: what its session is there for */
	/* Bytes that came and are not used yet; owned. They may hold a token: wiped. */
	char *input;
	uint32_t input_len, input_room;
	size_t scanned;	   /* the reader's */
	uint32_t body_len; /* of the body that is waited for */
	char *token;	   /* of the request whose body is waited for; owned, wiped */
	char *origin;	   /* allowed, and to be told so (CORS); NULL: none was sent; owned */
	/* Makes more of `out`, from what its session has. NULL without one. */
	void (*fill)(struct sb_exchange *exchange);
	struct sb_text out;	 /* to be sent, all of it, before more is made */
	struct sb_text messages; /* answer.c: what was pulled so far, with commas between */
	struct sb_frame *last;	 /* answer.c: the last of them; one reference */
};

/* ---- exchange.c: bytes in, requests out; answers in, bytes out ---- */

/* A session for this request; its token (or NULL) and its opening are said. */
void sb_exchange_open(struct sb_exchange *exchange, const struct sb_link_ops *ops,
		      const struct sb_opening *opening, const char *token);
void sb_exchange_free(struct sb_exchange *exchange);
/* The request's body comes now. */
void sb_exchange_expect_body(struct sb_exchange *exchange, uint32_t len);

/* ---- keep.c: connections that wait for their next request ---- */

/* Whether the connection stays when this exchange is over; to be known when its answer's head is
 * written. */
bool sb_keep_may(const struct sb_exchange *exchange);
void sb_keep_begin(struct sb_exchange *exchange);
/* If it was kept: its next request is read, or it goes. */
void sb_keep_end(struct sb_exchange *exchange, bool has_request);

/* ---- routes.c ---- */

/* A request's head is read. Its slices are good until return. */
void sb_routes_begin(struct sb_exchange *exchange, const struct sb_http_request *request);
/* Its body, too. */
void sb_routes_take_body(struct sb_exchange *exchange, const char *body, size_t len);

/* ---- asked.c: what a request asks for ---- */

/* By query and headers. 0; or -EINVAL with *ret_detail for the client. */
int sb_asked_opening(const struct sb_http_request *request, enum sb_role role,
		     struct sb_opening *ret_opening, const char **ret_detail);
/* Whether Origin (RFC 6454 section 7) is one of the allowed ones, or none was sent, for only
 * browsers send one. */
bool sb_asked_origin_is_allowed(const struct sb_http_request *request, const char *allowed);
/*
 * The token of "Authorization: Bearer TOKEN" (RFC 6750 section 2.1), owned by
 * the caller, to be given to sb_asked_forget_token(). NULL: no such header, or
 * no memory. "" when there is one that holds no bearer token.
 */
char *sb_asked_token(const struct sb_http_request *request);
void sb_asked_forget_token(char *token); /* wipes it; accepts NULL */

/* ---- upgrade.c ---- */

/* A request for a websocket: becomes one, or is refused. What is behind its head in the input is
 * the websocket's. The exchange is gone if it became one. */
void sb_upgrade(struct sb_exchange *exchange, const struct sb_http_request *request,
		size_t head_len);

/* ---- reply.c ---- */

/* A problem document (RFC 9457) as the whole answer. `reason` is a word of reason.h's or NULL;
 * retry_ms 0: no Retry-After. `headers`: further ones, each with its CRLF. */
void sb_reply_problem(struct sb_exchange *exchange, int status, const char *detail,
		      const char *reason, uint32_t retry_ms, const char *headers);
/* Why no session can be had: 503. */
void sb_reply_no_memory(struct sb_exchange *exchange);
/* A JSON body as the whole answer. */
void sb_reply_json(struct sb_exchange *exchange, int status, const char *body, size_t len,
		   uint32_t retry_ms);
/* The session ended before it said anything of use: the status and words for its reason. `words`,
 * its error or goodbye, may be NULL. */
void sb_reply_reason(struct sb_exchange *exchange, const struct sb_frame *words);
/* Only status and headers, without the empty line. `more`: headers, each with its CRLF. */
void sb_reply_head(struct sb_exchange *exchange, int status, const char *more);
/* All is in `out`: the exchange is over when it is sent. */
void sb_reply_end(struct sb_exchange *exchange);
/* Whether the session that was opened has been ended, so that there is a status to answer with. */
bool sb_reply_is_refusal(const struct sb_exchange *exchange);

/* ---- stream.c and answer.c: how a session's messages become HTTP ---- */

void sb_stream_begin(struct sb_exchange *exchange, const struct sb_opening *opening,
		     const char *token);
void sb_answer_begin(struct sb_exchange *exchange, const struct sb_opening *opening,
		     const char *token);

#endif
