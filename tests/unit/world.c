/* The world in memory; see world.h. */
#include "world.h"
#include "daemon/core/numbering.h"
#include "daemon/core/session.h"
#include "protocol/message.h"
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>
/* after its standard headers */
#include <cmocka.h>

enum kind { AUTHENTICATE, FETCH, SAVE, RECHECK };

struct question {
	struct question *prev, *next;
	enum kind kind;
	struct sb_authenticate authenticate;
	struct sb_fetch fetch;
	struct sb_save_ack save;
	struct sb_failure failed[SB_FAILED_MAX];
	int64_t device;
	/* the answer, once the snapshot was taken */
	struct sb_authenticated authenticated;
	struct sb_fetched fetched;
	struct sb_event events[WORLD_FETCH_MAX];
	struct sb_ack_saved saved;
	struct sb_device_state state;
};

/* The test's own memory never fails, even where core's is made to. */
#ifdef WORLD_WRAPS_MEMORY
void *__real_calloc(size_t count, size_t size);
#define world_calloc __real_calloc
#else
#define world_calloc calloc
#endif

/* ---- the store ---- */

static struct question *ask(struct sb_store *store, enum kind kind)
{
	struct world *world = ((struct world_store *)(void *)store)->world;
	struct question *question = world_calloc(1, sizeof(*question));

	question->kind = kind;
	DL_APPEND(world->asked, question);
	return question;
}

static int on_authenticate(struct sb_store *store, const struct sb_authenticate *asked)
{
	((struct world_store *)(void *)store)->world->authentications++;
	ask(store, AUTHENTICATE)->authenticate = *asked;
	return 0;
}

static int on_fetch(struct sb_store *store, const struct sb_fetch *asked)
{
	((struct world_store *)(void *)store)->world->fetches++;
	ask(store, FETCH)->fetch = *asked;
	return 0;
}

static int on_save(struct sb_store *store, const struct sb_save_ack *asked)
{
	struct question *question = ask(store, SAVE);

	((struct world_store *)(void *)store)->world->saves++;
	question->save = *asked;
	if (asked->failed_count)
		memcpy(question->failed, asked->failed,
		       asked->failed_count * sizeof(*asked->failed));
	return 0;
}

static int on_recheck(struct sb_store *store, int64_t device)
{
	ask(store, RECHECK)->device = device;
	return 0;
}

static const struct sb_store_ops ops = {.authenticate = on_authenticate,
					.fetch = on_fetch,
					.save_ack = on_save,
					.recheck = on_recheck};

/* ---- the database ---- */

static void authenticate(struct world *world, struct question *question)
{
	struct sb_authenticated *answer = &question->authenticated;
	int64_t id = question->authenticate.device_id;
	struct world_device *device;

	answer->outcome = SB_AUTH_UNKNOWN;
	if (id < 1 || id > WORLD_DEVICES || !world->devices[id].mailbox)
		return;
	device = &world->devices[id];
	answer->outcome = device->outcome;
	if (question->authenticate.takes_over)
		device->session_no++;
	answer->mailbox_id = device->mailbox;
	answer->address = "ada@example.com";
	answer->session_no = device->session_no;
	answer->acked = device->acked;
	answer->numbering = world->mailboxes[device->mailbox].numbering;
}

static void fetch(struct world *world, struct question *question)
{
	struct world_mailbox *mailbox = &world->mailboxes[question->fetch.mailbox_id];
	struct sb_fetched *answer = &question->fetched;

	answer->numbering = mailbox->numbering;
	answer->after = question->fetch.after;
	answer->events = question->events;
	for (size_t i = 0; i < mailbox->count && answer->count < WORLD_FETCH_MAX; i++) {
		if (mailbox->seqs[i] > answer->after && mailbox->seqs[i] > mailbox->numbering.floor)
			question->events[answer->count++] =
				(struct sb_event){.seq = mailbox->seqs[i], .uid = "uid"};
	}
}

static void save(struct world *world, struct question *question)
{
	struct world_device *device = &world->devices[question->save.device_id];
	const struct sb_numbering *numbering = &world->mailboxes[device->mailbox].numbering;

	question->saved.saved =
		sb_numbering_judge(numbering, &question->save.cursor) == SB_VERDICT_GOOD &&
		device->outcome == SB_AUTH_OK;
	if (question->saved.saved) {
		if (question->save.cursor.seq > device->acked)
			device->acked = question->save.cursor.seq;
		for (size_t i = 0; i < question->save.failed_count; i++)
			device->failed[device->failed_count++] = question->failed[i].seq;
	}
	question->saved.acked = device->acked;
}

