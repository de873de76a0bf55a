/*
 * Answers of plain HTTP: status, headers, body, and what becomes of the connection.
 *
 * All goes into the exchange's `out`, which is sent at the end of the turn.
 */
#include "daemon/edge/http/exchange.h"
#include "protocol/message.h"
#include "protocol/reason.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *phrase(int status)
{
	switch (status) {
	case 200:
		return "OK";
	case 204:
		return "No Content";
	case 400:
		return "Bad Request";
	case 401:
		return "Unauthorized";
	case 403:
		return "Forbidden";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 409:
		return "Conflict";
	case 411:
		return "Length Required";
	case 413:
		return "Content Too Large";
	case 414:
		return "URI Too Long";
	case 417:
		return "Expectation Failed";
	case 426:
		return "Upgrade Required";
	case 429:
		return "Too Many Requests";
	case 431:
		return "Request Header Fields Too Large";
	case 501:
		return "Not Implemented";
	case 505:
		return "HTTP Version Not Supported";
	default:
		return "Service Unavailable";
	}
}

static int status_of(enum sb_reason reason)
{
	switch (reason) {
	case SB_REASON_BAD_MESSAGE:
		return 400;
	case SB_REASON_BAD_TOKEN:
		return 401;
	case SB_REASON_REVOKED:
	case SB_REASON_EXPIRED:
		return 403;
	case SB_REASON_REPLACED:
		return 409;
	case SB_REASON_TOO_BIG:
		return 413;
	case SB_REASON_TOO_MANY:
		return 429;
	default:
		return 503;
	}
}

void sb_reply_end(struct sb_exchange *exchange)
{
	exchange->ended = true;
	/* It has as long to take the answer as it had to ask. */
	sb_deadline_stop(&exchange->deadline);
	sb_deadline_start(&exchange->deadline, &exchange->http->bodies,
			  uv_now(exchange->http->loop));
	sb_connection_ready(exchange->connection);
}

void sb_reply_head(struct sb_exchange *exchange, int status, const char *more)
{
	struct sb_text *out = &exchange->out;

	exchange->keeps = sb_keep_may(exchange);
	sb_text_append_string(out, "HTTP/1.1 ");
	sb_text_append_int(out, status);
	sb_text_append_string(out, " ");
	sb_text_append_string(out, phrase(status));
	sb_text_append_string(out, "\r\nCache-Control: no-store\r\nConnection: ");
	if (exchange->keeps) {
		sb_text_append_string(out, "keep-alive\r\nKeep-Alive: timeout=");
		sb_text_append_int(out, exchange->http->config->keep_alive_ms / 1000);
	} else {
		sb_text_append_string(out, "close");
	}
	sb_text_append_string(out, "\r\n");
	if (exchange->origin) {
		sb_text_append_string(out, "Access-Control-Allow-Origin: ");
		sb_text_append_string(out, exchange->origin);
		sb_text_append_string(out, "\r\nAccess-Control-Expose-Headers: Retry-After\r\n"
					   "Vary: Origin\r\n");
	}
	sb_text_append_string(out, more);
}

/* RFC 9110 section 10.2.3, whole seconds; never so early that it would be too early. */
static void append_retry(struct sb_text *text, uint32_t retry_ms)
{
	if (!retry_ms)
		return;
	sb_text_append_string(text, "Retry-After: ");
	sb_text_append_int(text, ((int64_t)retry_ms + 999) / 1000);
	sb_text_append_string(text, "\r\n");
}

static void reply(struct sb_exchange *exchange, int status, const char *headers, uint32_t retry_ms,
		  const char *body, size_t len)
{
	struct sb_text *out = &exchange->out;

	sb_reply_head(exchange, status, headers);
	append_retry(out, retry_ms);
	sb_text_append_string(out, "Content-Length: ");
	sb_text_append_int(out, (int64_t)len);
	sb_text_append_string(out, "\r\n\r\n");
	if (!exchange->is_head)
		sb_text_append(out, body, len);
	sb_reply_end(exchange);
}

void sb_reply_json(struct sb_exchange *exchange, int status, const char *body, size_t len,
		   uint32_t retry_ms)
{
	reply(exchange, status, "Content-Type: application/json\r\n", retry_ms, body, len);
}

void sb_reply_problem(struct sb_exchange *exchange, int status, const char *detail,
		      const char *reason, uint32_t retry_ms, const char *headers)
{
	struct sb_text body;
	char all[512];

	(void)snprintf(all, sizeof(all), "Content-Type: application/problem+json\r\n%s%s", headers,
		       status == 401 ? "WWW-Authenticate: Bearer\r\n" : "");
	sb_text_init(&body);
	sb_text_append_string(&body, "{\"type\":\"about:blank\",\"title\":");
	sb_text_append_json(&body, phrase(status), strlen(phrase(status)));
	sb_text_append_string(&body, ",\"status\":");
	sb_text_append_int(&body, status);
	sb_text_append_string(&body, ",\"detail\":");
	sb_text_append_json(&body, detail, strlen(detail));
	if (reason) {
		sb_text_append_string(&body, ",\"reason\":");
		sb_text_append_json(&body, reason, strlen(reason));
	}
	if (retry_ms) {
		sb_text_append_string(&body, ",\"retry_after_ms\":");
		sb_text_append_int(&body, retry_ms);
	}
	sb_text_append_string(&body, "}\n");
	reply(exchange, status, all, retry_ms, body.data ? body.data : "", body.len);
	sb_text_fini(&body);
}

void sb_reply_no_memory(struct sb_exchange *exchange)
{
	sb_reply_problem(exchange, 503, "out of memory", sb_reason_word(SB_REASON_BUSY), 1000, "");
}

void sb_reply_reason(struct sb_exchange *exchange, const struct sb_frame *words)
{
	enum sb_reason reason = sb_session_reason(exchange->connection->session);
	struct sb_server_message message = {0};
	struct sb_refusal refusal;
	const char *detail = sb_reason_word(reason);

	if (words && words->type == SB_SERVER_ERROR &&
	    sb_server_message_decode(words->bytes, words->len, &message, &refusal) == 0)
		detail = message.detail;
	sb_reply_problem(exchange, status_of(reason), detail, sb_reason_word(reason),
			 sb_session_return_ms(exchange->connection->session), "");
	sb_server_message_fini(&message);
}

bool sb_reply_is_refusal(const struct sb_exchange *exchange)
{
	enum sb_reason reason = sb_session_reason(exchange->connection->session);

	return reason != SB_REASON_LOST && reason != SB_REASON_BYE;
}
