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
/* after its standard headers */
#include <cmocka.h>

static uint32_t return_ms;

static struct visit *of_link(struct sb_link *link)
{
	return (struct visit *)(void *)link;
}

static void on_wake(struct sb_link *link)
{
	of_link(link)->is_ready = true;
}

static void on_cut(struct sb_link *link)
{
	(void)link;
}

uint32_t visit_advice_ms(struct visit *visit)
{
	uint32_t own = sb_visitor_return_ms(visit->visitor);

	return own ? own : sb_hub_return_ms(visit->door->world->hub);
}

static uint32_t on_return_ms(struct sb_link *link)
{
	return visit_advice_ms(of_link(link));
}

static const struct sb_link_ops link_ops = {
	.wake = on_wake, .cut = on_cut, .return_ms = on_return_ms};

/* ---- what the door asks of its owner ---- */

static void *on_admit(void *user, struct sb_visitor *visitor, int fd)
{
	struct visit *visit = visitor->owner; /* as visit() set it */

	(void)user;
	(void)fd;
	visit->is_in = true;
	return visit;
}

static void on_evict(void *owner)
{
	visit_end(owner);
}

static void on_release(void *owner)
{
	((struct visit *)owner)->is_ready = true;
}

static const struct sb_door_ops door_ops = {
	.admit = on_admit, .evict = on_evict, .release = on_release};

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
	door->config = (struct sb_door_config){
		.handshakes = 64,
		.opening_ms = 10000,
		.max_sessions = 15000,
		.unauthenticated_per_address = 64,
		.bad_tokens_per_minute = 30,
		.max_addresses = 65536,
		.return_per_second = 500,
	};
	door->door = (struct sb_door){.loop = &door->loop, .ops = &door_ops};
	sb_door_init(&door->door, &door->config);
	sb_log_set_level(SB_LOG_ERROR);
	*state = door;
	return 0;
}

int door_tear_down(void **state)
{
	struct door *door = *state;

	assert_int_equal(door->door.visitors, 0);
	assert_int_equal(door->door.opening, 0);
	assert_int_equal(door->door.queued, 0);
	assert_null(door->door.turns);
	assert_null(door->door.patience.first);
	sb_guard_fini(&door->door);
	while (door->visits) {
		struct visit *visit = door->visits;

		door->visits = visit->next;
		free(visit);
	}
	world_free(door->world);
	free(door);
	return 0;
}

void door_serve(struct door *door)
{
	while (sb_door_serve(&door->door))
		;
}

struct visit *visit(struct door *door, const char *address)
{
	struct visit *visit = calloc(1, sizeof(*visit));
	struct sb_ip ip;
	uint8_t v4[4];

	assert_non_null(visit);
	visit->door = door;
	visit->next = door->visits;
	door->visits = visit;
	visit->visitor = sb_visitor_new(&door->door);
	visit->visitor->owner = visit;
	if (inet_pton(AF_INET, address, v4) == 1)
		ip = sb_ip_of_v4(v4);
	else
		assert_int_equal(inet_pton(AF_INET6, address, ip.bytes), 1);
	if (sb_guard_enter(visit->visitor, &ip) != 0) {
		sb_visitor_gone(visit->visitor);
		return NULL;
	}
	sb_room_enter(visit->visitor, -1);
	door_serve(door);
	return visit;
}

bool visit_is_in(const struct visit *visit)
{
	return visit->is_in;
}

bool visit_is_refused(const struct visit *visit)
{
	return sb_visitor_is_refused(visit->visitor);
}

void visit_open(struct visit *visit)
{
	assert_true(visit_is_in(visit));
	visit->link.ops = &link_ops;
	visit->is_judged = false;
	visit->session = sb_session_new(visit->door->world->hub, &visit->link);
	if (!sb_visitor_opened(visit->visitor))
		sb_session_send_away(visit->session, SB_REASON_TOO_MANY, visit_advice_ms(visit));
}

void visit_hello(struct visit *visit, int64_t device)
{
	struct sb_token token = {.device_id = device};
	char text[SB_TOKEN_MAX + 1], hello[256];

	(void)sb_token_format(&token, text);
	(void)snprintf(hello, sizeof(hello), "{\"type\":\"hello\",\"token\":\"%s\"}", text);
	sb_session_receive(visit->session, hello, strlen(hello));
	world_settle(visit->door->world);
}

void visit_end(struct visit *visit)
{
	sb_session_gone(visit->session);
	visit->session = NULL;
	sb_visitor_gone(visit->visitor);
	visit->visitor = NULL;
	door_serve(visit->door);
}

struct visit *visit_and_open(struct door *door, const char *address)
{
	struct visit *opened = visit(door, address);

	assert_non_null(opened);
	visit_open(opened);
	return opened;
}

struct visit *visit_known(struct door *door, const char *address, int64_t device)
{
	struct visit *known = visit_and_open(door, address);

	visit_hello(known, device);
	assert_string_equal(visit_told(known), "welcome; live; ");
	return known;
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

/* As the owner tells it; true: nothing may be sent yet. */
static bool is_held(struct visit *visit)
{
	enum sb_reason reason = sb_session_reason(visit->session);

	if (!visit->is_judged && sb_session_is_authenticated(visit->session)) {
		visit->is_judged = true;
		sb_visitor_known(visit->visitor);
	} else if (!visit->is_judged &&
		   (reason == SB_REASON_BAD_TOKEN || reason == SB_REASON_REVOKED ||
		    reason == SB_REASON_EXPIRED)) {
		visit->is_judged = true;
		(void)sb_visitor_bad_token(visit->visitor);
	}
	return sb_visitor_is_held(visit->visitor);
}

const char *visit_told(struct visit *visit)
{
	static char told[256];
	struct sb_frame *frame;
	size_t len = 0;

	told[0] = '\0';
	if (!visit->is_ready)
		return told;
	visit->is_ready = false;
	if (is_held(visit))
		return told;
	for (;;) {
		switch (sb_session_pull(visit->session, &frame)) {
		case SB_PULL_FRAME:
			len += (size_t)snprintf(told + len, sizeof(told) - len, "%s",
						word_of(frame));
			sb_frame_unref(frame);
			break;
		case SB_PULL_CLOSE:
			(void)snprintf(told + len, sizeof(told) - len, "close %d",
				       sb_reason_close_code(sb_session_reason(visit->session)));
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
	sb_door_tick(&door->door);
	door_serve(door);
}

uint64_t door_turned_away(struct door *door, enum sb_turned_away reason)
{
	return door->door.stats.turned_away[reason];
}
