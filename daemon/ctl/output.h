/*
 * What is printed: text made safe for a terminal, aligned tables, JSON lines.
 *
 * A subject, a label, even a database's error message is a stranger's text. No
 * control character of it ever reaches a terminal as it is.
 */
#ifndef SB_CTL_OUTPUT_H
#define SB_CTL_OUTPUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Out of memory: says so and exits with 1. A command has nothing to undo then. */
void sb_need(bool there);

/* sb_clean_words() of protocol/clean.h, and never NULL. The caller frees it. */
char *sb_clean(const char *text, bool lines);

/* Columns of a terminal that clean text takes. */
size_t sb_width(const char *clean);

/* Prints rows * columns cells, row by row, the first row being the titles. Cells are cleaned here;
 * NULL is shown as "-". align has one of 'l' and 'r' per column. */
void sb_print_table(const char *align, size_t rows, const char *const *cells);

/* Prints one line by sb_clean_json() and steals `value`; NULL is "out of memory". */
void sb_print_json(json_t *value);

#endif
