/* One JSON object from a peer, parsed by jansson into an arena. */
#include "protocol/json.h"
#include <errno.h>
#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_BYTES 4096 /* acks and hellos fit */

struct chunk {
	struct chunk *next;
	size_t size; /* of bytes */
	alignas(max_align_t) char bytes[];
};

struct sb_json {
	json_t *root;
	struct chunk *chunks; /* the newest first; all but the first piece, which is in here */
	char *at, *end;	      /* the free part of the newest piece */
	size_t next_bytes;    /* how large the next chunk is at least */
	jmp_buf out_of_memory;
	alignas(max_align_t) char first[FIRST_BYTES];
};

/* jansson's hooks carry no context of ours. NULL but during sb_json_load(). */
static struct sb_json *loading;

static void *arena_alloc(struct sb_json *json, size_t size)
{
	const size_t align = alignof(max_align_t);
	struct chunk *chunk;
	char *at;

	/* A size is bounded by the message, whose length was checked: no overflow. */
	size = (size + align - 1) / align * align;
	if (size > (size_t)(json->end - json->at)) {
		size_t bytes = size > json->next_bytes ? size : json->next_bytes;

		chunk = malloc(sizeof(*chunk) + bytes);
		if (!chunk)
			return NULL;
		chunk->next = json->chunks;
		chunk->size = bytes;
		json->chunks = chunk;
		json->at = chunk->bytes;
		json->end = chunk->bytes + bytes;
		json->next_bytes *= 2;
	}
	at = json->at;
	json->at += size;
	return at;
}

static void *hook_malloc(size_t size)
{
	void *memory = arena_alloc(loading, size);

	/* Never back into jansson with NULL: see json.h. All it holds is in the arena. */
	if (!memory)
		longjmp(loading->out_of_memory, 1);
	return memory;
}

static void hook_free(void *memory)
{
	(void)memory; /* the arena goes as a whole */
}

static int parse(struct sb_json *json, const char *bytes, size_t len, json_error_t *ret_error)
{
	json_malloc_t outer_malloc;
	json_free_t outer_free;
	int result;

	json_get_alloc_funcs(&outer_malloc, &outer_free);
	json_set_alloc_funcs(hook_malloc, hook_free);
	loading = json;
	if (setjmp(json->out_of_memory) == 0) {
		json->root = json_loadb(bytes, len, JSON_REJECT_DUPLICATES, ret_error);
		result = json->root ? 0 : -EPROTO;
	} else {
		result = -ENOMEM;
	}
	loading = NULL;
	json_set_alloc_funcs(outer_malloc, outer_free);
	return result;
}

int sb_json_refuse(struct sb_refusal *ret_refusal, const char *format, ...)
{
	va_list args;

	ret_refusal->reason = SB_REASON_BAD_MESSAGE;
	va_start(args, format);
	(void)vsnprintf(ret_refusal->detail, sizeof(ret_refusal->detail), format, args);
	va_end(args);
	return -EPROTO;
}

/*
 * Before jansson sees it: is this an object, and not nested deeper than we
 * follow? jansson would recurse 2048 deep. Brackets in strings do not count.
 */
static int check_shape(const char *bytes, size_t len, struct sb_refusal *ret_refusal)
{
	size_t i = 0;
	int depth = 0;
	bool in_string = false;

	while (i < len && strchr(" \t\r\n", bytes[i]) && bytes[i])
		i++;
	if (i == len || bytes[i] != '{')
		return sb_json_refuse(ret_refusal, "not a JSON object");
	for (; i < len; i++) {
		switch (bytes[i]) {
		case '"':
			in_string = !in_string;
			break;
		case '\\':
			i += in_string;
			break;
		case '{':
		case '[':
			depth += !in_string;
			if (depth > SB_JSON_DEPTH_MAX)
				return sb_json_refuse(ret_refusal, "nested deeper than %d",
						      SB_JSON_DEPTH_MAX);
			break;
		case '}':
		case ']':
			depth -= !in_string;
			break;
		default:
			break;
		}
	}
	return 0;
}

/* jansson's own words repeat the input: ours do not. */
static int refuse_syntax(json_error_t *error, struct sb_refusal *ret_refusal)
{
	switch (json_error_code(error)) {
	case json_error_invalid_utf8:
		return sb_json_refuse(ret_refusal, "not UTF-8, at byte %d", error->position);
	case json_error_duplicate_key:
		return sb_json_refuse(ret_refusal, "a field is there twice");
	case json_error_null_character:
	case json_error_null_byte_in_key:
		return sb_json_refuse(ret_refusal, "a NUL character in a string");
	case json_error_numeric_overflow:
		return sb_json_refuse(ret_refusal, "a number is out of range");
	default:
		return sb_json_refuse(ret_refusal, "not JSON, at byte %d", error->position);
	}
}

int sb_json_load(const char *bytes, size_t len, size_t max_bytes, struct sb_json **ret_json,
		 struct sb_refusal *ret_refusal)
{
	json_error_t error;
	struct sb_json *json;
	int result;

	if (len > max_bytes) {
		(void)sb_json_refuse(ret_refusal, "longer than %zu bytes", max_bytes);
		ret_refusal->reason = SB_REASON_TOO_BIG;
		return -EPROTO;
	}
	result = check_shape(bytes, len, ret_refusal);
	if (result < 0)
		return result;
	json = malloc(sizeof(*json));
	if (!json)
		return -ENOMEM;
	json->root = NULL;
	json->chunks = NULL;
	json->at = json->first;
	json->end = json->first + FIRST_BYTES;
	json->next_bytes = 4 * FIRST_BYTES;
	result = parse(json, bytes, len, &error);
	if (result == -EPROTO)
		(void)refuse_syntax(&error, ret_refusal);
	if (result < 0)
		sb_json_free(json);
	else
		*ret_json = json;
	return result;
}

const json_t *sb_json_root(const struct sb_json *json)
{
	return json->root;
}

void *sb_json_alloc(struct sb_json *json, size_t count, size_t size)
{
	void *memory = arena_alloc(json, count * size);

	return memory ? memset(memory, 0, count * size) : NULL;
}

void sb_json_free(struct sb_json *json)
{
	if (!json)
		return;
	/* A hello's token was in here. It fits into the first piece, but not for certain. */
	while (json->chunks) {
		struct chunk *chunk = json->chunks;

		json->chunks = chunk->next;
		explicit_bzero(chunk->bytes, chunk->size);
		free(chunk);
	}
	explicit_bzero(json->first, sizeof(json->first));
	free(json);
}
