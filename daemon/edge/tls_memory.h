/*
 * OpenSSL's record buffers, kept at hand.
 *
 * With SSL_MODE_RELEASE_BUFFERS a session at rest holds no buffer, so OpenSSL
 * takes and gives back one of some 17 KB for each record that it reads or
 * writes. From malloc that is a tenth of what a small record costs, and leaves
 * holes between sessions. A few buffers serve all sessions in turn.
 */
#ifndef SB_EDGE_TLS_MEMORY_H
#define SB_EDGE_TLS_MEMORY_H

#include <stddef.h>

/* Buffers that are kept; each is SB_TLS_BUFFER_BYTES. A turn uses one or two of them at a time. */
#define SB_TLS_BUFFERS_MAX 8
/* What is asked for: from the plaintext of a record (RFC 8446 section 5.1) to that with all that
 * OpenSSL puts around it. */
#define SB_TLS_RECORD_BYTES 16384
#define SB_TLS_BUFFER_BYTES 17408

/* Once per process and before its first use of OpenSSL, which takes no other memory later.
 * 0, or -EBUSY when that was too late: then all goes on as without. */
int sb_tls_memory_setup(void);

/* Buffers at hand now. */
size_t sb_tls_memory_kept(void);

#endif
