/*
 * Reading JSON from a peer who may mean ill: what both decoders share. Not for
 * use outside of this library.
 *
 * Everything jansson allocates for one message lies in one arena, so it goes in
 * one step, and running out of memory has one way out. (jansson 2.14 itself
 * does not look whether its lexer's buffer grew: it would read a shortened
 * string or number, run past its end, or abort.)
 *
 * Not for two threads at once: jansson's allocator is one per process, and is
 * the arena's for the length of sb_json_load().
 */
#ifndef SB_PROTOCOL_JSON_H
#define SB_PROTOCOL_JSON_H

#include "protocol/message.h"
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sb_json;

/* NULLABLE: optional, and null is an absence. */
enum sb_json_need { SB_JSON_OPTIONAL, SB_JSON_NULLABLE, SB_JSON_REQUIRED };

/*
 * Reads one JSON object: UTF-8, no field twice, no NUL in a string, nested at
 * most SB_JSON_DEPTH_MAX deep, no more than max_bytes. 0; -EPROTO with
 * *ret_refusal; or -ENOMEM.
 */
int sb_json_load(const char *bytes, size_t len, size_t max_bytes, struct sb_json **ret_json,
		 struct sb_refusal *ret_refusal);

/* The object. It and all below it live as long as `json`; reference counts mean nothing. */
const json_t *sb_json_root(const struct sb_json *json);

/* Zeroed memory that lives as long as `json`; NULL when there is none. */
void *sb_json_alloc(struct sb_json *json, size_t count, size_t size);

/* Accepts NULL. */
void sb_json_free(struct sb_json *json);

/* Fills *ret_refusal with BAD_MESSAGE and these words; -EPROTO. */
int sb_json_refuse(struct sb_refusal *ret_refusal, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * Fields of an object. `path` is the field's name from the message's type down
 * ("ack.cursor"): its last part is looked up, all of it goes into the refusal.
 * All return 0 or -EPROTO with *ret_refusal; an optional field that is absent
 * leaves *ret_... as it was. null is a value of the wrong type, unless the field is nullable.
 */

/* `min_chars` to `max_chars` code points; borrowed from the object. */
int sb_json_string(const json_t *object, const char *path, enum sb_json_need need, size_t min_chars,
		   size_t max_chars, const char **ret_string, struct sb_refusal *ret_refusal);

/* A string of less than `size` bytes, copied. */
int sb_json_copy(const json_t *object, const char *path, enum sb_json_need need, char *buffer,
		 size_t size, struct sb_refusal *ret_refusal);

/* A JSON integer: no fraction, no exponent, `min` to `max`. */
int sb_json_int(const json_t *object, const char *path, enum sb_json_need need, int64_t min,
		int64_t max, int64_t *ret_value, struct sb_refusal *ret_refusal);

int sb_json_cursor(const json_t *object, const char *path, enum sb_json_need need,
		   struct sb_cursor *ret_cursor, struct sb_refusal *ret_refusal);

int sb_json_object(const json_t *object, const char *path, enum sb_json_need need,
		   const json_t **ret_object, struct sb_refusal *ret_refusal);

/* A list of at most `max` items. */
int sb_json_list(const json_t *object, const char *path, enum sb_json_need need, size_t max,
		 const json_t **ret_list, struct sb_refusal *ret_refusal);

/* features: a list of short strings. Nobody knows any yet, so they are only checked. */
int sb_json_features(const json_t *object, const char *path, struct sb_refusal *ret_refusal);

#endif
