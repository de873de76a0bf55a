/* What the protocol's unit tests share: cmocka with what it needs, and a decode in one line. */
#ifndef SB_TEST_PROTOCOL_HELP_H
#define SB_TEST_PROTOCOL_HELP_H

#include "protocol/message.h"
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after the above, which it takes for granted */
#include <cmocka.h>

#define TEST(name) cmocka_unit_test(name)

/* `count` times `piece`, as a string; the caller frees it. */
static inline char *repeat(const char *piece, size_t count)
{
	size_t len = strlen(piece);
	char *text = calloc(len * count + 1, 1);

	assert_non_null(text);
	for (size_t i = 0; i < count; i++)
		memcpy(text + i * len, piece, len);
	return text;
}

/* A new string, as printf would print it; the caller frees it. */
__attribute__((format(printf, 1, 2))) static inline char *print(const char *format, ...)
{
	char *text = NULL;
	va_list args;

	va_start(args, format);
	assert_true(vasprintf(&text, format, args) >= 0);
	va_end(args);
	return text;
}

static inline void assert_text(const struct sb_text *text, const char *expected)
{
	assert_false(sb_text_failed(text));
	assert_int_equal(text->len, strlen(expected));
	assert_memory_equal(text->data, expected, text->len);
}

#endif
