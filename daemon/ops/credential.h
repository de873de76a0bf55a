/*
 * Secrets that the service manager hands to a process alone: files in the folder
 * that its $CREDENTIALS_DIRECTORY names, systemd.exec(5) LoadCredential=.
 *
 * They are there as the manager found them when it started the process, so a
 * reload reads none.
 */
#ifndef SB_OPS_CREDENTIAL_H
#define SB_OPS_CREDENTIAL_H

#include <stddef.h>

/* A credential's longest text. */
#define SB_CREDENTIAL_MAX 1024

/* The database's password, for a URL that has none. */
#define SB_CREDENTIAL_PASSWORD "database-password"

/*
 * The credential `name` in `folder`, without the newline at its end, to be freed
 * by sb_credential_free(). 0, with NULL where there is none or `folder` is NULL;
 * else a negative errno: -EINVAL for one that is empty, has more than one line or
 * NUL in it; -EFBIG for one that is longer than SB_CREDENTIAL_MAX.
 */
int sb_credential_read(const char *folder, const char *name, char **ret_text);

/* The same of bytes that somebody else has read. */
int sb_credential_take(const char *bytes, size_t len, char **ret_text);

/* What is wrong with it, after that error: "it is too long for a password". */
const char *sb_credential_problem(int error);

/* Wipes it. Accepts NULL. */
void sb_credential_free(char *text);

#endif
