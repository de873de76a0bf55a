/* Files that are whole or not there at all, whichever call fails. */
#include "faults.h"
#include "plugin-stub/file.h"
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
/* cmocka.h wants those above before it */
#include <cmocka.h>

struct place {
	char *folder;
	int dirfd;
};

static int set_up(void **state)
{
	struct place *place = malloc(sizeof(*place));

	assert_non_null(place);
	place->folder = folder_new();
	place->dirfd = open(place->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(place->dirfd >= 0);
	faults_clear();
	*state = place;
	return 0;
}

static int tear_down(void **state)
{
	struct place *place = *state;

	faults_clear();
	close(place->dirfd);
	folder_free(place->folder);
	free(place);
	return 0;
}

static int replace(const struct place *place, const char *text)
{
	return sb_file_replace(place->dirfd, "a", "a", text, strlen(text));
}

static void assert_contents(const struct place *place, const char *name, const char *expected)
{
	char *text = file_get(place->folder, name);

	assert_non_null(text);
	assert_string_equal(text, expected);
	free(text);
}

static void a_file_is_flushed_before_it_takes_its_place(void **state)
{
	const struct place *place = *state;

	assert_int_equal(replace(place, "new"), 0);
	assert_string_equal(faults.did,
			    "create a.*.tmp; write; fsync file; close; rename a.*.tmp a");
	assert_contents(place, "a", "new");
	assert_int_equal(folder_count(place->folder), 1);
	faults_clear();
	assert_int_equal(sb_file_sync_folder(place->dirfd), 0);
	assert_string_equal(faults.did, "fsync folder");
}

static void nobody_else_may_read_it(void **state)
{
	const struct place *place = *state;
	struct stat st;

	assert_int_equal(replace(place, "new"), 0);
	assert_int_equal(stat(in_folder(place->folder, "a"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void whichever_step_fails_the_old_file_stays(void **state)
{
	static const int errors[] = {ENOSPC, EIO, EDQUOT, EROFS};
	const struct place *place = *state;

	assert_int_equal(replace(place, "old"), 0);
	for (size_t i = 0; i < sizeof(errors) / sizeof(*errors); i++) {
		for (int at = 1; at <= 5; at++) {
			faults_clear();
			faults.fail_at = at;
			faults.error = errors[i];
			assert_int_equal(replace(place, "new"), -errors[i]);
			assert_contents(place, "a", "old");
			assert_int_equal(folder_count(place->folder), 1); /* nothing beside it */
		}
	}
}

static void a_write_that_takes_part_of_it_is_gone_on_with(void **state)
{
	const struct place *place = *state;

	faults.short_writes = true;
	assert_int_equal(replace(place, "0123456789"), 0);
	assert_contents(place, "a", "0123456789");
	assert_int_equal(faults.steps, 4 + 4); /* 5, 3, 1 and 1 bytes */
}

static void a_full_disk_in_the_middle_leaves_nothing_of_it(void **state)
{
	const struct place *place = *state;

	faults.short_writes = true;
	faults.fail_at = 3;
	faults.error = ENOSPC;
	assert_int_equal(replace(place, "0123456789"), -ENOSPC);
	assert_int_equal(folder_count(place->folder), 0);
}

static void a_write_that_was_interrupted_is_tried_again(void **state)
{
	const struct place *place = *state;

	faults.fail_at = 2;
	faults.error = EINTR;
	assert_int_equal(replace(place, "new"), 0);
	assert_contents(place, "a", "new");
}

/* One of RANDOM digits: with any other number of them it is somebody's. */
#define LEFTOVER "a.0123456789abcdef.tmp"

static void what_a_crash_left_is_removed_and_nothing_else(void **state)
{
	static const char *const stay[] = {"a",
					   "b.0123456789abcdef.tmp",
					   "a.0123456789abcde.tmp",
					   "a.0123456789abcdef0.tmp",
					   "a.0123456789ABCDEF.tmp",
					   "a.0123456789abcdef.tmpx",
					   "a.0123456789abcdef",
					   "aa.tmp"};
	const struct place *place = *state;
	int count = sizeof(stay) / sizeof(*stay);

	for (int i = 0; i < count; i++)
		file_put(place->folder, stay[i], "mine");
	file_put(place->folder, LEFTOVER, "half");
	file_put(place->folder, "a.tmp", "half, by an older version");
	sb_file_tidy(place->dirfd, "a");
	assert_int_equal(folder_count(place->folder), count);
	for (int i = 0; i < count; i++)
		assert_contents(place, stay[i], "mine");
}

static void as_another_user(const struct place *place, const char *name)
{
	if (geteuid() != 0)
		skip();
	assert_int_equal(fchownat(place->dirfd, name, 65534, 65534, AT_SYMLINK_NOFOLLOW), 0);
}

static void what_another_planted_under_such_a_name_stays(void **state)
{
	const struct place *place = *state;

	file_put(place->folder, "precious", "mine");
	assert_int_equal(symlink("precious", in_folder(place->folder, "a.tmp")), 0);
	file_put(place->folder, LEFTOVER, "theirs");
	as_another_user(place, LEFTOVER);
	assert_int_equal(mkdir(in_folder(place->folder, "a.fedcba9876543210.tmp"), 0700), 0);
	sb_file_tidy(place->dirfd, "a");
	assert_int_equal(folder_count(place->folder), 4);
	assert_int_equal(replace(place, "new"), 0);
	assert_contents(place, "precious", "mine");
	assert_contents(place, LEFTOVER, "theirs");
	assert_contents(place, "a", "new");
}

/* As another user would prepare it: a file that he may read, in place of the temporary one. */
static void a_name_that_can_be_foreseen_is_not_written_to(void **state)
{
	const struct place *place = *state;

	file_put(place->folder, "a.tmp", "theirs");
	assert_int_equal(replace(place, "secret"), 0);
	assert_contents(place, "a.tmp", "theirs");
	assert_contents(place, "a", "secret");
}

static void what_another_user_has_is_not_read(void **state)
{
	const struct place *place = *state;
	char *bytes;
	size_t len;

	file_put(place->folder, "a", "mine");
	assert_int_equal(sb_file_read_ours(place->dirfd, "a", 4, &bytes, &len), 0);
	assert_string_equal(bytes, "mine");
	free(bytes);
	assert_int_equal(symlink("a", in_folder(place->folder, "link")), 0);
	assert_int_equal(sb_file_read_ours(place->dirfd, "link", 4, &bytes, &len), -EINVAL);
	assert_int_equal(sb_file_read_ours(place->dirfd, "none", 4, &bytes, &len), -ENOENT);
	assert_int_equal(mkfifo(in_folder(place->folder, "pipe"), 0600), 0);
	assert_int_equal(sb_file_read_ours(place->dirfd, "pipe", 4, &bytes, &len), -EINVAL);
	as_another_user(place, "a");
	assert_int_equal(sb_file_read_ours(place->dirfd, "a", 4, &bytes, &len), -EPERM);
	as_another_user(place, "link");
	assert_int_equal(sb_file_read_ours(place->dirfd, "link", 4, &bytes, &len), -EPERM);
	as_another_user(place, "pipe");
	assert_int_equal(sb_file_read_ours(place->dirfd, "pipe", 4, &bytes, &len), -EPERM);
}

static void a_lock_is_one_process_s_and_ours(void **state)
{
	const struct place *place = *state;
	struct stat st;
	int fd, second;

	assert_int_equal(sb_file_lock(place->dirfd, "a.lock", &fd), 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600); /* so that nobody else can hold it */
	assert_int_equal(sb_file_lock(place->dirfd, "a.lock", &second), -EWOULDBLOCK);
	close(fd);
	assert_int_equal(symlink("a.lock", in_folder(place->folder, "link")), 0);
	assert_int_equal(sb_file_lock(place->dirfd, "link", &fd), -ELOOP);
	assert_int_equal(mkfifo(in_folder(place->folder, "pipe"), 0600), 0);
	assert_int_equal(sb_file_lock(place->dirfd, "pipe", &fd), -EINVAL);
	as_another_user(place, "a.lock");
	assert_int_equal(sb_file_lock(place->dirfd, "a.lock", &fd), -EPERM);
}

static void a_folder_in_its_place_is_said(void **state)
{
	const struct place *place = *state;

	assert_int_equal(mkdir(in_folder(place->folder, "a"), 0700), 0);
	assert_int_equal(replace(place, "new"), -EISDIR);
	assert_int_equal(folder_count(place->folder), 1);
}

static void a_folder_that_cannot_be_flushed_is_said(void **state)
{
	const struct place *place = *state;

	faults.fail_at = 1;
	faults.error = EIO;
	assert_int_equal(sb_file_sync_folder(place->dirfd), -EIO);
}

static int read_up_to(const struct place *place, size_t max_bytes)
{
	char *bytes;
	size_t len;
	int err = sb_file_read(place->dirfd, "a", max_bytes, &bytes, &len);

	if (!err) {
		assert_int_equal(strlen(bytes), len);
		free(bytes);
	}
	return err;
}

static void a_file_is_read_up_to_its_limit(void **state)
{
	const struct place *place = *state;

	assert_int_equal(read_up_to(place, 4), -ENOENT);
	file_put(place->folder, "a", "");
	assert_int_equal(read_up_to(place, 0), 0);
	file_put(place->folder, "a", "123");
	assert_int_equal(read_up_to(place, 4), 0);
	file_put(place->folder, "a", "1234");
	assert_int_equal(read_up_to(place, 4), 0);
	file_put(place->folder, "a", "12345");
	assert_int_equal(read_up_to(place, 4), -EFBIG);
}

static void what_is_no_file_is_not_read_nor_waited_for(void **state)
{
	const struct place *place = *state;

	assert_int_equal(mkfifo(in_folder(place->folder, "a"), 0600), 0);
	assert_int_equal(read_up_to(place, 4), -EINVAL);
	assert_int_equal(unlink(in_folder(place->folder, "a")), 0);
	assert_int_equal(mkdir(in_folder(place->folder, "a"), 0700), 0);
	assert_int_equal(read_up_to(place, 4), -EINVAL);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_file_is_flushed_before_it_takes_its_place),
		CASE(nobody_else_may_read_it),
		CASE(whichever_step_fails_the_old_file_stays),
		CASE(a_write_that_takes_part_of_it_is_gone_on_with),
		CASE(a_full_disk_in_the_middle_leaves_nothing_of_it),
		CASE(a_write_that_was_interrupted_is_tried_again),
		CASE(what_a_crash_left_is_removed_and_nothing_else),
		CASE(what_another_planted_under_such_a_name_stays),
		CASE(a_name_that_can_be_foreseen_is_not_written_to),
		CASE(what_another_user_has_is_not_read),
		CASE(a_lock_is_one_process_s_and_ours),
		CASE(a_folder_in_its_place_is_said),
		CASE(a_folder_that_cannot_be_flushed_is_said),
		CASE(a_file_is_read_up_to_its_limit),
		CASE(what_is_no_file_is_not_read_nor_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
