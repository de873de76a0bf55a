/*
 * What the server refuses, said to an operator: what is wrong, and what to do.
 * Message and SQLSTATE only; an error's DETAIL may quote personal data.
 */
#ifndef SB_STORE_WORDS_H
#define SB_STORE_WORDS_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>

#define SB_PG_WORDS_STANDBY                                                                      \
	"this server is a standby and cannot be written to; name the primary, or all hosts, in " \
	"the database URL"
#define SB_PG_WORDS_READ_ONLY "this server is read-only (default_transaction_read_only)"
#define SB_PG_WORDS_POOLED                                                                       \
	"LISTEN does not work through this connection pooler (PgBouncer in transaction mode?); " \
	"give slotbelld a URL that goes to PostgreSQL itself"
#define SB_PG_WORDS_SPLIT                                                                          \
	"a notification from one connection did not reach the other: one of them is dead, or the " \
	"database URL leads to two different servers"

/* A failed result as one line. */
void sb_pg_words(char *ret_words, size_t size, const PGconn *conn, const PGresult *result);

/* The schema's version is one that this build does not work with. */
void sb_pg_words_version(char *ret_words, size_t size, int theirs);

/*
 * Whether an error means that the connection or the schema is not what it was
 * at set-up, so that trying the same again here is in vain.
 */
bool sb_pg_error_ends_connection(const PGresult *result);

/* An integer of a result in text format; 0 when it is none. */
int sb_pg_text_int(const PGresult *result, int row, int column);

/* The five characters, or "-----" when the error is libpq's own. */
const char *sb_pg_sqlstate(const PGresult *result);

#endif
