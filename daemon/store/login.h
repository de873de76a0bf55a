/*
 * Whether the role that the daemon logs in as may do more than its work: be a
 * superuser, or own what it should only call. Private to setup.c.
 */
#ifndef SB_STORE_LOGIN_H
#define SB_STORE_LOGIN_H

#include <libpq-fe.h>
#include <stddef.h>

/* One row, or none. */
extern const char sb_pg_login_sql[];

/* What is too much, in words, and what to do; "" if nothing is. */
void sb_pg_login_judge(char *ret_words, size_t size, const PGconn *conn, const PGresult *result);

#endif
