/* The inside of the door, for its own files. */
#ifndef SB_EDGE_DOOR_DOOR_PRIVATE_H
#define SB_EDGE_DOOR_DOOR_PRIVATE_H

#include "daemon/core/deadline.h"
#include "daemon/edge/door/addresses.h"
#include "daemon/edge/door/door.h"

/* A connection that is slow to shake hands gives its place among the handshakes to others after
 * this long. */
#define SB_SLOT_MS 250
/* How long an address waits for a place before its clients are told that there is none. */
#define SB_PATIENCE_MS 3000
/* How long a refused token is held back, and its place taken, when there were too many. Less than a
 * session has to be closed in. */
#define SB_HOLD_MS 3000
/* How long, once nobody is accepted any more, a visitor may take to open. */
#define SB_LEAVING_MS 1000

/* How far a visitor has come. */
enum sb_stage {
	SB_STAGE_NONE,	   /* its address is not known yet */
	SB_STAGE_WAITING,  /* in the waiting room */
	SB_STAGE_ARRIVING, /* admitted: shakes hands */
	SB_STAGE_TOLD,	   /* the same, but only to be told that it is one too many */
	SB_STAGE_OPEN,	   /* said something, but not yet who it is */
	SB_STAGE_REFUSED,  /* the same, and is told when to come back, whatever it said */
	SB_STAGE_KNOWN,	   /* has a good token */
};

struct sb_arrival;
struct sb_hold;
struct sb_listener;

/* One accepted connection. */
struct sb_visitor {
	struct sb_door *door;
	void *owner;			/* NULL before `admit` */
	struct sb_arrival *arrival;	/* while its PROXY header is read */
	struct sb_address *address;	/* NULL before it is known */
	struct sb_hold *hold;		/* its token was refused, and it is told later */
	struct sb_visitor *prev, *next; /* in its address' queue */
	struct sb_deadline deadline;	/* to be open by then */
	int fd;				/* while it waits */
	uint8_t stage;			/* enum sb_stage */
	bool is_overdue : 1;		/* has been in the waiting room for too long */
	bool has_slot : 1;		/* holds a place among the handshakes */
};

struct sb_door {
	uv_loop_t *loop;
	const struct sb_door_config *config;
	const struct sb_door_ops *ops;
	void *user;
	struct sb_listener *listener; /* NULL when nobody is accepted any more */
	struct sb_arrival *arrivals;  /* those whose PROXY header is read */
	struct sb_deadlines openings; /* config->opening_ms */
	struct sb_deadlines slots;    /* how long one may hold a place among the handshakes */
	struct sb_deadlines patience; /* addresses that miss their turns */
	struct sb_deadlines holds;    /* refused tokens that are answered late */
	struct sb_addresses addresses;
	struct sb_address *turns; /* whose visitors wait for a handshake */
	size_t visitors;
	size_t queued;	/* of them: in the waiting room */
	size_t opening; /* of them: with a place among the handshakes */
	struct sb_door_stats stats;
	uint64_t logged_ms;	/* when the log last said that somebody was turned away */
	uint64_t logged_others; /* turned away since, without a line */
	bool leaving;		/* nobody is accepted any more */
};

/* ---- door.c: the life of a visitor ---- */

/* After loop, ops and user were set; the rest is zero. */
void sb_door_init(struct sb_door *door, const struct sb_door_config *config);
/* One that was accepted. NULL when out of memory. */
struct sb_visitor *sb_visitor_new(struct sb_door *door);
/* It may begin TLS. It may be gone after. */
void sb_visitor_admit(struct sb_visitor *visitor);

/* ---- listener.c ---- */

/* NULL with a sentence in ret_detail. */
struct sb_listener *sb_listener_new(struct sb_door *door, const char *address, int inherited,
				    char *ret_detail, size_t detail_size);
uint16_t sb_listener_port(const struct sb_listener *listener);
/* Stops listening; the memory goes with the loop's close callback. Accepts NULL. */
void sb_listener_close(struct sb_listener *listener);

/* ---- arrival.c: whose connection is it? ---- */

/* Takes the descriptor. `peer` is the address that the socket has. */
void sb_arrival_begin(struct sb_door *door, int fd, const struct sb_ip *peer);
/* Gives it up: the descriptor is closed. Accepts NULL. */
void sb_arrival_drop(struct sb_arrival *arrival);
/* Of all of them, with their visitors. */
void sb_arrivals_close(struct sb_door *door);

/* ---- room.c: which one is next? ---- */

/* Takes the descriptor. */
void sb_room_enter(struct sb_visitor *visitor, int fd);
/* It goes while it waits. */
void sb_room_leave(struct sb_visitor *visitor);
bool sb_room_may_serve(const struct sb_door *door);
bool sb_room_has_place(const struct sb_door *door, const struct sb_address *address);
/* It has waited for as long as a handshake may take. */
void sb_room_overdue(struct sb_visitor *visitor);
/* One of its visitors is known, or gone. */
void sb_room_place_free(struct sb_door *door, struct sb_address *address);
void sb_room_tick(struct sb_door *door);
/* Drops all who wait. */
void sb_room_close(struct sb_door *door);

/* ---- guard.c: is it welcome? ---- */

void sb_guard_init(struct sb_door *door);
void sb_guard_fini(struct sb_door *door);
void sb_guard_tick(struct sb_door *door);
/* Counts one, and says so in the log, but not too often. */
void sb_guard_count(struct sb_door *door, const struct sb_address *address,
		    enum sb_turned_away reason);
/* What was counted, as one line of the log. */
void sb_guard_log(const struct sb_door *door);
/* It may come into the waiting room; its address is this one. -1: close it, without a word. */
int sb_guard_enter(struct sb_visitor *visitor, const struct sb_ip *ip);
/* It is open, or has a further request: whether it is welcome is known now. */
void sb_guard_open(struct sb_visitor *visitor);
/* It is gone. */
void sb_guard_leave(struct sb_visitor *visitor);

#endif
