/* Binary arrays and rows, in network byte order. See wire.h. */
#include "daemon/store/wire.h"
#include <endian.h>
#include <string.h>

static void append_int4(struct sb_text *text, int32_t value)
{
	uint32_t wire = htobe32((uint32_t)value);

	sb_text_append(text, (const char *)&wire, sizeof(wire));
}

static void append_int8(struct sb_text *text, int64_t value)
{
	uint64_t wire = htobe64((uint64_t)value);

	sb_text_append(text, (const char *)&wire, sizeof(wire));
}

void sb_pg_array_begin(struct sb_text *text, Oid element, size_t count)
{
	append_int4(text, count > 0); /* dimensions */
	append_int4(text, 0);	      /* no NULLs */
	append_int4(text, (int32_t)element);
	if (count == 0)
		return;
	append_int4(text, (int32_t)count);
	append_int4(text, 1); /* the first one's index */
}

void sb_pg_array_int8(struct sb_text *text, int64_t value)
{
	append_int4(text, 8);
	append_int8(text, value);
}

void sb_pg_array_int4(struct sb_text *text, int32_t value)
{
	append_int4(text, 4);
	append_int4(text, value);
}

void sb_pg_array_bool(struct sb_text *text, bool value)
{
	append_int4(text, 1);
	sb_text_append(text, value ? "\1" : "\0", 1);
}

void sb_pg_array_bytes(struct sb_text *text, const void *bytes, size_t len)
{
	append_int4(text, (int32_t)len);
	sb_text_append(text, bytes, len);
}

void sb_pg_array_string(struct sb_text *text, const char *string)
{
	sb_pg_array_bytes(text, string, strlen(string));
}

void sb_pg_param_int4(struct sb_text *text, int32_t value)
{
	append_int4(text, value);
}

bool sb_pg_row_is_null(const struct sb_pg_row *row, int column)
{
	return PQgetisnull(row->result, row->row, column) == 1;
}

int64_t sb_pg_row_int(struct sb_pg_row *row, int column)
{
	const char *value = PQgetvalue(row->result, row->row, column);
	uint16_t wire2;
	uint32_t wire4;
	uint64_t wire8;

	if (sb_pg_row_is_null(row, column))
		return 0;
	switch (PQgetlength(row->result, row->row, column)) {
	case 8:
		memcpy(&wire8, value, sizeof(wire8));
		return (int64_t)be64toh(wire8);
	case 4:
		memcpy(&wire4, value, sizeof(wire4));
		return (int32_t)be32toh(wire4);
	case 2:
		memcpy(&wire2, value, sizeof(wire2));
		return (int16_t)be16toh(wire2);
	default:
		row->bad = true;
		return 0;
	}
}

const char *sb_pg_row_text(struct sb_pg_row *row, int column)
{
	/* libpq puts a NUL behind every value. */
	return sb_pg_row_is_null(row, column) ? NULL : PQgetvalue(row->result, row->row, column);
}
