/* The fields of a log line, key=value or key="value with spaces", taken apart. */
#ifndef SB_OPS_LOG_FIELDS_H
#define SB_OPS_LOG_FIELDS_H

#include <stdbool.h>
#include <stddef.h>

/* Borrowed from the line; the value without its quotes. */
struct sb_log_field {
	const char *key, *value;
	size_t key_len, value_len;
};

/*
 * The next field from *at on, which moves behind it. False: there is none. A
 * quote within a value does not end it: only one that another field or the end
 * of the line follows does.
 */
bool sb_log_field_next(const char **at, struct sb_log_field *ret_field);

#endif
