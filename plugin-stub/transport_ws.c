/*
 * The websocket, by libwebsockets' client on our libuv loop. Turns its
 * callbacks into the handler's three; knows nothing of what messages say.
 *
 * libwebsockets may call back from inside lws_client_connect_via_info(), and
 * must not be asked to close a connection from inside one of its callbacks. So
 * ends go through a timer of ours: `later` fires in the next turn of the loop.
 */
#include "plugin-stub/transport.h"

#include "plugin-stub/ending.h"
#include "plugin-stub/frames.h"
#include "plugin-stub/tls.h"
#include "plugin-stub/ws_context.h"
#include "protocol/limits.h"
#include <errno.h>
#include <libwebsockets.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLOSE_MS 2000 /* for the peer to answer our close */
#define RX_BYTES 16384
#define TOO_BIG	 1009

enum ws_state {
	WS_IDLE,
	WS_CONNECTING,
	WS_OPEN,
	WS_CLOSING, /* close was asked for: a close frame follows what is queued */
	WS_FALLING, /* drop was asked for: `later` cuts it */
	WS_GONE,    /* no wsi any more; `later` tells on_gone */
};

struct ws {
	struct sb_transport transport; /* first */
	struct sb_transport_options options;
	struct sb_transport_handler handler;
	uv_loop_t *loop;
	uv_timer_t later;
	struct lws_context *context;
	SSL_CTX *ssl_ctx;
	struct sb_tls_watch tls_watch;
	struct lws *wsi; /* NULL: none */
	enum ws_state state;
	bool freeing;
	int close_code; /* what we close with */
	bool close_sent;
	struct sb_outbox out;
	struct sb_inbox in; /* the message that is arriving */
	char *header;	    /* "Bearer TOKEN", or NULL */
	struct sb_ending ending;
};

static struct ws *ws_of(struct sb_transport *transport)
{
	return (struct ws *)transport;
}

/* ---- ends ---- */

static void on_later(uv_timer_t *timer);

static void forget_messages(struct ws *ws)
{
	sb_outbox_clear(&ws->out);
	sb_inbox_clear(&ws->in);
}

/* The wsi is no more, whichever callback said so first. */
static void connection_is_gone(struct ws *ws)
{
	if (ws->state == WS_IDLE || ws->state == WS_GONE)
		return;
	ws->wsi = NULL;
	if (ws->close_sent)
		sb_ending_set(&ws->ending, ws->close_code, "closed by us");
	sb_ending_set(&ws->ending, SB_ENDING_VANISHED, "the connection was lost");
	ws->state = WS_GONE;
	if (!ws->freeing)
		uv_timer_start(&ws->later, on_later, 0, 0);
}

static void tell_gone(struct ws *ws)
{
	struct sb_ending ending = ws->ending; /* the handler may connect anew */
	struct sb_gone gone = sb_ending_gone(&ending);

	forget_messages(ws);
	ws->state = WS_IDLE;
	ws->handler.on_gone(ws->handler.data, &gone);
}

static void on_later(uv_timer_t *timer)
{
	struct ws *ws = timer->data;

	switch (ws->state) {
	case WS_GONE:
		tell_gone(ws);
		break;
	case WS_CLOSING: /* the peer does not answer our close */
	case WS_FALLING:
		if (ws->wsi)
			lws_set_timeout(ws->wsi, PENDING_TIMEOUT_CLOSE_ACK, LWS_TO_KILL_SYNC);
		/* That calls back; if it did not, the connection is none of ours any more. */
		connection_is_gone(ws);
		break;
	case WS_IDLE:
	case WS_CONNECTING:
	case WS_OPEN:
		break;
	}
}

static void ws_drop(struct sb_transport *transport)
{
	struct ws *ws = ws_of(transport);

	if (ws->state == WS_IDLE || ws->state == WS_GONE)
		return;
	sb_ending_set(&ws->ending, SB_ENDING_VANISHED, "let go by us");
	ws->state = WS_FALLING;
	uv_timer_start(&ws->later, on_later, 0, 0);
}

static void ws_close(struct sb_transport *transport, int code)
{
	struct ws *ws = ws_of(transport);

	if (ws->state == WS_CONNECTING) {
		ws_drop(transport);
	} else if (ws->state == WS_OPEN) {
		ws->state = WS_CLOSING;
		ws->close_code = code;
		lws_callback_on_writable(ws->wsi);
		uv_timer_start(&ws->later, on_later, CLOSE_MS, 0);
	}
}

/* ---- out ---- */

static void ws_send(struct sb_transport *transport, const struct sb_client_message *message)
{
	struct ws *ws = ws_of(transport);
	struct sb_text text;

	if (ws->state != WS_OPEN)
		return;
	sb_text_init(&text);
	sb_client_message_encode(&text, message);
	if (sb_text_failed(&text) || sb_outbox_push(&ws->out, LWS_PRE, text.data, text.len) < 0)
		ws_drop(transport);
	else
		lws_callback_on_writable(ws->wsi);
	sb_text_fini(&text);
}