static void recheck(struct world *world, struct question *question)
{
	const struct world_device *device = &world->devices[question->device];

	question->state = (struct sb_device_state){.device_id = question->device,
						   .outcome = device->outcome,
						   .session_no = device->session_no};
	question->state.numbering = world->mailboxes[device->mailbox].numbering;
}

void world_query(struct world *world)
{
	struct question *question, *next;

	if (world->away)
		return;
	DL_FOREACH_SAFE(world->asked, question, next) {
		DL_DELETE(world->asked, question);
		if (question->kind == AUTHENTICATE)
			authenticate(world, question);
		else if (question->kind == FETCH)
			fetch(world, question);
		else if (question->kind == SAVE)
			save(world, question);
		else
			recheck(world, question);
		DL_APPEND(world->answers, question);
	}
}

void world_answer(struct world *world)
{
	struct question *question;

	while ((question = world->answers)) {
		DL_DELETE(world->answers, question);
		if (question->kind == AUTHENTICATE)
			sb_hub_authenticated(world->hub, question->authenticate.session_id,
					     &question->authenticated);
		else if (question->kind == FETCH)
			sb_hub_fetched(world->hub, question->fetch.mailbox_id, &question->fetched);
		else if (question->kind == SAVE)
			sb_hub_ack_saved(world->hub, question->save.session_id, &question->saved);
		else
			sb_hub_device_state(world->hub, &question->state);
		free(question);
	}
}

void world_settle(struct world *world)
{
	while ((world->asked && !world->away) || world->answers) {
		world_query(world);
		world_answer(world);
	}
}

void world_book(struct world *world, int64_t id)
{
	struct world_mailbox *mailbox = &world->mailboxes[id];

	assert_true(mailbox->count < WORLD_EVENTS);
	mailbox->seqs[mailbox->count++] = ++mailbox->numbering.head;
	if (!world->deaf)
		sb_hub_look(world->hub, id);
}

void world_lose(struct world *world, int64_t id, int64_t known)
{
	struct world_mailbox *mailbox = &world->mailboxes[id];

	while (mailbox->count && mailbox->seqs[mailbox->count - 1] > known)
		mailbox->count--;
	mailbox->numbering.head = known;
	for (size_t i = 1; i <= WORLD_DEVICES; i++) {
		if (world->devices[i].mailbox == id && world->devices[i].acked > known)
			world->devices[i].acked = known;
	}
}

void world_new_epoch(struct world *world, int64_t id, const char *epoch)
{
	struct sb_numbering *numbering = &world->mailboxes[id].numbering;

	numbering->previous_epoch = numbering->epoch;
	(void)snprintf(numbering->epoch.text, sizeof(numbering->epoch.text), "%s", epoch);
	numbering->base = numbering->head;
	numbering->head += SB_EPOCH_JUMP;
}

/* ---- time ---- */

static uint64_t now_ms(struct sb_clock *clock)
{
	return ((struct world *)(void *)clock)->now_ms;
}

static int64_t wall_us(struct sb_clock *clock)
{
	return INT64_C(1764000000000000) + (int64_t)now_ms(clock) * 1000;
}

static uint32_t random_u32(struct sb_clock *clock)
{
	struct world *world = (struct world *)(void *)clock;

	world->random = world->random * 1664525 + 1013904223;
	return world->random;
}

void world_pass(struct world *world, uint64_t ms)
{
	world->now_ms += ms;
	sb_hub_tick(world->hub);
}

void world_config(struct sb_hub_config *ret_config)
{
	*ret_config = (struct sb_hub_config){
		.window = 4,
		.heartbeat_ms = 25000,
		.hello_ms = 10000,
		.authenticate_ms = 5000,
		.stalled_ms = 300000,
		.closing_ms = 5000,
		.reconnect_min_ms = 500,
		.reconnect_max_ms = 60000,
		.return_per_second = 500,
		.max_sessions = 100,
		.instance = 1,
	};
}

struct world *world_new_with(const struct sb_hub_config *config)
{
	struct world *world = world_calloc(1, sizeof(*world));

	world->clock =
		(struct sb_clock){.now_ms = now_ms, .wall_us = wall_us, .random = random_u32};
	world->store.store.ops = &ops;
	world->store.world = world;
	world->now_ms = 1000;
	for (size_t i = 1; i <= 2; i++)
		strcpy(world->mailboxes[i].numbering.epoch.text, "aaa");
	world->devices[1].mailbox = world->devices[2].mailbox = 1;
	world->devices[3].mailbox = 2;
	world->hub = sb_hub_new(config, &world->store.store, &world->clock);
	return world;
}

struct world *world_new(void)
{
	struct sb_hub_config config;

	world_config(&config);
	return world_new_with(&config);
}

