/*
 * Out of memory at every allocation in turn: nothing is acked that is not in
 * the calendar, nothing leaks (AddressSanitizer looks), and the next process
 * has it all.
 */
#include "faults.h"
#include "plugin_whole.h"
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
/* cmocka.h wants those above before it */
#include <cmocka.h>

/* Allocations until one fails; -1: none does. */
static long countdown = -1;

static bool fails(void)
{
	return countdown >= 0 && countdown-- == 0;
}

/* The linker sends everybody's allocations here (--wrap), those of libraries excepted. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
char *__wrap_strdup(const char *text);

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
	return fails() ? NULL : __real_realloc(memory, size);
}

char *__wrap_strdup(const char *text)
{
	return fails() ? NULL : __real_strdup(text);
}

static void out_of_memory_anywhere_loses_and_doubles_nothing(void **state)
{
	bool failed = true;
	long count = 0;

	(void)state;
	for (; failed; count++) {
		struct server *server = server_new();
		char *folder = folder_new();

		faults_clear();
		countdown = count;
		whole_run(folder, server);
		failed = countdown < 0;
		countdown = -1;
		whole_check(folder, server);
		faults_clear();
		whole_run(folder, server);
		whole_check_done(folder, server);
		folder_free(folder);
		server_free(server);
	}
	assert_true(count > 50); /* or the linker sends nothing here */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(out_of_memory_anywhere_loses_and_doubles_nothing),
	};

	/* jansson's go through here too. */
	json_set_alloc_funcs(malloc, free);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
