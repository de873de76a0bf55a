/*
 * One HTTP request and its answer, for edge's own files.
 *
 *   http.c (routes) ──► request.c (what it asks) ──► a session of core
 *       ◄── reply.c (status, headers, the end) ◄── stream.c or answer.c (pull)
 *
 * libwebsockets reads the request; from then on it has nothing to do with the
 * connection until its end. 4.1 would turn in circles over a peer that goes
 * away while it is served (its issues 2302 and 2455), and with its reading
 * switched off it hears of no writeable socket either. So what is answered is
 * written here, to its SSL object, and a socket that is full is tried again
 * at the next tick.
 *
 * After the answer the connection is closed, or kept for the next request
 * (keep.c).
 */
#ifndef SB_EDGE_EXCHANGE_H
#define SB_EDGE_EXCHANGE_H

#include "daemon/edge/server_private.h"
#include "protocol/text.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SB_SESSION_PATH "/v1/session"
#define SB_ORIGIN_MAX	255

struct sb_exchange {
	struct sb_connection *connection;
	struct sb_exchange *full_prev, *full_next; /* in server->full */
	bool is_full;				   /* its socket takes no more for now */
	char origin[SB_ORIGIN_MAX + 1]; /* allowed, and to be told so (CORS); "" if none was sent */
	enum sb_role role;		/* what its session is there for */
	char *body;			/* of a POST, as far as it has come; owned */
	size_t body_len, body_size;	/* come, and announced */
	/* Makes more of `out`, from what its session has. NULL before there is one. */
	void (*fill)(struct sb_connection *connection);
	struct sb_text out;	 /* to be sent, all of it, before more is made */
	struct sb_text messages; /* answer.c: what was pulled so far, with commas between */
	struct sb_frame *last;	 /* answer.c: the last of them; one reference */
	bool body_ended;	 /* libwebsockets said so */
	bool may_be_followed;	 /* by another request on this connection */
	bool keeps;		 /* its answer says so */
	bool started;		 /* stream.c: status and headers are out */
	bool ended;		 /* nothing is made any more: it is over when all is sent */
};

/* ---- exchange.c: its life, and the way out ---- */

/* Begins plain HTTP on a connection. 0, or -ENOMEM. */
int sb_exchange_new(struct sb_connection *connection);
void sb_exchange_free(struct sb_exchange *exchange); /* accepts NULL */

/* A session for this request; its token (or NULL) and its opening are said. `fill` and the link's
 * operations are the carrier's. */
void sb_exchange_open(struct sb_connection *connection, const struct sb_opening *opening,
		      const char *token);

/* What is in `out` goes to the socket, as far as it takes it: 0 when all is sent, -EAGAIN when it
 * is full, -EPIPE when it is broken. */
int sb_exchange_send(struct sb_exchange *exchange);

/* Sockets that were full are tried again in this turn. */
void sb_exchange_retry_full(struct sb_server *server);

/* ---- request.c ---- */

/* 0 or more; or -EINVAL with *ret_detail for the client: what it asks for, by path, query and
 * headers. */
int sb_request_opening(struct lws *wsi, enum sb_role role, struct sb_opening *ret_opening,
		       const char **ret_detail);

/* Whether it leaves no doubt where it ends, and does not ask for the connection's end itself:
 * another request may follow it. RFC 9112 sections 6.3 and 9.3. */
bool sb_request_may_be_followed(struct lws *wsi, bool posts);

/* Whether libwebsockets may look for a body behind its headers. */
bool sb_request_may_have_body(struct lws *wsi);

/* The Content-Length of a body. 0; -ENODATA: there is none; -EINVAL: it is no number, or 0;
 * -EMSGSIZE: more than a message of ours has. */
int sb_request_body_length(struct lws *wsi, uint32_t *ret_len);

/* Whether a header that is a list of words, at most 126 bytes of them, has this one in it. */
bool sb_request_lists(struct lws *wsi, enum lws_token_indexes header, const char *word);

/* Whether Origin (RFC 6454 section 7) is one of the allowed ones, or none was sent, for only
 * browsers send one; `origin` "" then. */
bool sb_request_origin(struct lws *wsi, const char *allowed, char origin[SB_ORIGIN_MAX + 1]);

/*
 * The token of "Authorization: Bearer TOKEN" (RFC 6750 section 2.1), owned by
 * the caller, to be given to sb_request_forget_token(). NULL: no such header,
 * or no memory. "" when there is one that holds no bearer token.
 */
char *sb_request_token(struct lws *wsi);
void sb_request_forget_token(char *token); /* wipes it; accepts NULL */

/* ---- reply.c ---- */

/* A problem document (RFC 9457) as the whole answer. `reason` is a word of reason.h's or NULL;
 * retry_ms 0: no Retry-After. `headers`: further ones, each with its CRLF. */
void sb_reply_problem(struct sb_connection *connection, int status, const char *detail,
		      const char *reason, uint32_t retry_ms, const char *headers);

/* A JSON body as the whole answer. */
void sb_reply_json(struct sb_connection *connection, int status, const char *body, size_t len,
		   uint32_t retry_ms);

/* The session ended before it said anything of use: the status and words for its reason. `words`,
 * its error or goodbye, may be NULL. */
void sb_reply_reason(struct sb_connection *connection, const struct sb_frame *words);

/* Only status and headers, without the empty line. `more`: headers, each with its CRLF. */
void sb_reply_head(struct sb_connection *connection, int status, const char *more);

/* All is in `out`: the connection goes when it is sent. */
void sb_reply_end(struct sb_connection *connection);

/* Whether the session that was opened has been ended, so that there is a status to answer with. */
bool sb_reply_is_refusal(const struct sb_connection *connection);

/* ---- stream.c and answer.c: how a session's messages become HTTP ---- */

void sb_stream_begin(struct sb_connection *connection, const struct sb_opening *opening,
		     const char *token);
void sb_answer_begin(struct sb_connection *connection, const struct sb_opening *opening,
		     const char *token);

#endif
