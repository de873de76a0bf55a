/* Record buffers of OpenSSL's: kept at hand, only so many, and nothing else is. */
#include "daemon/edge/tls_memory.h"
#include <errno.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
/* after its standard headers */
#include <cmocka.h>

static void drain(void)
{
	while (sb_tls_memory_kept())
		free(OPENSSL_malloc(SB_TLS_BUFFER_BYTES));
}

static void a_buffer_that_is_given_back_is_the_next_one(void **state)
{
	void *first = OPENSSL_malloc(SB_TLS_RECORD_BYTES), *second;

	(void)state;
	OPENSSL_free(first);
	assert_int_equal(sb_tls_memory_kept(), 1);
	second = OPENSSL_malloc(SB_TLS_BUFFER_BYTES);
	assert_ptr_equal(first, second);
	OPENSSL_free(second);
	drain();
}

static void what_is_smaller_or_larger_is_not_kept(void **state)
{
	(void)state;
	OPENSSL_free(OPENSSL_malloc(SB_TLS_RECORD_BYTES - 1));
	OPENSSL_free(OPENSSL_malloc(SB_TLS_BUFFER_BYTES + 65));
	OPENSSL_free(OPENSSL_malloc(1));
	OPENSSL_free(NULL);
	assert_null(OPENSSL_malloc(0));
	assert_int_equal(sb_tls_memory_kept(), 0);
}

static void only_so_many_are_kept(void **state)
{
	void *buffers[SB_TLS_BUFFERS_MAX + 1];

	(void)state;
	for (size_t i = 0; i <= SB_TLS_BUFFERS_MAX; i++)
		buffers[i] = OPENSSL_malloc(SB_TLS_BUFFER_BYTES);
	for (size_t i = 0; i <= SB_TLS_BUFFERS_MAX; i++) {
		OPENSSL_free(buffers[i]);
		assert_int_equal(sb_tls_memory_kept(), i < SB_TLS_BUFFERS_MAX ? i + 1 : i);
	}
	drain();
}

static void what_grows_or_shrinks_keeps_what_is_in_it(void **state)
{
	uint8_t *bytes = OPENSSL_realloc(NULL, 100);

	(void)state;
	memset(bytes, 7, 100);
	bytes = OPENSSL_realloc(bytes, SB_TLS_BUFFER_BYTES);
	for (int i = 0; i < 100; i++)
		assert_int_equal(bytes[i], 7);
	assert_null(OPENSSL_realloc(bytes, 0));
	assert_int_equal(sb_tls_memory_kept(), 1);
	bytes = OPENSSL_malloc(SB_TLS_RECORD_BYTES);
	bytes = OPENSSL_realloc(bytes, 200000);
	bytes[199999] = 7;
	OPENSSL_free(bytes);
	assert_int_equal(sb_tls_memory_kept(), 0);
}

static void *use_one(void *data)
{
	OPENSSL_free(OPENSSL_malloc(SB_TLS_BUFFER_BYTES));
	return data;
}

static void another_thread_has_no_part_in_it(void **state)
{
	pthread_t thread;
	void *mine = OPENSSL_malloc(SB_TLS_BUFFER_BYTES);

	(void)state;
	OPENSSL_free(mine);
	assert_int_equal(pthread_create(&thread, NULL, use_one, NULL), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(sb_tls_memory_kept(), 1);
	drain();
}

/* In a process of its own, for here it is set up in time. */
static bool too_late_is_said(void)
{
	int status = 0;
	pid_t child = fork();

	if (child == 0) {
		OPENSSL_free(OPENSSL_malloc(1));
		_exit(sb_tls_memory_setup() == -EBUSY && sb_tls_memory_kept() == 0 ? 0 : 1);
	}
	return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

static void whoever_used_openssl_before_is_told(void **state)
{
	assert_true(*(bool *)*state);
}

int main(void)
{
	bool told;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_buffer_that_is_given_back_is_the_next_one),
		cmocka_unit_test(what_is_smaller_or_larger_is_not_kept),
		cmocka_unit_test(only_so_many_are_kept),
		cmocka_unit_test(what_grows_or_shrinks_keeps_what_is_in_it),
		cmocka_unit_test(another_thread_has_no_part_in_it),
		cmocka_unit_test_prestate(whoever_used_openssl_before_is_told, &told),
	};

	told = too_late_is_said();
	return sb_tls_memory_setup() == 0 ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