void world_free(struct world *world)
{
	struct question *question, *next;
	struct sb_hub_stats stats;

	sb_hub_get_stats(world->hub, &stats);
	assert_int_equal(stats.sessions, 0);
	sb_hub_free(world->hub);
	DL_FOREACH_SAFE(world->asked, question, next)
		free(question);
	DL_FOREACH_SAFE(world->answers, question, next)
		free(question);
	free(world);
}

/* ---- clients ---- */

static void on_wake(struct sb_link *link)
{
	((struct client *)(void *)link)->woken = true;
}

static void on_cut(struct sb_link *link)
{
	((struct client *)(void *)link)->cut = true;
}

static const struct sb_link_ops link_ops = {.wake = on_wake, .cut = on_cut};

void client_connect(struct client *client, struct world *world)
{
	*client = (struct client){.link.ops = &link_ops, .world = world};
	client->session = sb_session_new(world->hub, &client->link);
}

void client_say(struct client *client, const char *message)
{
	sb_session_receive(client->session, message, strlen(message));
}

void client_hello(struct client *client, struct world *world, int64_t device, const char *more)
{
	struct sb_token token = {.device_id = device};
	char text[SB_TOKEN_MAX + 1], hello[512];

	client_connect(client, world);
	client->device = device;
	if (!client->session)
		return;
	(void)sb_token_format(&token, text);
	(void)snprintf(hello, sizeof(hello), "{\"type\":\"hello\",\"token\":\"%s\"%s}", text, more);
	client_say(client, hello);
}

void client_ack(struct client *client, int64_t seq)
{
	char ack[128];

	(void)snprintf(ack, sizeof(ack), "{\"type\":\"ack\",\"cursor\":\"%s.%" PRId64 "\"}",
		       client->epoch, seq);
	client_say(client, ack);
}

static void note(struct client *client, const char *format, ...)
{
	size_t len = strlen(client->said);
	va_list args;

	if (len) {
		strcat(client->said, "; ");
		len += 2;
	}
	va_start(args, format);
	(void)vsnprintf(client->said + len, sizeof(client->said) - len, format, args);
	va_end(args);
	assert_true(strlen(client->said) < sizeof(client->said) - 64);
}

static void take(struct client *client, const struct sb_frame *frame)
{
	static const char *const words[] = {"welcome", "booking", "live",  "acked",
					    "reset",   "goodbye", "error", "pong"};
	struct sb_server_message message;
	struct sb_refusal refusal;

	if (sb_server_message_decode(frame->bytes, frame->len, &message, &refusal) != 0) {
		note(client, "UNREADABLE %s", refusal.detail);
		return;
	}
	switch (message.type) {
	case SB_SERVER_WELCOME:
	case SB_SERVER_BOOKING:
	case SB_SERVER_LIVE:
	case SB_SERVER_ACKED:
		note(client, "%s %" PRId64, words[message.type], message.cursor.seq);
		break;
	case SB_SERVER_RESET:
		note(client, "reset %s %" PRId64, sb_reset_word(message.reset_reason),
		     message.cursor.seq);
		break;
	case SB_SERVER_GOODBYE:
		note(client, "goodbye %s", message.word);
		client->come_back_ms = message.reconnect_after_ms;
		break;
	case SB_SERVER_ERROR:
		note(client, "error %s", message.word);
		break;
	default:
		note(client, "%s", words[message.type]);
		break;
	}
	if (message.type <= SB_SERVER_RESET)
		strcpy(client->epoch, message.cursor.epoch.text);
	if (message.type == SB_SERVER_BOOKING || message.type == SB_SERVER_RESET)
		client->last = message.cursor.seq;
	if (message.type == SB_SERVER_ACKED)
		client->confirmed = message.cursor.seq;
	sb_server_message_fini(&message);
}

void client_pull(struct client *client)
{
	struct sb_frame *frame;

	client->woken = false;
	while (client->session && !client->blocked) {
		switch (sb_session_pull(client->session, &frame)) {
		case SB_PULL_NONE:
			return;
		case SB_PULL_FRAME:
			take(client, frame);
			sb_frame_unref(frame);
			break;
		case SB_PULL_PING:
			note(client, "ping");
			if (!client->silent)
				sb_session_heard(client->session);
			break;
		case SB_PULL_CLOSE:
			client->close_code =
				sb_reason_close_code(sb_session_reason(client->session));
			note(client, "close %d", client->close_code);
			return;
		}
	}
}

void client_drop(struct client *client)
{
	sb_session_gone(client->session);
	client->session = NULL;
}

const char *client_said(struct client *client)
{
	static char copy[sizeof(client->said)];

	/* What it is sent may let the database be asked, and the answer bring more. */
	do {
		world_settle(client->world);
		client_pull(client);
	} while (client->world->asked && !client->world->away && !client->blocked);
	strcpy(copy, client->said);
	client->said[0] = '\0';
	return copy;
}
