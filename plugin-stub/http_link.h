/*
 * What the two ways over plain HTTP share: transport_stream and transport_poll.
 * Beginning and end of what stands for a connection, and the acks, which are
 * requests of their own, one at a time.
 */
#ifndef SB_PLUGIN_HTTP_LINK_H
#define SB_PLUGIN_HTTP_LINK_H

#include "plugin-stub/ending.h"
#include "plugin-stub/frames.h"
#include "plugin-stub/http.h"
#include "plugin-stub/transport.h"
#include <uv.h>

struct sb_http_link;

/* The one or the other. */
struct sb_http_link_ops {
	/* The hello: bring messages from now on, by sb_http_link_pass(). */
	void (*begin)(struct sb_http_link *link);
	/* No more of them. */
	void (*stop)(struct sb_http_link *link);
	/* The server has every ack that was asked for. */
	void (*on_settled)(struct sb_http_link *link);
};

enum sb_http_link_state {
	SB_LINK_IDLE,
	SB_LINK_OPENING, /* `later` tells on_open: there is nothing to wait for before hello */
	SB_LINK_OPEN,
	SB_LINK_CLOSING, /* the acks that are on their way are waited for, for a while */
	SB_LINK_GONE,	 /* `later` tells on_gone */
};

struct sb_http_link {
	struct sb_transport transport; /* first */
	const struct sb_http_link_ops *ops;
	struct sb_transport_handler handler;
	uv_loop_t *loop;
	uv_timer_t later;
	struct sb_http *http;
	enum sb_http_link_state state;
	struct sb_ending ending;
	bool greeted;	 /* hello came */
	bool told_close; /* CLOSING because we were told to */
	bool owes_pong;

	/* Of the hello. */
	enum sb_mode mode;
	bool has_cursor;
	struct sb_cursor cursor;

	/* Of what was passed on. */
	uint64_t heartbeat_ms; /* 0: no welcome yet */
	uint32_t window;
	bool live;
	int said_code;		    /* of a goodbye or an error; 0: none */
	struct sb_cursor delivered; /* the newest booking or reset; an ack of it is due */
	bool owes_ack;

	/* POST /v1/acks. */
	struct sb_outbox acks; /* those that wait */
	struct sb_http_call *ack_call;
	uv_timer_t ack_late; /* it is not answered */
};

/* Fills *link, all zero before. As sb_transport_ws_new(); after an error it is to be freed too. */
int sb_http_link_init(struct sb_http_link *link, const struct sb_http_link_ops *ops,
		      uv_loop_t *loop, const struct sb_transport_options *options,
		      const struct sb_transport_handler *handler);
/* Runs the loop until all handles are closed. The struct is the caller's to free after that. */
void sb_http_link_fini(struct sb_http_link *link);

/* The transport's functions; `free` is the implementer's. */
void sb_http_link_connect(struct sb_transport *transport);
void sb_http_link_send(struct sb_transport *transport, const struct sb_client_message *message);
void sb_http_link_close(struct sb_transport *transport, int code);
void sb_http_link_drop(struct sb_transport *transport);

/* Passes a message of the server's on. False when no more are wanted. */
bool sb_http_link_pass(struct sb_http_link *link, const char *bytes, size_t len);

/* Nothing is owed to the server: no ack is due, waiting or on its way. */
bool sb_http_link_is_settled(const struct sb_http_link *link);

/* The session has ended, as link->ending or else `code` and `words` say; what is on its way may
 * arrive. */
void sb_http_link_finish(struct sb_http_link *link, int code, const char *words);
/* It ends here and now, as the answer says. */
void sb_http_link_fail(struct sb_http_link *link, const struct sb_http_answer *answer);

#endif