/*
 * The close frame (RFC 6455 section 5.5.1, masked as a client's must be) is
 * written here and the peer's answer awaited. lws_close_reason() and -1 would
 * be the library's way, but its debug builds (Debian's 4.1 is one) close a
 * connection twice on libuv, and the second time throws the frame away.
 */
static int send_close(struct ws *ws)
{
	unsigned char bytes[LWS_PRE + 8];
	unsigned char *frame = bytes + LWS_PRE, *mask = frame + 2;

	if (lws_get_random(ws->context, mask, 4) != 4)
		return -1;
	frame[0] = 0x88; /* final, close */
	frame[1] = 0x82; /* masked, two bytes */
	frame[6] = (unsigned char)(ws->close_code >> 8) ^ mask[0];
	frame[7] = (unsigned char)ws->close_code ^ mask[1];
	ws->close_sent = true;
	return lws_write(ws->wsi, frame, 8, LWS_WRITE_RAW) < 0 ? -1 : 0;
}

/* One message for each time the socket can be written; the close after the last. Not 0: close. */
static int on_writable(struct ws *ws)
{
	struct sb_outgoing *out = sb_outbox_pop(&ws->out);
	int n;

	if (out) {
		n = lws_write(ws->wsi, out->bytes + LWS_PRE, out->len, LWS_WRITE_TEXT);
		free(out);
		if (n < 0)
			return -1;
		if (ws->out.first || ws->state == WS_CLOSING)
			lws_callback_on_writable(ws->wsi);
		return 0;
	}
	return ws->state == WS_CLOSING && !ws->close_sent ? send_close(ws) : 0;
}

static int on_append_header(struct ws *ws, unsigned char **p, size_t len)
{
	unsigned char *end = *p + len;

	if (!ws->header)
		return 0;
	return lws_add_http_header_by_token(ws->wsi, WSI_TOKEN_HTTP_AUTHORIZATION,
					    (unsigned char *)ws->header, (int)strlen(ws->header), p,
					    end);
}

/* ---- in ---- */

static void on_receive(struct ws *ws, const char *bytes, size_t len)
{
	struct sb_inbox *in = &ws->in;

	if (ws->state != WS_OPEN)
		return;
	if (lws_is_first_fragment(ws->wsi))
		in->len = 0;
	switch (sb_inbox_add(in, bytes, len, SB_SERVER_MESSAGE_MAX)) {
	case 0:
		if (lws_is_final_fragment(ws->wsi))
			ws->handler.on_message(ws->handler.data, in->bytes, in->len);
		break;
	case -EFBIG:
		ws_close(&ws->transport, TOO_BIG);
		break;
	default:
		ws_drop(&ws->transport);
		break;
	}
}

/* Not 0: the connection may go; else libwebsockets answers the close first. */
static int on_peer_close(struct ws *ws, const unsigned char *payload, size_t len)
{
	int code = len >= 2 ? payload[0] << 8 | payload[1] : 1005; /* RFC 6455 section 7.1.5 */

	if (ws->close_sent)
		return -1; /* the answer to ours */
	if (len > 2)
		sb_ending_explain(&ws->ending, "%.*s", (int)len - 2, (const char *)payload + 2);
	sb_ending_set(&ws->ending, code, "");
	return 0;
}

/* The TLS library knows best why; libwebsockets passes on "connect SSL err 1". */
static void on_tls_failure(void *data, const char *reason)
{
	sb_ending_explain(&((struct ws *)data)->ending, "no TLS with the server: %s", reason);
}

static void on_certificate(struct ws *ws, X509_STORE_CTX *store)
{
	sb_ending_explain(&ws->ending, "the server's certificate is refused: %s",
			  X509_verify_cert_error_string(X509_STORE_CTX_get_error(store)));
}

static void on_connection_error(struct ws *ws, struct lws *wsi, const char *text, size_t len)
{
	unsigned int status = lws_http_client_http_response(wsi);
	char after[16];

	if (status != 0 && status != 101) {
		bool has_after =
			lws_hdr_copy(wsi, after, sizeof(after), WSI_TOKEN_HTTP_RETRY_AFTER) > 0;

		sb_ending_set_http(&ws->ending, status, has_after ? after : NULL);
	}
	if (len > 0)
		sb_ending_explain(&ws->ending, "%.*s", (int)len, text);
	sb_ending_set(&ws->ending, SB_ENDING_VANISHED, "the connection could not be made");
}

/* libwebsockets would go where the answer says, with the token. --url alone says where. */
static int on_redirect(struct ws *ws, struct lws *wsi)
{
	sb_ending_set_http(&ws->ending, lws_http_client_http_response(wsi), NULL);
	return -1;
}

