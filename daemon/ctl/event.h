/* One event of a mailbox, as `slotbellctl tail` reads and shows it. */
#ifndef SB_CTL_EVENT_H
#define SB_CTL_EVENT_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * The columns that the functions below expect, to be selected from
 * slotbell.events_after(); their order is this file's affair.
 */
extern const char sb_event_columns[];

/* Rows without an event tell only head and epoch. */
bool sb_event_is_there(const PGresult *result, int row);
int64_t sb_event_seq(const PGresult *result, int row);
int64_t sb_event_head(const PGresult *result, int row);
/* Lives as long as the result. */
const char *sb_event_epoch(const PGresult *result, int row);

/* A line for people on standard output, with control characters escaped. */
void sb_event_print(const PGresult *result, int row);

/* The message that a plug-in gets for this event (docs/protocol.md), as one line. */
void sb_event_print_json(const PGresult *result, int row);

#endif
