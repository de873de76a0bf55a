/*
 * The pump: whatever comes between, no session waits for events that nothing
 * is going to bring. world_check() looks after every step.
 *
 * The walk: SLOTBELL_SEED=N begins with that seed; SLOTBELL_WALK_SECONDS=N goes
 * on for so long.
 */
#include "daemon/core/mailbox.h"
#include "daemon/core/session.h"
#include "world.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
/* after its standard headers */
#include <cmocka.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

/* Chance that comes again with its seed (Numerical Recipes' constants). */
static uint32_t dice;

static uint32_t roll(void)
{
	dice = dice * 1664525 + 1013904223;
	return dice >> 16;
}

static enum { PLENTY, SCARCE, NONE } memory;

static bool fails(void)
{
	return memory == NONE || (memory == SCARCE && roll() % 3 == 0);
}

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
	return fails() ? NULL : __real_realloc(old, size);
}

/* ---- sessions that come and go during a fetch ---- */

static void the_second_of_two_hellos_in_one_batch_gets_its_backlog(void **state)
{
	struct world *world = world_new();
	struct client first, second;

	(void)state;
	world_book(world, 1);
	world_book(world, 1);
	client_hello(&first, world, 1, "");
	client_hello(&second, world, 1, "");
	world_query(world);
	world_answer(world); /* the first one's fetch is in flight, and it is replaced */
	client_pull(&first);
	client_drop(&first);
	assert_string_equal(client_said(&second), "welcome 0; booking 1; booking 2; live 2");
	client_drop(&second);
	world_free(world);
}

static void a_device_that_leaves_during_its_fetch_leaves_nobody_without(void **state)
{
	struct world *world = world_new();
	struct client leaves, stays;

	(void)state;
	world_book(world, 1);
	client_hello(&leaves, world, 1, "");
	client_hello(&stays, world, 2, "");
	world_query(world);
	world_answer(world); /* asked with the one, before the other was there */
	world_query(world);
	client_drop(&leaves);
	assert_string_equal(client_said(&stays), "welcome 0; booking 1; live 1");
	client_drop(&stays);
	world_free(world);
}

static void one_that_drops_and_returns_within_one_fetch_gets_its_backlog(void **state)
{
	struct world *world = world_new();
	struct client client;

	(void)state;
	world_book(world, 1);
	client_hello(&client, world, 1, "");
	world_query(world);
	world_answer(world);
	world_query(world); /* the fetch's snapshot */
	client_drop(&client);
	client_hello(&client, world, 1, "");
	world->overtaking = true;
	world_query(world);
	world_answer(world);
	assert_string_equal(client_said(&client), "welcome 0; booking 1; live 1");
	client_drop(&client);
	world_free(world);
}

static void a_run_that_goes_with_its_taker_leaves_nobody_without(void **state)
{
	struct world *world = world_new();
	struct client leaves, stays;

	(void)state;
	client_hello(&leaves, world, 1, "");
	assert_string_equal(client_said(&leaves), "welcome 0; live 0");
	leaves.blocked = true;
	world_book(world, 1);
	world_settle(world); /* the run waits for it */
	world_book(world, 1);
	world_query(world);
	client_hello(&stays, world, 2, "");
	world->failing = true;
	world_settle(world);
	world->failing = false;
	client_drop(&leaves);
	assert_string_equal(client_said(&stays), "welcome 0; booking 1; booking 2; live 2");
	client_drop(&stays);
	world_free(world);
}

/* ---- what cannot be asked or held ---- */

static void a_fetch_that_the_store_has_no_memory_for_is_asked_again(void **state)
{
	struct world *world = world_new();
	struct client client;

	(void)state;
	world_book(world, 1);
	world->refusing = true;
	client_hello(&client, world, 1, "");
	assert_string_equal(client_said(&client), "welcome 0");
	world->refusing = false;
	world_pass(world, SB_RUN_MS);
	assert_string_equal(client_said(&client), "booking 1; live 1");
	client_drop(&client);
	world_free(world);
}

static void events_that_cannot_be_held_are_asked_again(void **state)
{
	struct world *world = world_new();
	struct client client;
	size_t fetches;

	(void)state;
	client_hello(&client, world, 1, "");
	client_said(&client);
	world_book(world, 1);
	world_query(world);
	memory = NONE;
	world_answer(world);
	memory = PLENTY;
	fetches = world->fetches;
	world_settle(world);
	assert_int_equal(world->fetches, fetches); /* not at once */
	world_pass(world, SB_RUN_MS);
	assert_int_equal(world->fetches, fetches + 1);
	assert_string_equal(client_said(&client), "booking 1");
	client_drop(&client);
	world_free(world);
}