static int on_lws(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
		  size_t len)
{
	struct lws_context *context = wsi ? lws_get_context(wsi) : NULL;
	struct ws *ws = context ? lws_context_user(context) : NULL;

	/* An older connection may still say its last words. */
	if (!ws || (ws->wsi && ws->wsi != wsi))
		return 0;
	switch (reason) {
	case LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER:
		return on_append_header(ws, in, len);
	case LWS_CALLBACK_OPENSSL_PERFORM_SERVER_CERT_VERIFICATION:
		if (!len) /* OpenSSL's own verdict, which stands */
			on_certificate(ws, user);
		return 0;
	case LWS_CALLBACK_CLIENT_HTTP_REDIRECT:
		return on_redirect(ws, wsi);
	case LWS_CALLBACK_CLIENT_ESTABLISHED:
		if (ws->state != WS_CONNECTING)
			return -1;
		ws->state = WS_OPEN;
		ws->handler.on_open(ws->handler.data);
		return 0;
	case LWS_CALLBACK_CLIENT_RECEIVE:
		on_receive(ws, in, len);
		return 0;
	case LWS_CALLBACK_CLIENT_WRITEABLE:
		return on_writable(ws);
	case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
		return on_peer_close(ws, in, len);
	case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
		on_connection_error(ws, wsi, in, in ? len : 0);
		connection_is_gone(ws);
		return 0;
	case LWS_CALLBACK_CLIENT_CLOSED:
	case LWS_CALLBACK_WSI_DESTROY:
		connection_is_gone(ws);
		return 0;
	default:
		return 0;
	}
}

/* ---- beginnings ---- */

static void ws_connect(struct sb_transport *transport)
{
	struct ws *ws = ws_of(transport);
	const struct sb_url *url = &ws->options.url;
	char host[SB_HOST_MAX + 16];
	struct lws_client_connect_info info = {
		.context = ws->context,
		.address = url->host,
		.port = url->port,
		/* The name is checked by our own SSL_CTX (tls.c). */
		.ssl_connection = LCCSCF_USE_SSL | LCCSCF_SKIP_SERVER_CERT_HOSTNAME_CHECK,
		.path = url->path,
		.host = host,
		.protocol = SB_SUBPROTOCOL,
		.alpn = "http/1.1",
		.userdata = ws, /* not NULL: without it lws does not say CLIENT_CLOSED */
		.pwsi = &ws->wsi,
	};

	if (ws->state != WS_IDLE)
		return;
	sb_url_authority(url->host, url->port, host, sizeof(host));
	sb_ending_clear(&ws->ending);
	ws->close_sent = false;
	ws->state = WS_CONNECTING;
	if (!lws_client_connect_via_info(&info)) {
		sb_ending_set(&ws->ending, SB_ENDING_VANISHED, "the connection could not be made");
		connection_is_gone(ws);
	}
}

static void on_later_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static void ws_free(struct sb_transport *transport)
{
	struct ws *ws = transport ? ws_of(transport) : NULL;

	if (!ws)
		return;
	ws->freeing = true;
	uv_timer_stop(&ws->later);
	sb_ws_context_free(ws->context, ws->loop);
	SSL_CTX_free(ws->ssl_ctx);
	sb_tls_watch_fini(&ws->tls_watch);
	forget_messages(ws);
	if (ws->header) {
		explicit_bzero(ws->header, strlen(ws->header));
		free(ws->header);
	}
	uv_close((uv_handle_t *)&ws->later, on_later_closed);
	uv_run(ws->loop, UV_RUN_DEFAULT);
}

static const struct lws_protocols protocols[] = {
	{.name = SB_SUBPROTOCOL, .callback = on_lws, .rx_buffer_size = RX_BYTES},
	{.name = NULL},
};

static const struct sb_transport_ops ws_ops = {
	.connect = ws_connect,
	.send = ws_send,
	.close = ws_close,
	.drop = ws_drop,
	.free = ws_free,
};

int sb_transport_ws_new(uv_loop_t *loop, const struct sb_transport_options *options,
			const struct sb_transport_handler *handler,
			struct sb_transport **ret_transport)
{
	struct ws *ws = calloc(1, sizeof(*ws));
	int err;

	if (!ws)
		return -ENOMEM;
	ws->transport.ops = &ws_ops;
	ws->options = *options;
	ws->handler = *handler;
	ws->loop = loop;
	sb_outbox_init(&ws->out);
	uv_timer_init(loop, &ws->later);
	ws->later.data = ws;
	ws->tls_watch = (struct sb_tls_watch){.on_failure = on_tls_failure, .data = ws};
	err = sb_tls_client_new(options->url.host, options->ca, &ws->ssl_ctx);
	if (!err)
		sb_tls_watch(ws->ssl_ctx, &ws->tls_watch);
	if (!err && !options->token_in_hello &&
	    asprintf(&ws->header, "Bearer %s", options->bearer) < 0) {
		ws->header = NULL;
		err = -ENOMEM;
	}
	if (!err)
		err = sb_ws_context_new(loop, protocols, ws->ssl_ctx, &options->proxy, ws,
					&ws->context);
	if (err) {
		ws_free(&ws->transport);
		return err;
	}
	*ret_transport = &ws->transport;
	return 0;
}
