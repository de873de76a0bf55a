/*
 * Connections at the door, without sockets: the waiting room and the guard, a
 * hub in its small world (world.h), and time that the test turns.
 */
#ifndef SB_TESTS_VISITORS_H
#define SB_TESTS_VISITORS_H

#include "daemon/edge/server_private.h"
#include "world.h"

struct door {
	struct world *world;
	uv_loop_t loop; /* only its time is looked at */
	struct sb_server_config config;
	struct sb_server server;
};

/* cmocka's set-up and tear-down: *state is a struct door. Limits are those of slotbelld.conf. */
int door_set_up(void **state);
int door_tear_down(void **state);

/* One more accepted connection from this address, as "192.0.2.1" or "2001:db8::1", that shakes
 * hands if it may. NULL: closed without a word. */
struct sb_connection *visit(struct door *door, const char *address);
/* It has been let in: out of the waiting room. */
bool visit_is_in(const struct sb_connection *connection);
/* Its websocket is open. */
void visit_open(struct sb_connection *connection);
/* Says hello with the token of this device, and the database answers. */
void visit_hello(struct sb_connection *connection, int64_t device);
/* It hangs up, or its close is through. */
void visit_end(struct sb_connection *connection);
/* visit(), which lets it in, and visit_open(). */
struct sb_connection *visit_and_open(struct door *door, const char *address);
/* The same, then a good hello; devices are 1 to WORLD_DEVICES. */
struct sb_connection *visit_known(struct door *door, const char *address, int64_t device);

/* Sends what may be sent, as the server does: "welcome; live", "goodbye; close 4429", or "". */
const char *visit_told(struct sb_connection *connection);
/* What the last goodbye said. */
uint32_t visit_return_ms(void);

/* Deadlines are acted on at the end of it. */
void door_pass(struct door *door, uint64_t ms);
uint64_t door_turned_away(struct door *door, enum sb_turned_away reason);

#endif
