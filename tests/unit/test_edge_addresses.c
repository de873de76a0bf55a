/* The table of addresses: who is kept, for how long, at most how many; refused tokens. */
#include "daemon/edge/door/addresses.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
/* after its standard headers */
#include <cmocka.h>

#define MAX 4

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);

static int fail_at; /* 0: none fails */
static int allocations;

static bool fails(void)
{
	return fail_at && ++allocations == fail_at;
}

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return fails() ? NULL : __real_calloc(count, size);
}

static struct sb_addresses addresses;

static int set_up(void **state)
{
	(void)state;
	sb_addresses_init(&addresses);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	sb_addresses_fini(&addresses);
	assert_int_equal(sb_addresses_count(&addresses), 0);
	return 0;
}

static struct sb_address *enter_max(uint32_t number, size_t max)
{
	struct sb_ip ip = sb_ip_of_v4(
		(uint8_t[]){10, (uint8_t)(number >> 16), (uint8_t)(number >> 8), (uint8_t)number});

	return sb_addresses_enter(&addresses, &ip, max);
}

static struct sb_address *enter(uint32_t number)
{
	return enter_max(number, MAX);
}

static void an_address_is_there_while_it_has_connections(void **state)
{
	struct sb_address *address = enter(1);

	(void)state;
	assert_ptr_equal(enter(1), address);
	assert_int_equal(address->connections, 2);
	assert_ptr_not_equal(enter(2), address);
	assert_int_equal(sb_addresses_count(&addresses), 2);
	sb_addresses_leave(&addresses, address, 0);
	assert_int_equal(sb_addresses_count(&addresses), 2);
	sb_addresses_leave(&addresses, address, 0);
	assert_int_equal(sb_addresses_count(&addresses), 1);
}

static void one_household_is_one_entry(void **state)
{
	struct sb_ip a = {.bytes = {0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1}};
	struct sb_ip b = a, c = a;

	(void)state;
	b.bytes[8] = 0xff;
	c.bytes[7] = 2;
	assert_ptr_equal(sb_addresses_enter(&addresses, &a, MAX),
			 sb_addresses_enter(&addresses, &b, MAX));
	assert_ptr_not_equal(sb_addresses_enter(&addresses, &a, MAX),
			     sb_addresses_enter(&addresses, &c, MAX));
}

static void what_one_could_escape_by_hanging_up_is_kept_a_minute(void **state)
{
	struct sb_address *guesses = enter(1), *asks = enter(2);

	(void)state;
	(void)sb_address_spend(guesses, 30, 1000);
	(void)sb_admission_return_ms(&asks->visits, 1000, 500, 0);
	sb_addresses_leave(&addresses, guesses, 1000);
	sb_addresses_leave(&addresses, asks, 1000);
	sb_addresses_tick(&addresses, 1000 + SB_ADDRESS_IDLE_MS - 1);
	assert_int_equal(sb_addresses_count(&addresses), 2);
	/* who comes again is not forgotten meanwhile */
	assert_ptr_equal(enter(1), guesses);
	sb_addresses_tick(&addresses, 1000 + SB_ADDRESS_IDLE_MS);
	assert_int_equal(sb_addresses_count(&addresses), 1);
	assert_int_equal(guesses->spent_until_us, 3000000);
	(void)sb_address_spend(guesses, 30, 62000);
	sb_addresses_leave(&addresses, guesses, 62000);
	sb_addresses_tick(&addresses, 62000 + SB_ADDRESS_IDLE_MS);
	assert_int_equal(sb_addresses_count(&addresses), 0);
}

static void a_full_table_takes_nobody_in(void **state)
{
	struct sb_address *first = NULL;

	(void)state;
	for (uint32_t i = 0; i < MAX - 1; i++)
		assert_non_null(first = enter(i));
	assert_non_null(enter(MAX - 1));
	assert_null(enter(MAX));
	assert_ptr_equal(enter(MAX - 2), first); /* who is in it may come again */
	assert_int_equal(sb_addresses_count(&addresses), MAX);
	sb_addresses_leave(&addresses, first, 0);
	assert_null(enter(MAX));
	sb_addresses_leave(&addresses, first, 0);
	assert_non_null(enter(MAX));
}

