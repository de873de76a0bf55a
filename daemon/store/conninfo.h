/*
 * What a connection URL, or a key=value string, may be shown of: it may have a
 * password. libpq knows which of its options are secret. slotbellctl uses this too.
 */
#ifndef SB_STORE_CONNINFO_H
#define SB_STORE_CONNINFO_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdio.h>

/*
 * A password with an unescaped @ or / spills over into what libpq takes for
 * host, port or database name, and would be shown in its errors and our log.
 */
bool sb_conninfo_has_spilled(const PQconninfoOption *options);

/*
 * Prints it as key=value, on one line without its end, that can be read again:
 * each secret as ***, and what cannot be read as nothing but
 * "(hidden: cannot be read)".
 */
void sb_conninfo_print(const char *text, FILE *out);

#endif
