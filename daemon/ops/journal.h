/*
 * The journal's own protocol: a line of the log as an entry with fields, which
 * journalctl can be asked for (SLOTBELL_SESSION=…, MESSAGE_ID=…). For as long
 * as standard error leads to the journal; anywhere else lines are text.
 *
 * Never waits: an entry that journald does not take at once is lost, and
 * counted. That is why it is not sd_journal_sendv(3), whose socket blocks the loop
 * for as long as journald is stuck. https://systemd.io/JOURNAL_NATIVE_PROTOCOL/
 */
#ifndef SB_OPS_JOURNAL_H
#define SB_OPS_JOURNAL_H

#include "daemon/base/log.h"
#include "protocol/text.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SB_JOURNAL_SOCKET "/run/systemd/journal/socket"

/* Whether standard error is a stream of the journal's: what JOURNAL_STREAM says is still true. */
bool sb_journal_is_stderr(void);

/*
 * One entry: MESSAGE, PRIORITY, MESSAGE_ID if the event has one, SLOTBELL_EVENT,
 * and SLOTBELL_… for each of its fields.
 */
void sb_journal_entry(struct sb_text *text, enum sb_log_level level, const char *event,
		      const char *fields);

/*
 * Opens the socket to send from, once. Early, before libwebsockets: its 4.1
 * closes a descriptor of its own twice at the end, and a number that is given
 * out in between would be closed for it.
 */
void sb_journal_open(void);

/* Sends it to the socket at `path`. 0 or a negative errno: -EAGAIN when journald does not keep up.
 */
int sb_journal_send(const char *path, const struct sb_text *text);

/* Entries that journald did not take, since the start. */
uint64_t sb_journal_lost(void);
/* Writes a line of the log to the journal. False: it does not answer there, and this is for
 * standard error. */
bool sb_journal_write(enum sb_log_level level, const char *event, const char *fields);

/*
 * At the end of the process: journald asks the kernel whose an entry is when it
 * takes it, and of a process that is gone it learns no more. So this waits, a
 * moment at most, until it has taken them all.
 */
void sb_journal_settle(void);

#endif
