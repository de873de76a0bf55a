/* Entries, and the datagrams that carry them; see journal.h. */
#include "daemon/ops/journal.h"
#include "daemon/ops/log_events.h"
#include "daemon/ops/log_fields.h"
#include "protocol/text.h"
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* What sb_journal_settle() takes: until the entries are taken, and until journald has looked. */
#define SETTLE_MS 2000
#define LOOK_MS	  20

static struct {
	int fd; /* + 1; 0: none yet */
	uint64_t lost, told;
} the_journal;

bool sb_journal_is_stderr(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	struct stat now;
	char text[64];

	if (!stream || fstat(STDERR_FILENO, &now) != 0)
		return false;
	(void)snprintf(text, sizeof(text), "%ju:%ju", (uintmax_t)now.st_dev, (uintmax_t)now.st_ino);
	return !strcmp(stream, text);
}

/* ---- entries ---- */

/* No value of ours has a line's end in it: sb_log() takes them out. */
static void append(struct sb_text *text, const char *name, const char *value, size_t len)
{
	sb_text_append_string(text, name);
	sb_text_append_string(text, "=");
	sb_text_append(text, value, len);
	sb_text_append_string(text, "\n");
}

/* Names in the journal are of capitals, digits and underscores, and at most 64 long. */
static void append_field(struct sb_text *text, const struct sb_log_field *field)
{
	char name[64] = "SLOTBELL_";
	size_t len = strlen(name);

	for (size_t i = 0; i < field->key_len && len < sizeof(name) - 1; i++) {
		unsigned char c = (unsigned char)field->key[i];

		name[len++] = isalnum(c) ? (char)toupper(c) : '_';
	}
	name[len] = '\0';
	append(text, name, field->value, field->value_len);
}

void sb_journal_entry(struct sb_text *text, enum sb_log_level level, const char *event,
		      const char *fields)
{
	const char *id = sb_log_event_id(event), *at = fields;
	const char priority = (char)('0' + SB_LOG_PRIORITY(level));
	struct sb_log_field field;

	sb_text_append_string(text, "MESSAGE=");
	sb_text_append_string(text, event);
	if (*fields) {
		sb_text_append_string(text, ": ");
		sb_text_append_string(text, fields);
	}
	sb_text_append_string(text, "\n");
	append(text, "PRIORITY", &priority, 1);
	append(text, "SYSLOG_IDENTIFIER", "slotbelld", strlen("slotbelld"));
	if (id)
		append(text, "MESSAGE_ID", id, strlen(id));
	append(text, "SLOTBELL_EVENT", event, strlen(event));
	while (sb_log_field_next(&at, &field))
		append_field(text, &field);
}

/* ---- datagrams ---- */

void sb_journal_open(void)
{
	if (!the_journal.fd)
		the_journal.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) + 1;
}

int sb_journal_send(const char *path, const struct sb_text *text)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path));
	sb_journal_open();
	if (!the_journal.fd)
		return -errno;
	/* To an address each time: journald may be started anew. */
	if (sendto(the_journal.fd - 1, text->data, text->len, MSG_DONTWAIT | MSG_NOSIGNAL,
		   (const struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	return 0;
}

uint64_t sb_journal_lost(void)
{
	return the_journal.lost;
}

static int send_line(enum sb_log_level level, const char *event, const char *fields)
{
	struct sb_text text;
	int result;

	sb_text_init(&text);
	sb_journal_entry(&text, level, event, fields);
	result = sb_text_failed(&text) ? -ENOMEM : sb_journal_send(SB_JOURNAL_SOCKET, &text);
	sb_text_fini(&text);
	return result;
}

static void tell_lost(void)
{
	uint64_t untold = the_journal.lost - the_journal.told;
	char fields[64];

	if (!untold)
		return;
	(void)snprintf(fields, sizeof(fields), "count=%" PRIu64, untold);
	if (send_line(SB_LOG_WARNING, "log lines lost", fields) == 0)
		the_journal.told += untold;
}

bool sb_journal_write(enum sb_log_level level, const char *event, const char *fields)
{
	int result = send_line(level, event, fields);

	if (result == -EAGAIN || result == -EWOULDBLOCK || result == -ENOBUFS ||
	    result == -ENOMEM) {
		the_journal.lost++;
		return true; /* its stream would make us wait */
	}
	if (result == 0)
		tell_lost();
	return result == 0;
}

void sb_journal_settle(void)
{
	int left = 0;

	if (!the_journal.fd)
		return;
	/* Bytes that were sent and not received yet: nobody tells when they are. */
	for (int ms = 0; ms < SETTLE_MS; ms++) {
		if (ioctl(the_journal.fd - 1, SIOCOUTQ, &left) != 0 || left == 0)
			break;
		(void)poll(NULL, 0, 1);
	}
	(void)poll(NULL, 0, LOOK_MS);
}
