/*
 * Connections at the door, without sockets: the waiting room and the guard, a
 * hub in its small world (world.h), and time that the test turns.
 */
#ifndef SB_TESTS_VISITORS_H
#define SB_TESTS_VISITORS_H

#include "daemon/edge/door/door_private.h"
#include "world.h"

struct door {
	struct world *world;
	uv_loop_t loop; /* only its time is looked at */
	struct sb_door_config config;
	struct sb_door door;
	struct visit *visits; /* all there were */
};

/* An owner of a visitor, as edge/connection is one: a session, and what the door is told of it. */
struct visit {
	struct sb_link link; /* first */
	struct visit *next;  /* in door->visits */
	struct door *door;
	struct sb_visitor *visitor;
	struct sb_session *session;
	bool is_in;    /* admitted */
	bool is_ready; /* woken */
	bool is_judged;
};

/* cmocka's set-up and tear-down: *state is a struct door. Limits are those of slotbelld.conf. */
int door_set_up(void **state);
int door_tear_down(void **state);

/* One more accepted connection from this address, as "192.0.2.1" or "2001:db8::1", that shakes
 * hands if it may. NULL: closed without a word. */
struct visit *visit(struct door *door, const char *address);
/* It has been let in: out of the waiting room. */
bool visit_is_in(const struct visit *visit);
/* Its websocket is open. */
void visit_open(struct visit *visit);
/* Says hello with the token of this device, and the database answers. */
void visit_hello(struct visit *visit, int64_t device);
/* It hangs up, or its close is through. */
void visit_end(struct visit *visit);
/* visit(), which lets it in, and visit_open(). */
struct visit *visit_and_open(struct door *door, const char *address);
/* The same, then a good hello; devices are 1 to WORLD_DEVICES. */
struct visit *visit_known(struct door *door, const char *address, int64_t device);

/* It is one too many. */
bool visit_is_refused(const struct visit *visit);
/* When it should come back, as the door or the hub says. */
uint32_t visit_advice_ms(struct visit *visit);
/* Sends what may be sent, as the server does: "welcome; live", "goodbye; close 4429", or "". */
const char *visit_told(struct visit *visit);
/* What the last goodbye said. */
uint32_t visit_return_ms(void);

/* As many turns of the loop as it takes. */
void door_serve(struct door *door);
/* Deadlines are acted on at the end of it. */
void door_pass(struct door *door, uint64_t ms);
uint64_t door_turned_away(struct door *door, enum sb_turned_away reason);

#endif
