/* The folder of appointments: a version is written once, older ones never, and a flush is a flush.
 */
#include "plugin-stub/calendar.h"

#include "faults.h"
#include "plugin-stub/calendar_name.h"
#include "plugin_event.h"
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
/* cmocka.h wants those above before it */
#include <cmocka.h>

#define ICS_BYTES_MAX (1024 * 1024)

struct place {
	char *folder;
	struct sb_calendar *calendar;
};

static int set_up(void **state)
{
	struct place *place = malloc(sizeof(*place));

	assert_non_null(place);
	place->folder = folder_new();
	assert_int_equal(sb_calendar_open(place->folder, &place->calendar), 0);
	faults_clear();
	*state = place;
	return 0;
}

static int tear_down(void **state)
{
	struct place *place = *state;

	faults_clear();
	sb_calendar_close(place->calendar);
	folder_free(place->folder);
	free(place);
	return 0;
}

static enum sb_written put(const struct place *place, const struct sb_server_message *event)
{
	enum sb_written written;
	char file[PATH_MAX];

	assert_int_equal(sb_calendar_write(place->calendar, event, &written, file), 0);
	return written;
}

static enum sb_written put_subject(const struct place *place, enum sb_change change,
				   int64_t version, const char *subject)
{
	struct sb_server_message event = event_of(change, "one", version);

	event.event.booking.subject = subject;
	return put(place, &event);
}

static void assert_holds(const struct place *place, const char *name, const char *part)
{
	char *text = file_get(place->folder, name);

	assert_non_null(text);
	if (!strstr(text, part))
		fail_msg("\"%s\" is not in:\n%s", part, text);
	free(text);
}

static void an_update_replaces_the_appointment(void **state)
{
	const struct place *place = *state;

	assert_int_equal(put_subject(place, SB_CHANGE_CREATED, 1, "First"), SB_WRITTEN);
	assert_holds(place, "one.ics", "SUMMARY:First");
	assert_int_equal(put_subject(place, SB_CHANGE_UPDATED, 2, "Second"), SB_WRITTEN);
	assert_holds(place, "one.ics", "SUMMARY:Second");
	assert_holds(place, "one.ics", "SEQUENCE:1");
	assert_holds(place, "one.ics", "X-SLOTBELL-VERSION:2");
	assert_int_equal(folder_count(place->folder), 1);
}

static void the_same_version_is_written_once(void **state)
{
	const struct place *place = *state;

	assert_int_equal(put_subject(place, SB_CHANGE_CREATED, 5, "First"), SB_WRITTEN);
	assert_int_equal(put_subject(place, SB_CHANGE_UPDATED, 5, "Again"), SB_REPEAT);
	assert_holds(place, "one.ics", "SUMMARY:First");
}

static void an_older_version_never_overwrites_a_newer_one(void **state)
{
	const struct place *place = *state;
	struct sb_server_message cancellation = bare_cancellation("one", 4);

	assert_int_equal(put_subject(place, SB_CHANGE_CREATED, 5, "Newest"), SB_WRITTEN);
	assert_int_equal(put_subject(place, SB_CHANGE_CREATED, 4, "Older"), SB_REPEAT);
	assert_int_equal(put(place, &cancellation), SB_REPEAT);
	assert_holds(place, "one.ics", "SUMMARY:Newest");
	assert_holds(place, "one.ics", "STATUS:CONFIRMED");
}

static void versions_beyond_32_bits_are_told_apart(void **state)
{
	const struct place *place = *state;

	assert_int_equal(put_subject(place, SB_CHANGE_CREATED, 3000000001, "Newer"), SB_WRITTEN);
	assert_int_equal(put_subject(place, SB_CHANGE_UPDATED, 3000000000, "Older"), SB_REPEAT);
	assert_int_equal(put_subject(place, SB_CHANGE_UPDATED, 3000000002, "Newest"), SB_WRITTEN);
	assert_holds(place, "one.ics", "SUMMARY:Newest");
}

static void a_late_create_does_not_revive_what_was_cancelled(void **state)
{
	const struct place *place = *state;
	struct sb_server_message cancellation = bare_cancellation("one", 5);

	assert_int_equal(put(place, &cancellation), SB_WRITTEN); /* before it was ever seen */
	assert_int_equal(put_subject(place, SB_CHANGE_CREATED, 4, "Late"), SB_REPEAT);
	assert_holds(place, "one.ics", "STATUS:CANCELLED");
	/* A later one is another decision of the booking platform's. */
	assert_int_equal(put_subject(place, SB_CHANGE_CREATED, 6, "Anew"), SB_WRITTEN);
	assert_holds(place, "one.ics", "STATUS:CONFIRMED");
}

