/* See log_fields.h. */
#include "daemon/ops/log_fields.h"
#include <string.h>

#define KEY_LETTERS "abcdefghijklmnopqrstuvwxyz_"

/* Whether a field begins here, or the line ends. */
static bool is_boundary(const char *at)
{
	size_t blanks = strspn(at, " ");

	if (!at[blanks])
		return true;
	return blanks > 0 && at[blanks + strspn(at + blanks, KEY_LETTERS)] == '=' &&
	       at[blanks] != '=';
}

/* Values are others' words, an error message's for instance, and may have quotes in them. */
static const char *closing_quote(const char *value)
{
	const char *quote = strchr(value, '"');

	while (quote && !is_boundary(quote + 1))
		quote = strchr(quote + 1, '"');
	return quote ? quote : value + strlen(value); /* the line was cut */
}

bool sb_log_field_next(const char **at, struct sb_log_field *ret_field)
{
	const char *key = *at + strspn(*at, " "), *value, *end;
	size_t key_len = strcspn(key, "= ");

	while (*key && key[key_len] != '=') {
		key += key_len;
		key += strspn(key, " ");
		key_len = strcspn(key, "= ");
	}
	if (!*key) {
		*at = key;
		return false;
	}
	value = key + key_len + 1;
	if (*value == '"') {
		value++;
		end = closing_quote(value);
		*at = end + (*end == '"');
	} else {
		end = value + strcspn(value, " ");
		*at = end;
	}
	*ret_field = (struct sb_log_field){
		.key = key, .key_len = key_len, .value = value, .value_len = (size_t)(end - value)};
	return true;
}
