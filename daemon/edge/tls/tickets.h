/*
 * Session tickets: a client that comes back shows one and is spared the full
 * handshake. Stateless: all of a session is in its ticket, encrypted with keys
 * that every instance reads from the same file, so it resumes anywhere.
 *
 * The file holds 1 to SB_TICKET_KEYS_MAX keys of 80 random bytes each, one
 * after the other: 16 name a key, 32 encrypt (AES-256-CBC), 32 authenticate
 * (HMAC-SHA-256). The first one encrypts; all decrypt. Rotated by putting a
 * new one in front and dropping the last.
 *
 * Keys never change once made, and may be made in any thread.
 */
#ifndef SB_EDGE_TLS_TICKETS_H
#define SB_EDGE_TLS_TICKETS_H

#include "daemon/base/ticket_file.h"
#include "daemon/edge/problem.h"
#include <stdbool.h>

struct sb_ticket_keys;

/* NULL with *ret_problem filled. Others than owner and group must not have a hand on the file. */
struct sb_ticket_keys *sb_ticket_keys_load(const char *file, struct sb_server_problem *ret_problem);
/* One random key, for this process alone. NULL when there is no memory or no randomness. */
struct sb_ticket_keys *sb_ticket_keys_random(void);
/* Wipes them. Accepts NULL. */
void sb_ticket_keys_free(struct sb_ticket_keys *keys);

/* The same keys in the same order. NULL is equal to NULL. */
bool sb_ticket_keys_equal(const struct sb_ticket_keys *a, const struct sb_ticket_keys *b);

#endif