static void a_cancellation_keeps_what_the_appointment_was(void **state)
{
	const struct place *place = *state;
	struct sb_server_message cancellation = bare_cancellation("one", 2);

	put_subject(place, SB_CHANGE_CREATED, 1, "Intro");
	assert_int_equal(put(place, &cancellation), SB_WRITTEN);
	assert_holds(place, "one.ics", "STATUS:CANCELLED");
	assert_holds(place, "one.ics", "SUMMARY:Intro");
	assert_holds(place, "one.ics", "DTSTART:20261124T090000Z");
}

static void what_nobody_can_read_is_written_anew(void **state)
{
	static const char *const texts[] = {"", "garbage", "BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n"};
	const struct place *place = *state;

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		file_put(place->folder, "one.ics", texts[i]);
		assert_int_equal(put_subject(place, SB_CHANGE_CREATED, 1, "Intro"), SB_WRITTEN);
		assert_holds(place, "one.ics", "SUMMARY:Intro");
	}
}

static void an_appointment_is_read_up_to_a_limit(void **state)
{
	const struct place *place = *state;
	char *text = malloc(ICS_BYTES_MAX + 2);

	assert_non_null(text);
	for (size_t len = ICS_BYTES_MAX - 1; len <= ICS_BYTES_MAX + 1; len++) {
		char *own;
		size_t own_len;

		assert_true(unlink(in_folder(place->folder, "one.ics")) == 0 || errno == ENOENT);
		put_subject(place, SB_CHANGE_CREATED, 9, "Intro");
		own = file_get(place->folder, "one.ics");
		own_len = strlen(own);
		memcpy(text, own, own_len);
		memset(text + own_len, '\n', len - own_len);
		text[len] = '\0';
		free(own);
		file_put(place->folder, "one.ics", text);
		/* Too long to be one of ours: then it does not count. */
		assert_int_equal(put_subject(place, SB_CHANGE_UPDATED, 8, "Older"),
				 len <= ICS_BYTES_MAX ? SB_REPEAT : SB_WRITTEN);
	}
	free(text);
}

static void what_is_unsupported_changes_nothing(void **state)
{
	const struct place *place = *state;
	struct sb_server_message event = event_of(SB_CHANGE_CREATED, "one", 1);

	event.event.booking.has_starts_at = false;
	assert_int_equal(put(place, &event), SB_UNSUPPORTED);
	event = event_of(SB_CHANGE_CREATED, "", 1);
	assert_int_equal(put(place, &event), SB_UNSUPPORTED);
	assert_int_equal(folder_count(place->folder), 0);
}

static void a_folder_in_the_way_is_no_trouble_with_the_disk(void **state)
{
	const struct place *place = *state;

	assert_int_equal(mkdir(in_folder(place->folder, "one.ics"), 0700), 0);
	assert_int_equal(put_subject(place, SB_CHANGE_CREATED, 1, "Intro"), SB_IN_THE_WAY);
	assert_int_equal(folder_count(place->folder), 1);
}

static void a_link_in_its_place_is_replaced_not_followed(void **state)
{
	const struct place *place = *state;

	file_put(place->folder, "precious", "mine");
	assert_int_equal(symlink("precious", in_folder(place->folder, "one.ics")), 0);
	assert_int_equal(put_subject(place, SB_CHANGE_CREATED, 1, "Intro"), SB_WRITTEN);
	assert_holds(place, "precious", "mine");
	assert_holds(place, "one.ics", "SUMMARY:Intro");
}

static void as_another_user(const struct place *place, const char *name)
{
	if (geteuid() != 0)
		skip();
	assert_int_equal(lchown(in_folder(place->folder, name), 65534, 65534), 0);
}

