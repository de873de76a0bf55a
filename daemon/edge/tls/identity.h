/*
 * Who the server is: a certificate with its chain and private key.
 *
 * An identity is tried before it is one, never changes, and may be made in any
 * thread. The server borrows one through its configuration; a reload makes
 * another and swaps the pointer, and handshakes under way keep what they took.
 */
#ifndef SB_EDGE_TLS_IDENTITY_H
#define SB_EDGE_TLS_IDENTITY_H

#include "daemon/edge/problem.h"
#include <stdbool.h>
#include <stdint.h>

struct sb_tls_identity;

/* Two PEM files. NULL: cannot be read, are none, or do not belong together; then ret_problems has
 * one for each file that is wrong, and a NULL key in the other. */
struct sb_tls_identity *sb_tls_identity_new(const char *certificate, const char *key,
					    struct sb_server_problem ret_problems[2]);
/* Accepts NULL. */
void sb_tls_identity_free(struct sb_tls_identity *identity);

/* Unix time in seconds: good from … until. */
void sb_tls_identity_validity(const struct sb_tls_identity *identity, int64_t *ret_not_before,
			      int64_t *ret_not_after);

/* The same certificate. */
bool sb_tls_identity_equal(const struct sb_tls_identity *a, const struct sb_tls_identity *b);

#endif
