/* A new device's secret, and what the database is given of it. */
#ifndef SB_CTL_SECRET_H
#define SB_CTL_SECRET_H

#include "protocol/token.h"

/* Salt and hash are text parameters for bytea. */
struct sb_secret {
	struct sb_token token; /* its device_id is the caller's to fill in; to be wiped */
	char salt[2 * SB_TOKEN_SALT_BYTES + 3];
	char hash[2 * SB_TOKEN_HASH_BYTES + 3];
};

/* 0 or -EIO: the system gives no randomness. */
int sb_secret_new(struct sb_secret *ret_secret);

#endif