/* A planted newer version would hold the booking back for ever. */
static void what_another_user_planted_is_neither_believed_nor_removed(void **state)
{
	const struct place *place = *state;

	assert_int_equal(put_subject(place, SB_CHANGE_CREATED, 99, "Theirs"), SB_WRITTEN);
	as_another_user(place, "one.ics");
	assert_int_equal(put_subject(place, SB_CHANGE_CREATED, 1, "Ours"), SB_IN_THE_WAY);
	assert_holds(place, "one.ics", "SUMMARY:Theirs");
	assert_int_equal(unlink(in_folder(place->folder, "one.ics")), 0);
	file_put(place->folder, "precious", "mine");
	assert_int_equal(symlink("precious", in_folder(place->folder, "one.ics")), 0);
	as_another_user(place, "one.ics");
	assert_int_equal(put_subject(place, SB_CHANGE_CREATED, 1, "Ours"), SB_IN_THE_WAY);
	assert_holds(place, "precious", "mine");
	assert_int_equal(unlink(in_folder(place->folder, "one.ics")), 0);
	assert_int_equal(put_subject(place, SB_CHANGE_CREATED, 1, "Ours"), SB_WRITTEN);
}

/* A sticky folder lets nobody replace another's file: that is no trouble with the disk. */
static void what_may_not_be_replaced_is_in_the_way(void **state)
{
	const struct place *place = *state;

	faults.fail_at = 5; /* the rename */
	faults.error = EPERM;
	assert_int_equal(put_subject(place, SB_CHANGE_CREATED, 1, "Ours"), SB_IN_THE_WAY);
	assert_int_equal(folder_count(place->folder), 0);
}

static struct sb_server_message version_of(const char *uid, int64_t version)
{
	return event_of(SB_CHANGE_UPDATED, uid, version);
}

/* As on a file system where the names of "one" and "ONE" are one. */
static void two_uids_with_one_name_have_a_file_each(void **state)
{
	const struct place *place = *state;
	struct sb_server_message ONE = version_of("ONE", 2);
	char name[SB_CALENDAR_NAME_MAX + 1];

	assert_int_equal(put_subject(place, SB_CHANGE_CREATED, 1, "First"), SB_WRITTEN);
	assert_int_equal(
		rename(in_folder(place->folder, "one.ics"), in_folder(place->folder, "ONE.ics")),
		0);
	assert_int_equal(put(place, &ONE), SB_WRITTEN);
	assert_holds(place, "ONE.ics", "SUMMARY:First");
	assert_int_equal(sb_calendar_other_name("ONE", name), 0);
	assert_holds(place, name, "UID:ONE");
	assert_int_equal(put(place, &ONE), SB_REPEAT);
	/* Also when the first is gone: one uid has one file. */
	assert_int_equal(unlink(in_folder(place->folder, "ONE.ics")), 0);
	assert_int_equal(put(place, &ONE), SB_REPEAT);
	ONE = version_of("ONE", 3);
	assert_int_equal(put(place, &ONE), SB_WRITTEN);
	assert_int_equal(folder_count(place->folder), 1);
	assert_holds(place, name, "X-SLOTBELL-VERSION:3");
}

static void whatever_the_uid_the_file_is_in_the_folder(void **state)
{
	const struct place *place = *state;
	struct sb_server_message event = event_of(SB_CHANGE_CREATED, "../../etc/passwd", 1);
	enum sb_written written;
	char file[PATH_MAX], expected[PATH_MAX];
	char *real = realpath(place->folder, NULL);

	assert_int_equal(sb_calendar_write(place->calendar, &event, &written, file), 0);
	snprintf(expected, sizeof(expected), "%s/%%2E%%2E%%2F%%2E%%2E%%2Fetc%%2Fpasswd.ics", real);
	assert_string_equal(file, expected);
	assert_int_equal(access(file, R_OK), 0);
	free(real);
}

static void several_appointments_share_one_flush_of_the_folder(void **state)
{
	const struct place *place = *state;
	struct sb_server_message two = event_of(SB_CHANGE_CREATED, "two", 2);

	assert_int_equal(sb_calendar_sync(place->calendar), 0); /* what a crash may have left */
	assert_string_equal(faults.did, "fsync folder");
	faults_clear();
	assert_int_equal(sb_calendar_sync(place->calendar), 0);
	assert_string_equal(faults.did, "");
	put_subject(place, SB_CHANGE_CREATED, 1, "One");
	put(place, &two);
	assert_int_equal(sb_calendar_sync(place->calendar), 0);
	assert_string_equal(
		faults.did,
		"create .slotbell.*.tmp; write; fsync file; close; "
		"rename .slotbell.*.tmp one.ics; create .slotbell.*.tmp; write; fsync file; "
		"close; rename .slotbell.*.tmp two.ics; fsync folder");
}