static void in_a_full_table_the_one_longest_idle_gives_way(void **state)
{
	struct sb_address *entries[MAX];

	(void)state;
	for (uint32_t i = 0; i < MAX; i++) {
		entries[i] = enter(i);
		(void)sb_address_spend(entries[i], 30, 0);
	}
	sb_addresses_leave(&addresses, entries[2], 1);
	sb_addresses_leave(&addresses, entries[0], 2);
	assert_non_null(enter(MAX));
	assert_int_equal(sb_addresses_count(&addresses), MAX);
	assert_ptr_equal(enter(0), entries[0]); /* was kept */
	assert_null(enter(2));			/* was forgotten, and now all have connections */
}

static void what_is_over_is_not_kept(void **state)
{
	struct sb_address *address = enter(1);

	(void)state;
	(void)sb_address_spend(address, 30, 0);
	(void)sb_admission_return_ms(&address->visits, 0, 500, 0); /* until 502 */
	sb_addresses_leave(&addresses, address, 2000);
	assert_int_equal(sb_addresses_count(&addresses), 0);
}

/* A hundred thousand are as quick as a few; that they are all found again is what can be tested. */
static void many_addresses_are_all_found(void **state)
{
	const uint32_t many = 100000;

	(void)state;
	for (uint32_t i = 0; i < many; i++)
		enter_max(i, many)->open = i;
	assert_null(enter_max(many, many));
	for (uint32_t i = 0; i < many; i++)
		assert_int_equal(enter_max(i, many)->open, i);
	assert_int_equal(sb_addresses_count(&addresses), many);
}

static void without_memory_nobody_is_let_in_and_nothing_is_lost(void **state)
{
	int tries = 0;
	struct sb_address *address;

	(void)state;
	for (fail_at = 1; fail_at < 10; fail_at++) {
		allocations = 0;
		address = enter(1);
		tries++;
		if (address)
			break;
		assert_int_equal(sb_addresses_count(&addresses), 0);
	}
	fail_at = 0;
	assert_non_null(address);
	assert_int_equal(tries, 4); /* entry, table, buckets, and then none fails */
	if (address)
		assert_int_equal(address->connections, 1);
	/* and in a table that is there */
	fail_at = 1;
	allocations = 0;
	assert_null(enter(2));
	fail_at = 0;
	assert_int_equal(sb_addresses_count(&addresses), 1);
}

/* ---- refused tokens ---- */

static void a_minutes_tokens_at_once_then_one_after_the_other(void **state)
{
	struct sb_address *address = enter(1);

	(void)state;
	for (int i = 0; i < 30; i++)
		assert_false(sb_address_spend(address, 30, 5000));
	assert_true(sb_address_spend(address, 30, 5000));
	assert_true(sb_address_spend(address, 30, 5000 + 1999));
	assert_false(sb_address_spend(address, 30, 5000 + 2000));
	assert_true(sb_address_spend(address, 30, 5000 + 2000));
	assert_true(sb_address_spend(address, 30, 5000 + 3999));
	assert_false(sb_address_spend(address, 30, 5000 + 4000));
}

static void a_minute_later_all_is_forgotten(void **state)
{
	struct sb_address *address = enter(1);

	(void)state;
	for (int i = 0; i < 31; i++)
		(void)sb_address_spend(address, 30, 0);
	for (int i = 0; i < 30; i++)
		assert_false(sb_address_spend(address, 30, 60000));
	assert_true(sb_address_spend(address, 30, 60000));
}

static void the_least_and_the_most_a_minute(void **state)
{
	struct sb_address *address = enter(1);

	(void)state;
	assert_false(sb_address_spend(address, 1, 1));
	assert_true(sb_address_spend(address, 1, 60000));
	assert_false(sb_address_spend(address, 1, 60001));
	for (int i = 0; i < 1000000; i++)
		assert_false(sb_address_spend(address, 1000000, 120001));
	assert_true(sb_address_spend(address, 1000000, 120001));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(an_address_is_there_while_it_has_connections),
		CASE(one_household_is_one_entry),
		CASE(what_one_could_escape_by_hanging_up_is_kept_a_minute),
		CASE(a_full_table_takes_nobody_in),
		CASE(in_a_full_table_the_one_longest_idle_gives_way),
		CASE(what_is_over_is_not_kept),
		CASE(many_addresses_are_all_found),
		CASE(without_memory_nobody_is_let_in_and_nothing_is_lost),
		CASE(a_minutes_tokens_at_once_then_one_after_the_other),
		CASE(a_minute_later_all_is_forgotten),
		CASE(the_least_and_the_most_a_minute),
	};

	return cmocka_run_group_tests_name("edge: the table of addresses", tests, NULL, NULL);
}
