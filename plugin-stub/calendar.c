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
#include <sys/stat.h>
#include <unistd.h>

/* An event is 64 KiB at the most; folding and escapes at worst double that. */
#define ICS_BYTES_MAX (1024 * 1024)
#define STEM	      ".slotbell" /* of temporary files */
#define LOCK	      STEM ".lock"

struct sb_calendar {
	int dirfd;
	int lockfd;
	bool dirty; /* entries changed since the last flush */
	char path[PATH_MAX];
};

static int open_and_lock(struct sb_calendar *calendar, const char *path)
{
	int err;

	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	calendar->dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (calendar->dirfd < 0)
		return -errno;
	/* Not the folder itself: whoever may read that could hold its lock. */
	err = sb_file_lock(calendar->dirfd, LOCK, &calendar->lockfd);
	if (err)
		return err;
	sb_file_tidy(calendar->dirfd, STEM);
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
	calendar->dirfd = calendar->lockfd = -1;
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
	/* A calendar at rest holds appointments only. */
	if (calendar->lockfd >= 0) {
		unlinkat(calendar->dirfd, LOCK, 0);
		close(calendar->lockfd);
	}
	if (calendar->dirfd >= 0)
		close(calendar->dirfd);
	free(calendar);
}

/* Where an appointment is, or is to be. */
struct place {
	char name[SB_CALENDAR_NAME_MAX + 1];
	bool is_foreign; /* what has the name is another user's */
	enum sb_ical_holds holds;
	char *old; /* owned: the file's text; NULL: there is none, or it is too long to be ours */
};

static int look(struct sb_calendar *calendar, const char *uid, struct place *place)
{
	size_t len;
	int err = sb_file_read_ours(calendar->dirfd, place->name, ICS_BYTES_MAX, &place->old, &len);

	if (err)
		place->old = NULL;
	place->is_foreign = err == -EPERM;
	place->holds = err ? SB_ICAL_NOTHING : sb_ical_holds(place->old, uid);
	return err == -ENOENT || err == -EFBIG || err == -EINVAL || err == -EPERM ? 0 : err;
}

/* The first name, unless an appointment of another uid has it, or this one was written under the
 * other name for that reason. */
static int find_place(struct sb_calendar *calendar, const char *uid, struct place *place)
{
	struct place other = {.old = NULL};
	int err = sb_calendar_name(uid, place->name);

	if (!err)
		err = look(calendar, uid, place);
	if (err || place->holds == SB_ICAL_THIS || place->is_foreign)
		return err;
	err = sb_calendar_other_name(uid, other.name);
	if (!err)
		err = look(calendar, uid, &other);
	if (!err && (place->holds == SB_ICAL_ANOTHER || other.holds == SB_ICAL_THIS)) {
		free(place->old);
		*place = other;
	} else {
		free(other.old);
	}
	return err;
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
	err = sb_file_replace(calendar->dirfd, STEM, name, text, strlen(text));
	free(text);
	if (err == -EISDIR || err == -EEXIST) {
		*ret_written = SB_IN_THE_WAY;
		return 0;
	}
	if (err)
		return err;
	calendar->dirty = true;
	*ret_written = SB_WRITTEN;
	return 0;
}

static int write_there(struct sb_calendar *calendar, const struct sb_server_message *event,
		       const struct place *place, enum sb_written *ret_written)
{
	const struct sb_booking *booking = &event->event.booking;
	int64_t version;

	if (place->is_foreign || place->holds == SB_ICAL_ANOTHER) {
		*ret_written = SB_IN_THE_WAY;
		return 0;
	}
	if (place->old && !sb_ical_version(place->old, booking->uid, &version) &&
	    version >= booking->version) {
		*ret_written = SB_REPEAT;
		return 0;
	}
	return write_newer(calendar, event, place->name, place->old, ret_written);
}

int sb_calendar_write(struct sb_calendar *calendar, const struct sb_server_message *event,
		      enum sb_written *ret_written, char ret_file[PATH_MAX])
{
	const char *uid = event->event.booking.uid;
	struct place place = {.old = NULL};
	int err;

	if (!uid || !*uid) {
		ret_file[0] = '\0';
		*ret_written = SB_UNSUPPORTED;
		return 0;
	}
	err = find_place(calendar, uid, &place);
	if (!err && snprintf(ret_file, PATH_MAX, "%s/%s", calendar->path, place.name) >= PATH_MAX)
		err = -ENAMETOOLONG;
	if (!err)
		err = write_there(calendar, event, &place, ret_written);
	free(place.old);
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
