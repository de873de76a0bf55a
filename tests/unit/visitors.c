/* Connections at the door; see visitors.h. */
#include "visitors.h"
#include "daemon/base/log.h"
#include "protocol/message.h"
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>
/* after its standard headers */
#include <cmocka.h>

static uint32_t return_ms;

static void on_wake(struct sb_link *link)
{
	sb_connection_ready((struct sb_connection *)(void *)link);
}

static void on_cut(struct sb_link *link)
{
	(void)link;
}

void __wrap_sb_connection_adopt(struct sb_connection *connection);

void __wrap_sb_connection_adopt(struct sb_connection *connection)
{
	connection->fd = -1;
}

static const struct sb_link_ops link_ops = {
	.wake = on_wake, .cut = on_cut, .return_ms = sb_guard_link_return_ms};

int door_set_up(void **state)
{
	struct door *door = calloc(1, sizeof(*door));
	struct sb_hub_config hub_config;

	world_config(&hub_config);
	hub_config.max_sessions = 100000;
	door->world = world_new_with(&hub_config);
	for (size_t i = 1; i <= WORLD_DEVICES; i++)
		door->world->devices[i].mailbox = 1;
	door->loop.time = door->world->now_ms;
	door->config = (struct sb_server_config){
		.handshakes = 64,
		.opening_ms = 10000,
		.max_sessions = 15000,
		.unauthenticated_per_address = 64,
		.bad_tokens_per_minute = 30,
		.max_addresses = 65536,
		.return_per_second = 500,
	};
	door->server = (struct sb_server){
		.loop = &door->loop,
		.hub = door->world->hub,
		.config = &door->config,
		.openings.wait_ms = door->config.opening_ms,
		.slots.wait_ms = SB_SLOT_MS,
	};
	sb_room_init(&door->server);
	sb_guard_init(&door->server);
	sb_log_set_level(SB_LOG_ERROR);
	*state = door;
	return 0;
}

int door_tear_down(void **state)
{
	struct door *door = *state;

	assert_int_equal(door->server.connections, 0);
	assert_int_equal(door->server.opening, 0);
	assert_int_equal(door->server.queued, 0);
	assert_null(door->server.turns);
	assert_null(door->server.patience.first);
	sb_guard_fini(&door->server);
	world_free(door->world);
	free(door);
	return 0;
}

/* As many turns of the loop as it takes. */
static void serve_room(struct sb_server *server)
{
	do
		sb_room_serve(server);
	while (sb_room_may_serve(server));
}

struct sb_connection *visit(struct door *door, const char *address)
{
	struct sb_connection *connection = sb_connection_new(&door->server);
	struct sb_ip ip;
	uint8_t v4[4];

	if (inet_pton(AF_INET, address, v4) == 1)
		ip = sb_ip_of_v4(v4);
	else
		assert_int_equal(inet_pton(AF_INET6, address, ip.bytes), 1);
	connection->fd = -1;
	if (sb_guard_admit(connection, &ip) != 0) {
		sb_connection_gone(connection);
		return NULL;
	}
	sb_room_enter(connection);
	serve_room(&door->server);
	return connection;
}

bool visit_is_in(const struct sb_connection *connection)
{
	return connection->stage > SB_STAGE_WAITING;
}

void visit_open(struct sb_connection *connection)
{
	assert_true(visit_is_in(connection));
	sb_connection_opened(connection);
	connection->link.ops = &link_ops;
	connection->session = sb_session_new(connection->server->hub, &connection->link);
	sb_guard_greet(connection);
}

void visit_hello(struct sb_connection *connection, int64_t device)
{
	struct door *door =
		(struct door *)(void *)((char *)connection->server - offsetof(struct door, server));
	struct sb_token token = {.device_id = device};
	char text[SB_TOKEN_MAX + 1], hello[256];

	(void)sb_token_format(&token, text);
	(void)snprintf(hello, sizeof(hello), "{\"type\":\"hello\",\"token\":\"%s\"}", text);
	sb_session_receive(connection->session, hello, strlen(hello));
	world_settle(door->world);
}

void visit_end(struct sb_connection *connection)
{
	struct sb_server *server = connection->server;

	sb_connection_gone(connection);
	serve_room(server);
}

struct sb_connection *visit_and_open(struct door *door, const char *address)
{
	struct sb_connection *connection = visit(door, address);

	assert_non_null(connection);
	visit_open(connection);
	return connection;
}

struct sb_connection *visit_known(struct door *door, const char *address, int64_t device)
{
	struct sb_connection *connection = visit_and_open(door, address);

	visit_hello(connection, device);
	assert_string_equal(visit_told(connection), "welcome; live; ");
	return connection;
}

/* ---- what they are sent ---- */

static const char *word_of(const struct sb_frame *frame)
{
	static const char *const words[] = {[SB_SERVER_WELCOME] = "welcome; ",
					    [SB_SERVER_LIVE] = "live; ",
					    [SB_SERVER_GOODBYE] = "goodbye; ",
					    [SB_SERVER_ERROR] = "error; "};
	struct sb_server_message message;
	struct sb_refusal refusal;
	const char *word;

	assert_int_equal(sb_server_message_decode(frame->bytes, frame->len, &message, &refusal), 0);
	if (message.type == SB_SERVER_GOODBYE)
		return_ms = message.reconnect_after_ms;
	word = words[message.type];
	sb_server_message_fini(&message);
	return word;
}

const char *visit_told(struct sb_connection *connection)
{
	static char told[256];
	struct sb_frame *frame;
	size_t len = 0;

	told[0] = '\0';
	if (!connection->is_ready)
		return told;
	connection->is_ready = false;
	DL_DELETE2(connection->server->ready, connection, ready_prev, ready_next);
	if (sb_guard_holds(connection))
		return told;
	for (;;) {
		switch (sb_session_pull(connection->session, &frame)) {
		case SB_PULL_FRAME:
			len += (size_t)snprintf(told + len, sizeof(told) - len, "%s",
						word_of(frame));
			sb_frame_unref(frame);
			break;
		case SB_PULL_CLOSE:
			(void)snprintf(
				told + len, sizeof(told) - len, "close %d",
				sb_reason_close_code(sb_session_reason(connection->session)));
			return told;
		case SB_PULL_NONE:
		case SB_PULL_PING:
			return told;
		}
	}
}

uint32_t visit_return_ms(void)
{
	return return_ms;
}

void door_pass(struct door *door, uint64_t ms)
{
	world_pass(door->world, ms);
	door->loop.time = door->world->now_ms;
	sb_server_tick(&door->server);
	serve_room(&door->server);
}

uint64_t door_turned_away(struct door *door, enum sb_turned_away reason)
{
	return door->server.stats.turned_away[reason];
}
