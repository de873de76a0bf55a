/*
 * Text of others made safe to print: a subject, a name, a server's or a
 * database's error message.
 *
 * Two forms, for a person and for a program. In both nothing is left that
 * steers a terminal, turns the direction of text round, or cannot be seen. The
 * form for programs is JSON with the same value.
 */
#ifndef SB_PROTOCOL_CLEAN_H
#define SB_PROTOCOL_CLEAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Reads one character (RFC 3629: no surrogates, nothing overlong) and returns
 * how many bytes it has; 0 when there is no valid one. The terminator is a
 * character of one byte.
 */
size_t sb_utf8_read(const char *text, uint32_t *ret_character);

/* C0, DEL, C1, and the separators of lines and paragraphs, U+2028 and U+2029. */
bool sb_is_control(uint32_t character);

/*
 * Neither a control nor a character that a reader does not see: Unicode's
 * Default_Ignorable_Code_Point and what annotates (U+FFF9 to U+FFFB). The
 * marks, embeddings, overrides and isolates of bidirectional text are among
 * those. U+FE0E and U+FE0F are printable: they choose an emoji's picture.
 */
bool sb_is_printable(uint32_t character);

/*
 * For a person: a copy of `text` for the caller to free, with escapes in place
 * of what is not printable: \n \t \x1b \u202e \U000e0041, and \xff for a byte
 * that is not UTF-8. `lines`: newlines and tabs stay, as in messages of several
 * lines. NULL: out of memory.
 */
char *sb_clean_words(const char *text, bool lines);

/*
 * For a program: a copy of `json`, a JSON text in UTF-8, for the caller to free.
 * What is not printable in its strings is escaped (RFC 8259 section 7), so its
 * value is the same. A byte that is not UTF-8 becomes U+FFFD. NULL: out of
 * memory.
 */
char *sb_clean_json(const char *json);

#endif