static void a_flush_that_failed_is_still_due(void **state)
{
	const struct place *place = *state;

	assert_int_equal(sb_calendar_sync(place->calendar), 0);
	put_subject(place, SB_CHANGE_CREATED, 1, "One");
	faults_clear();
	faults.fail_at = 1;
	faults.error = EIO;
	assert_int_equal(sb_calendar_sync(place->calendar), -EIO);
	/* The repeat writes nothing, and must not be acked unflushed. */
	assert_int_equal(put_subject(place, SB_CHANGE_CREATED, 1, "One"), SB_REPEAT);
	faults_clear();
	assert_int_equal(sb_calendar_sync(place->calendar), 0);
	assert_string_equal(faults.did, "fsync folder");
}

static void whichever_step_fails_the_old_appointment_stays(void **state)
{
	const struct place *place = *state;
	struct sb_server_message event = event_of(SB_CHANGE_UPDATED, "one", 2);
	enum sb_written written;
	char file[PATH_MAX];

	put_subject(place, SB_CHANGE_CREATED, 1, "First");
	for (int at = 1; at <= 5; at++) {
		faults_clear();
		faults.fail_at = at;
		faults.error = ENOSPC;
		assert_int_equal(sb_calendar_write(place->calendar, &event, &written, file),
				 -ENOSPC);
		assert_holds(place, "one.ics", "SUMMARY:First");
		assert_int_equal(folder_count(place->folder), 1);
	}
}

static void one_plug_in_per_calendar(void **state)
{
	const struct place *place = *state;
	struct sb_calendar *second;

	assert_int_equal(sb_calendar_open(place->folder, &second), -EWOULDBLOCK);
	sb_calendar_close(NULL);
	assert_int_equal(access(in_folder(place->folder, ".slotbell.lock"), F_OK), 0);
	assert_int_equal(sb_calendar_open(place->folder, &second), -EWOULDBLOCK);
}

/* Whoever can read a folder can lock it. */
static void a_lock_on_the_folder_holds_nobody_up(void **state)
{
	struct place *place = *state;
	int folder = open(place->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct sb_calendar *calendar;
	struct stat st;

	sb_calendar_close(place->calendar);
	place->calendar = NULL; /* for the tear-down, should the rest fail */
	assert_int_equal(flock(folder, LOCK_EX | LOCK_NB), 0);
	assert_int_equal(sb_calendar_open(place->folder, &calendar), 0);
	close(folder);
	place->calendar = calendar;
	assert_int_equal(stat(in_folder(place->folder, ".slotbell.lock"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void the_folder_is_made_if_its_parent_is_there(void **state)
{
	const struct place *place = *state;
	struct sb_calendar *other;
	struct stat st;

	assert_int_equal(sb_calendar_open(in_folder(place->folder, "new"), &other), 0);
	sb_calendar_close(other);
	assert_int_equal(rmdir(in_folder(place->folder, "new")), 0); /* nothing is left in it */
	assert_int_equal(sb_calendar_open(in_folder(place->folder, "new"), &other), 0);
	sb_calendar_close(other);
	assert_int_equal(stat(in_folder(place->folder, "new"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(sb_calendar_open(in_folder(place->folder, "a/b"), &other), -ENOENT);
	file_put(place->folder, "file", "");
	assert_int_equal(sb_calendar_open(in_folder(place->folder, "file"), &other), -ENOTDIR);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(an_update_replaces_the_appointment),
		CASE(the_same_version_is_written_once),
		CASE(an_older_version_never_overwrites_a_newer_one),
		CASE(versions_beyond_32_bits_are_told_apart),
		CASE(a_late_create_does_not_revive_what_was_cancelled),
		CASE(a_cancellation_keeps_what_the_appointment_was),
		CASE(what_nobody_can_read_is_written_anew),
		CASE(an_appointment_is_read_up_to_a_limit),
		CASE(what_is_unsupported_changes_nothing),
		CASE(a_folder_in_the_way_is_no_trouble_with_the_disk),
		CASE(a_link_in_its_place_is_replaced_not_followed),
		CASE(what_another_user_planted_is_neither_believed_nor_removed),
		CASE(what_may_not_be_replaced_is_in_the_way),
		CASE(two_uids_with_one_name_have_a_file_each),
		CASE(whatever_the_uid_the_file_is_in_the_folder),
		CASE(several_appointments_share_one_flush_of_the_folder),
		CASE(a_flush_that_failed_is_still_due),
		CASE(whichever_step_fails_the_old_appointment_stays),
		CASE(one_plug_in_per_calendar),
		CASE(a_lock_on_the_folder_holds_nobody_up),
		CASE(the_folder_is_made_if_its_parent_is_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
