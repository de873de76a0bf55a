/*
 * A file of session ticket keys: 1 to SB_TICKET_KEYS_MAX of them, one after the
 * other, the newest first. The edge reads it, doctor looks at it.
 */
#ifndef SB_BASE_TICKET_FILE_H
#define SB_BASE_TICKET_FILE_H

#define SB_TICKET_KEY_BYTES 80
#define SB_TICKET_KEYS_MAX  8

#endif
