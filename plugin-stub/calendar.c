/*
 * The folder of appointments: decides by version what is written, and lets
 * several bookings that came together share one flush of the folder. Called
 * by the client for each booking message; acks are none of its business.
 */
#include "plugin-stub/calendar.h"

#include "plugin-stub/calendar_name.h"
#include "plugin-stub/file.h"
#include "plugin-stub/ical.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* An event is 64 KiB at the most; folding and escapes at worst double that. */
#define ICS_BYTES_MAX (1024 * 1024)
/* One at a time, since the folder is locked; overwritten by the next write if a crash leaves it. */
#define TEMPORARY ".slotbell.tmp"

struct sb_calendar {
	int dirfd;
	bool dirty; /* entries changed since the last flush */
	char path[PATH_MAX];
};

static int open_and_lock(struct sb_calendar *calendar, const char *path)
{
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	calendar->dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (calendar->dirfd < 0)
		return -errno;
	if (flock(calendar->dirfd, LOCK_EX | LOCK_NB) < 0)
		return -errno;
	if (!realpath(path, calendar->path))
		return -errno;
	return 0;
}

int sb_calendar_open(const char *path, struct sb_calendar **ret_calendar)
{
	struct sb_calendar *calendar = calloc(1, sizeof(*calendar));
	int err;

	if (!calendar)
		return -ENOMEM;
	calendar->dirfd = -1;
	/* A run that crashed may have left entries that are not on the disk yet. */
	calendar->dirty = true;
	err = open_and_lock(calendar, path);
	if (err) {
		sb_calendar_close(calendar);
		return err;
	}
	sb_ical_setup();
	*ret_calendar = calendar;
	return 0;
}

void sb_calendar_close(struct sb_calendar *calendar)
{
	if (!calendar)
		return;
	if (calendar->dirfd >= 0)
		close(calendar->dirfd);
	free(calendar);
}

/* The appointment as it stands, or *ret_text NULL: none there, or one that no calendar could read.
 */
static int read_existing(struct sb_calendar *calendar, const char *name, char **ret_text)
{
	size_t len;
	int err = sb_file_read(calendar->dirfd, name, ICS_BYTES_MAX, ret_text, &len);

	if (!err)
		return 0;
	*ret_text = NULL;
	return err == -ENOENT || err == -EFBIG || err == -EINVAL ? 0 : err;
}

static int write_newer(struct sb_calendar *calendar, const struct sb_server_message *event,
		       const char *name, const char *old, enum sb_written *ret_written)
{
	char *text;
	int err = sb_ical_write(event, old, &text);

	if (err == -ENOTSUP) {
		*ret_written = SB_UNSUPPORTED;
		return 0;
	}
	if (err)
		return err;
	err = sb_file_replace(calendar->dirfd, TEMPORARY, name, text, strlen(text));
	free(text);
	if (err == -EISDIR) {
		*ret_written = SB_IN_THE_WAY;
		return 0;
	}
	if (err)
		return err;
	calendar->dirty = true;
	*ret_written = SB_WRITTEN;
	return 0;
}

int sb_calendar_write(struct sb_calendar *calendar, const struct sb_server_message *event,
		      enum sb_written *ret_written, char ret_file[PATH_MAX])
{
	const struct sb_booking *booking = &event->event.booking;
	char name[SB_CALENDAR_NAME_MAX + 1];
	int64_t version;
	char *old;
	int err;

	if (!booking->uid || !*booking->uid) {
		ret_file[0] = '\0';
		*ret_written = SB_UNSUPPORTED;
		return 0;
	}
	err = sb_calendar_name(booking->uid, name);
	if (err)
		return err;
	if (snprintf(ret_file, PATH_MAX, "%s/%s", calendar->path, name) >= PATH_MAX)
		return -ENAMETOOLONG;
	err = read_existing(calendar, name, &old);
	if (err)
		return err;
	if (old && !sb_ical_version(old, booking->uid, &version) && version >= booking->version)
		*ret_written = SB_REPEAT;
	else
		err = write_newer(calendar, event, name, old, ret_written);
	free(old);
	return err;
}

int sb_calendar_sync(struct sb_calendar *calendar)
{
	int err;

	if (!calendar->dirty)
		return 0;
	err = sb_file_sync_folder(calendar->dirfd);
	if (!err)
		calendar->dirty = false;
	return err;
}
