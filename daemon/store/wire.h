/*
 * PostgreSQL's binary formats, as far as the store speaks them: arrays go in,
 * rows come out.
 *
 * Why binary: a statement over 500 ids and proofs (bigint[], bytea[]) cost the
 * server 112 us and us 23 us of CPU so, and 238 us and 55 us as text, which it
 * reads byte by byte and in which a bytea doubles (PostgreSQL 15).
 */
#ifndef SB_STORE_WIRE_H
#define SB_STORE_WIRE_H

#include "protocol/text.h"
#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* From the server's catalog/pg_type_d.h; fixed for ever. */
#define SB_PG_BOOL	  16
#define SB_PG_BYTEA	  17
#define SB_PG_INT8	  20
#define SB_PG_INT4	  23
#define SB_PG_TEXT	  25
#define SB_PG_BOOL_ARRAY  1000
#define SB_PG_BYTEA_ARRAY 1001
#define SB_PG_INT4_ARRAY  1007
#define SB_PG_TEXT_ARRAY  1009
#define SB_PG_INT8_ARRAY  1016

/* Begins an array of `count` elements; as many calls of one of those below follow. Errors stick to
 * `text`. */
void sb_pg_array_begin(struct sb_text *text, Oid element, size_t count);
void sb_pg_array_int8(struct sb_text *text, int64_t value);
void sb_pg_array_int4(struct sb_text *text, int32_t value);
void sb_pg_array_bool(struct sb_text *text, bool value);
void sb_pg_array_bytes(struct sb_text *text, const void *bytes, size_t len);
void sb_pg_array_string(struct sb_text *text, const char *string);

/* A lone int4 parameter. */
void sb_pg_param_int4(struct sb_text *text, int32_t value);

/* One row of a binary result, read column by column. */
struct sb_pg_row {
	const PGresult *result;
	int row;
	bool bad; /* something was not of the width that its type has */
};

bool sb_pg_row_is_null(const struct sb_pg_row *row, int column);
/* An int2, int4 or int8; NULL is 0. */
int64_t sb_pg_row_int(struct sb_pg_row *row, int column);
/* Text, borrowed from the result; NULL stays NULL. */
const char *sb_pg_row_text(struct sb_pg_row *row, int column);

#endif
