/* The world in memory; see world.h. */
#include "world.h"
#include "daemon/core/numbering.h"
#include "protocol/message.h"
#include <errno.h>
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
	struct world *world = ((struct world_store *)(void *)store)->world;

	if (world->refusing)
		return -ENOMEM;
	world->fetches++;
	ask(store, FETCH)->fetch = *asked;
	return 0;
}

static int on_save(struct sb_store *store, const struct sb_save_ack *asked)
{
	struct question *question = ask(store, SAVE);
	struct world *world = ((struct world_store *)(void *)store)->world;

	world->saves++;
	for (size_t i = 0; i < asked->sent_count; i++) {
		assert_in_range(asked->sent_first + (int64_t)i, 0, asked->cursor.seq);
		world->devices[asked->device_id]
			.sent_us[(asked->sent_first + (int64_t)i) % WORLD_EVENTS] =
			asked->sent_us[i];
	}
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

static int on_sent(struct sb_store *store, const struct sb_sent *news)
{
	struct world *world = ((struct world_store *)(void *)store)->world;
	struct world_device *device = &world->devices[news->device_id];

	device->tells++;
	for (size_t i = 0; i < news->count; i++) {
		device->told_us[(news->first + (int64_t)i) % WORLD_EVENTS] = news->us[i];
	}
	return 0;
}

static int on_presence(struct sb_store *store, const struct sb_presence *news)
{
	struct world *world = ((struct world_store *)(void *)store)->world;

	world->devices[news->device_id].on += news->on ? 1 : -1;
	return 0;
}

static const struct sb_store_ops ops = {.authenticate = on_authenticate,
					.fetch = on_fetch,
					.save_ack = on_save,
					.recheck = on_recheck,
					.sent = on_sent,
					.presence = on_presence};

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
	answer->expires_at_s = device->expires_at_s;
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
				(struct sb_event){.seq = mailbox->seqs[i],
						  .version = mailbox->seqs[i],
						  .published_at_us = mailbox->published_us[i],
						  .uid = "uid",
						  .has_starts_at = true,
						  .duration_minutes = 30};
	}
}

static void save(struct world *world, struct question *question)
{
	struct world_device *device = &world->devices[question->save.device_id];
	const struct sb_numbering *numbering = &world->mailboxes[device->mailbox].numbering;

	question->saved.replaced = device->session_no > question->save.session_no;
	question->saved.saved =
		!question->saved.replaced &&
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
						   .session_no = device->session_no,
						   .acked = device->acked};
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

static struct question *next_answer(const struct world *world)
{
	struct question *question = world->answers;

	while (world->overtaking && question && question->kind != AUTHENTICATE)
		question = question->next;
	return question ? question : world->answers;
}

static void deliver(struct world *world, struct question *question)
{
	DL_DELETE(world->answers, question);
	if (question->kind == AUTHENTICATE)
		sb_hub_authenticated(world->hub, question->authenticate.session_id,
				     &question->authenticated);
	else if (question->kind == FETCH && world->failing)
		sb_hub_fetch_failed(world->hub, question->fetch.mailbox_id);
	else if (question->kind == FETCH)
		sb_hub_fetched(world->hub, question->fetch.mailbox_id, &question->fetched);
	else if (question->kind == SAVE)
		sb_hub_ack_saved(world->hub, question->save.session_id, &question->saved);
	else
		sb_hub_device_state(world->hub, &question->state);
	free(question);
	world_check(world);
}

void world_answer_at(struct world *world, size_t place)
{
	struct question *question = world->answers;

	while (question && place--)
		question = question->next;
	if (question)
		deliver(world, question);
}

void world_answer(struct world *world)
{
	struct question *question;

	while ((question = next_answer(world)))
		deliver(world, question);
}

bool world_is_fetching(const struct world *world, int64_t id)
{
	const struct question *question;

	DL_FOREACH(world->asked, question) {
		if (question->kind == FETCH && question->fetch.mailbox_id == id)
			return true;
	}
	DL_FOREACH(world->answers, question) {
		if (question->kind == FETCH && question->fetch.mailbox_id == id)
			return true;
	}
	return false;
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
	mailbox->published_us[mailbox->count] = world->clock.wall_us(&world->clock);
	mailbox->seqs[mailbox->count++] = ++mailbox->numbering.head;
	if (!world->deaf)
		sb_hub_look(world->hub, id);
	world_check(world);
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

/* As the daemon's timer does it: a tick when one is due, and none when none is. */
void world_pass(struct world *world, uint64_t ms)
{
	uint64_t end = world->now_ms + ms;

	while (sb_hub_due_ms(world->hub) <= end) {
		if (world->now_ms < sb_hub_due_ms(world->hub))
			world->now_ms = sb_hub_due_ms(world->hub);
		sb_hub_tick(world->hub);
		world_check(world);
	}
	world->now_ms = end;
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
		.max_sessions = 200,
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
		world->mailboxes[i].numbering.epoch = (struct sb_epoch){.text = "aaa"};
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
