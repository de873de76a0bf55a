/*
 * A growable text that messages are written into, and the JSON spelling of
 * strings (RFC 8259 section 7).
 *
 * Errors are sticky: after an allocation failed every append does nothing and
 * sb_text_failed() says so, so a writer checks once, at its end.
 *
 * Why not jansson here: a booking is encoded once per event on the hot path,
 * and building a tree in order to print it costs several times the printing.
 * Whatever is decoded goes through jansson.
 */
#ifndef SB_PROTOCOL_TEXT_H
#define SB_PROTOCOL_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sb_text {
	char *data;  /* owned; not terminated */
	size_t len;  /* bytes used */
	size_t size; /* bytes allocated */
	bool failed; /* out of memory happened */
};

void sb_text_init(struct sb_text *text);
/* Frees the memory; the text is empty and usable again. Accepts NULL. */
void sb_text_fini(struct sb_text *text);
/* Forgets the contents and the failure, keeps the memory. */
void sb_text_clear(struct sb_text *text);
bool sb_text_failed(const struct sb_text *text);

void sb_text_append(struct sb_text *text, const char *bytes, size_t len);
void sb_text_append_string(struct sb_text *text, const char *string);
void sb_text_append_int(struct sb_text *text, int64_t value);
/* The JSON string of `len` bytes of valid UTF-8, with its quotes. */
void sb_text_append_json(struct sb_text *text, const char *bytes, size_t len);
/* An instant in quotes, spelled as instant.h says: with six digits of fraction if `micros`. */
void sb_text_append_instant(struct sb_text *text, int64_t unix_us, bool micros);

#endif