static void the_devices_held_are_told_in_order_and_without_memory(void **state)
{
	struct world *world = world_new();
	static const int64_t devices[] = {3, 1, 2};
	struct client clients[3];
	int64_t ids[4];

	(void)state;
	assert_int_equal(sb_hub_held_devices(world->hub, 0, ids, 4), 0);
	for (size_t i = 0; i < 3; i++) {
		client_hello(&clients[i], world, devices[i], "");
		client_said(&clients[i]);
	}
	memory = NONE;
	assert_int_equal(sb_hub_held_devices(world->hub, 0, ids, 0), 0);
	for (size_t max = 1; max <= 4; max++) {
		size_t count = sb_hub_held_devices(world->hub, 0, ids, max);

		assert_int_equal(count, max < 3 ? max : 3);
		for (size_t i = 0; i < count; i++)
			assert_int_equal(ids[i], i + 1);
	}
	assert_int_equal(sb_hub_held_devices(world->hub, 2, ids, 4), 1);
	assert_int_equal(ids[0], 3);
	assert_int_equal(sb_hub_held_devices(world->hub, 3, ids, 4), 0);
	memory = PLENTY;
	for (size_t i = 0; i < 3; i++)
		client_drop(&clients[i]);
	world_free(world);
}

/* ---- the walk ---- */

#define CLIENTS 6

static void client_step(struct world *world, struct client *client)
{
	static const char *const more[] = {"", ",\"mode\":\"once\""};

	if (client->session && client->close_code) {
		client_drop(client);
	} else if (!client->session) {
		client_hello(client, world, 1 + roll() % 3, more[roll() % 8 == 0]);
		client->blocked = roll() % 4 == 0;
	} else if (roll() % 12 == 0) {
		client_drop(client);
	} else {
		client->blocked = roll() % 4 == 0;
		client_pull(client);
		if (client->last && !client->close_code && roll() % 2)
			client_ack(client, client->last);
	}
	client->said[0] = '\0';
}

static void world_step(struct world *world)
{
	world->deaf = roll() % 4 == 0;
	world->failing = roll() % 6 == 0;
	world->refusing = roll() % 6 == 0;
	memory = roll() % 5 == 0 ? SCARCE : PLENTY;
	if (roll() % 3 == 0 && world->mailboxes[1].count < 200 && world->mailboxes[2].count < 200)
		world_book(world, 1 + roll() % 2);
	if (roll() % 2)
		world_query(world);
	while (roll() % 3)
		world_answer_at(world, roll() % 4);
	if (roll() % 10 == 0)
		sb_hub_recheck(world->hub, 1 + roll() % 3);
	if (roll() % 10 == 0)
		world_pass(world, roll() % 4000);
}

/* Nothing fails any more: each that stays gets all that there is. */
static void end_walk(struct world *world, struct client *clients)
{
	memory = PLENTY;
	world->deaf = world->failing = world->refusing = false;
	for (int turn = 0; turn < 200; turn++) {
		world_settle(world);
		for (size_t i = 0; i < CLIENTS; i++) {
			struct client *client = &clients[i];

			if (!client->session)
				continue;
			client->blocked = false;
			client->said[0] = '\0';
			client_pull(client);
			if (client->last && !client->close_code)
				client_ack(client, client->last);
		}
		world_pass(world, 100);
	}
	for (size_t i = 0; i < CLIENTS; i++) {
		const struct client *client = &clients[i];
		const struct world_mailbox *mailbox = &world->mailboxes[client->device < 3 ? 1 : 2];

		if (client->session && !client->close_code && mailbox->count && client->last)
			assert_int_equal(client->last, mailbox->numbering.head);
		client_drop(&clients[i]);
	}
	world_settle(world);
}

static void walk(uint32_t seed)
{
	struct world *world;
	struct client clients[CLIENTS];

	dice = seed;
	memory = PLENTY;
	world = world_new();
	memset(clients, 0, sizeof(clients));
	for (int step = 0; step < 600; step++) {
		world_step(world);
		client_step(world, &clients[roll() % CLIENTS]);
	}
	end_walk(world, clients);
	world_free(world);
}

static long number_of(const char *name, long otherwise)
{
	const char *text = getenv(name);

	return text ? strtol(text, NULL, 10) : otherwise;
}

static void whatever_happens_no_session_waits_for_ever(void **state)
{
	uint32_t seed = (uint32_t)number_of("SLOTBELL_SEED", 1);
	time_t end = time(NULL) + number_of("SLOTBELL_WALK_SECONDS", 0);
	uint32_t least = getenv("SLOTBELL_SEED") ? 1 : 200;

	(void)state;
	for (uint32_t walks = 0; walks < least || time(NULL) < end; walks++) {
		print_message("seed %u\n", seed);
		walk(seed++);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_second_of_two_hellos_in_one_batch_gets_its_backlog),
		cmocka_unit_test(a_device_that_leaves_during_its_fetch_leaves_nobody_without),
		cmocka_unit_test(one_that_drops_and_returns_within_one_fetch_gets_its_backlog),
		cmocka_unit_test(a_run_that_goes_with_its_taker_leaves_nobody_without),
		cmocka_unit_test(a_fetch_that_the_store_has_no_memory_for_is_asked_again),
		cmocka_unit_test(events_that_cannot_be_held_are_asked_again),
		cmocka_unit_test(the_devices_held_are_told_in_order_and_without_memory),
		cmocka_unit_test(whatever_happens_no_session_waits_for_ever),
	};

	return cmocka_run_group_tests_name("core: the pump", tests, NULL, NULL);
}
