/* Fields of a parsed object, each checked for type and bounds before anyone believes it. */
#include "protocol/json.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* 1: it is there; 0: it is absent and may be; or -EPROTO. */
static int find(const json_t *object, const char *path, enum sb_json_need need,
		const json_t **ret_value, struct sb_refusal *ret_refusal)
{
	const char *dot = strrchr(path, '.');

	*ret_value = json_object_get(object, dot ? dot + 1 : path);
	if (json_is_null(*ret_value) && need == SB_JSON_NULLABLE)
		*ret_value = NULL;
	if (*ret_value)
		return 1;
	if (need != SB_JSON_REQUIRED)
		return 0;
	return sb_json_refuse(ret_refusal, "%s is missing", path);
}

/* The same for a string. */
static int find_string(const json_t *object, const char *path, enum sb_json_need need,
		       const json_t **ret_value, struct sb_refusal *ret_refusal)
{
	int found = find(object, path, need, ret_value, ret_refusal);

	if (found > 0 && !json_is_string(*ret_value))
		return sb_json_refuse(ret_refusal, "%s is not a string", path);
	return found;
}

/* Of text that jansson took for UTF-8: all bytes but continuations begin a character. */
static size_t count_chars(const char *string)
{
	size_t count = 0;

	for (; *string; string++)
		count += ((unsigned char)*string & 0xc0) != 0x80;
	return count;
}

int sb_json_string(const json_t *object, const char *path, enum sb_json_need need, size_t min_chars,
		   size_t max_chars, const char **ret_string, struct sb_refusal *ret_refusal)
{
	const json_t *value;
	const char *string;
	size_t chars;
	int found = find_string(object, path, need, &value, ret_refusal);

	if (found <= 0)
		return found;
	string = json_string_value(value);
	chars = count_chars(string);
	if (chars < min_chars)
		return sb_json_refuse(ret_refusal, "%s is empty", path);
	if (chars > max_chars)
		return sb_json_refuse(ret_refusal, "%s is longer than %zu characters", path,
				      max_chars);
	*ret_string = string;
	return 0;
}

int sb_json_copy(const json_t *object, const char *path, enum sb_json_need need, char *buffer,
		 size_t size, struct sb_refusal *ret_refusal)
{
	const json_t *value;
	size_t len;
	int found = find_string(object, path, need, &value, ret_refusal);

	if (found <= 0)
		return found;
	len = json_string_length(value);
	if (len >= size)
		return sb_json_refuse(ret_refusal, "%s is longer than %zu bytes", path, size - 1);
	memcpy(buffer, json_string_value(value), len + 1);
	return 0;
}

int sb_json_int(const json_t *object, const char *path, enum sb_json_need need, int64_t min,
		int64_t max, int64_t *ret_value, struct sb_refusal *ret_refusal)
{
	const json_t *value;
	int64_t integer;
	int found = find(object, path, need, &value, ret_refusal);

	if (found <= 0)
		return found;
	if (!json_is_integer(value))
		return sb_json_refuse(ret_refusal, "%s is not an integer", path);
	integer = json_integer_value(value);
	if (integer < min)
		return sb_json_refuse(ret_refusal, "%s is less than %" PRId64, path, min);
	if (integer > max)
		return sb_json_refuse(ret_refusal, "%s is more than %" PRId64, path, max);
	*ret_value = integer;
	return 0;
}

int sb_json_cursor(const json_t *object, const char *path, enum sb_json_need need,
		   struct sb_cursor *ret_cursor, struct sb_refusal *ret_refusal)
{
	const json_t *value;
	int found = find_string(object, path, need, &value, ret_refusal);

	if (found <= 0)
		return found;
	if (sb_cursor_parse(json_string_value(value), json_string_length(value), ret_cursor) < 0)
		return sb_json_refuse(ret_refusal, "%s is not EPOCH.SEQ", path);
	return 0;
}

int sb_json_object(const json_t *object, const char *path, enum sb_json_need need,
		   const json_t **ret_object, struct sb_refusal *ret_refusal)
{
	const json_t *value;
	int found = find(object, path, need, &value, ret_refusal);

	if (found <= 0)
		return found;
	if (!json_is_object(value))
		return sb_json_refuse(ret_refusal, "%s is not an object", path);
	*ret_object = value;
	return 0;
}

int sb_json_list(const json_t *object, const char *path, enum sb_json_need need, size_t max,
		 const json_t **ret_list, struct sb_refusal *ret_refusal)
{
	const json_t *value;
	int found = find(object, path, need, &value, ret_refusal);

	if (found <= 0)
		return found;
	if (!json_is_array(value))
		return sb_json_refuse(ret_refusal, "%s is not a list", path);
	if (json_array_size(value) > max)
		return sb_json_refuse(ret_refusal, "%s has more than %zu items", path, max);
	*ret_list = value;
	return 0;
}

int sb_json_features(const json_t *object, const char *path, struct sb_refusal *ret_refusal)
{
	const json_t *list = NULL, *feature;
	size_t i;
	int result =
		sb_json_list(object, path, SB_JSON_OPTIONAL, SB_FEATURES_MAX, &list, ret_refusal);

	if (result < 0 || !list)
		return result;
	json_array_foreach(list, i, feature)
	{
		if (!json_is_string(feature))
			return sb_json_refuse(ret_refusal, "%s[%zu] is not a string", path, i);
		if (json_string_length(feature) < 1)
			return sb_json_refuse(ret_refusal, "%s[%zu] is empty", path, i);
		if (json_string_length(feature) > SB_FEATURE_MAX)
			return sb_json_refuse(ret_refusal, "%s[%zu] is longer than %d bytes", path,
					      i, SB_FEATURE_MAX);
	}
	return 0;
}
