/*
 * The door: listens, accepts, and decides when a connection may begin TLS, and
 * whether it is welcome.
 *
 * Each accepted connection is a visitor. Its PROXY header is read here
 * (arrival.c), it waits here for a place among the handshakes (room.c), and the
 * limits of its address are kept here (guard.c). Then its descriptor is given
 * up to the owner, by `admit`; from then on the owner tells what becomes of it,
 * by the sb_visitor_* calls, until sb_visitor_gone.
 *
 * The door knows nothing of TLS, HTTP, websockets or sessions. Everything runs
 * in the loop's thread. No call up (struct sb_door_ops) is made from within a
 * call down, but for those of sb_door_serve, sb_door_tick and sb_door_close.
 */
#ifndef SB_EDGE_DOOR_H
#define SB_EDGE_DOOR_H

#include "daemon/base/network.h"
#include "daemon/edge/door/door_stats.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct sb_door;
struct sb_visitor;

/* Read anew at each use, so what a reload changes counts from then on. */
struct sb_door_config {
	uint32_t handshakes;   /* visitors between `admit` and sb_visitor_opened, at most */
	uint32_t opening_ms;   /* from accept to sb_visitor_opened */
	uint32_t max_sessions; /* as the hub has it */
	uint32_t unauthenticated_per_address;	   /* 0: any */
	uint32_t per_address;			   /* connections of one address; 0: any */
	uint32_t bad_tokens_per_minute;		   /* of one address, answered at once; 0: any */
	uint32_t max_addresses;			   /* in the table */
	uint32_t return_per_second;		   /* as the hub has it */
	const struct sb_networks *trusted_proxies; /* who sends a PROXY header, always */
};

struct sb_door_ops {
	/* This visitor may begin TLS. Takes the descriptor. Returns its owner, or NULL when there
	 * is no memory: then the descriptor is closed, and the visitor is the door's to drop.
	 * sb_visitor_gone may be called from within only when NULL is not returned. */
	void *(*admit)(void *user, struct sb_visitor *visitor, int fd);
	/* It took too long to open. The owner drops it, and calls sb_visitor_gone. */
	void (*evict)(void *owner);
	/* The answer that sb_visitor_refused held back may be sent now. */
	void (*release)(void *owner);
};

/*
 * Listens at `address` ("[::]:8443", "127.0.0.1:0"), or on `listener` where it
 * is not 0: a socket that listens already, which is taken. Accepts from the
 * loop's next turn on. Borrows loop, config and ops until sb_door_free. NULL
 * with a sentence in ret_detail when it cannot.
 */
struct sb_door *sb_door_new(uv_loop_t *loop, const char *address, int listener,
			    const struct sb_door_config *config, const struct sb_door_ops *ops,
			    void *user, char *ret_detail, size_t detail_size);

/* From now on this configuration, borrowed like the first. */
void sb_door_configure(struct sb_door *door, const struct sb_door_config *config);
/* The port it listens on. 0 after sb_door_stop_accepting. */
uint16_t sb_door_port(const struct sb_door *door);
/* Visitors there are: from accept to sb_visitor_gone. */
size_t sb_door_count(const struct sb_door *door);
void sb_door_get_stats(const struct sb_door *door, struct sb_door_stats *ret_stats);

/*
 * Admits a few of those who wait; once in each turn of the loop, before it
 * polls. True when more could come in at once: then the loop must not sleep.
 */
bool sb_door_serve(struct sb_door *door);
/* What is due by the loop's clock. */
void sb_door_tick(struct sb_door *door);
/* When the first of it is due, in ms of the loop's clock; UINT64_MAX: never. */
uint64_t sb_door_due_ms(const struct sb_door *door);

/* Stops listening. Those who wait get a second to open. */
void sb_door_stop_accepting(struct sb_door *door);
/* Drops all who were not admitted yet, and logs what was counted. */
void sb_door_close(struct sb_door *door);
/* After sb_door_close, when every visitor is gone and the loop has closed the door's handles.
 * Accepts NULL. */
void sb_door_free(struct sb_door *door);

/* ---- what the owner tells ---- */

/* Its first request is read, or a further one. False: it is one too many of its address; it is
 * to be told when to come back, whatever it asked. */
bool sb_visitor_opened(struct sb_visitor *visitor);
/* It was one too many, since the last sb_visitor_opened. */
bool sb_visitor_is_refused(const struct sb_visitor *visitor);
/* Its token is good. */
void sb_visitor_known(struct sb_visitor *visitor);
/* Its token was refused; to be told once for a token. True: send nothing until `release`. */
bool sb_visitor_bad_token(struct sb_visitor *visitor);
/* `release` is to come. */
bool sb_visitor_is_held(const struct sb_visitor *visitor);
/*
 * When its client should come back, in ms from now. An address that asks for
 * far more than its share of the hub's timetable gets times of its own, so it
 * puts off no other address. 0: as the hub says.
 */
uint32_t sb_visitor_return_ms(struct sb_visitor *visitor);
/* The last call: its connection is closed. The visitor is freed. */
void sb_visitor_gone(struct sb_visitor *visitor);

#endif
