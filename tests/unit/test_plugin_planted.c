/* Where others write to the state file's folder: what they put there is not believed. */
#include "faults.h"
#include "plugin-stub/state.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* cmocka.h wants those above before it */
#include <cmocka.h>

#define NAME "state.json"

static int set_up(void **state)
{
	*state = folder_new();
	faults_clear();
	return 0;
}

static int tear_down(void **state)
{
	faults_clear();
	folder_free(*state);
	return 0;
}

static struct sb_state *open_as(const char *folder, int64_t device_id)
{
	struct sb_state *found;

	assert_int_equal(sb_state_open(in_folder(folder, NAME), device_id, &found), 0);
	return found;
}

static enum sb_state_found load_as(const char *folder, int64_t device_id,
				   struct sb_progress *ret_progress)
{
	struct sb_state *opened = open_as(folder, device_id);
	enum sb_state_found found;

	assert_int_equal(sb_state_load(opened, ret_progress, &found), 0);
	sb_state_close(opened);
	return found;
}

static struct sb_progress progress_at(const char *cursor)
{
	struct sb_progress progress = {.has_cursor = true};

	assert_int_equal(sb_cursor_parse(cursor, strlen(cursor), &progress.cursor), 0);
	return progress;
}

static int save_as(const char *folder, int64_t device_id, const struct sb_progress *progress)
{
	struct sb_state *opened = open_as(folder, device_id);
	int err = sb_state_save(opened, progress);

	sb_state_close(opened);
	return err;
}

/* A cursor counts as an ack: a planted one would ack what was never written. */
static void what_another_user_planted_is_not_believed(void **state)
{
	struct sb_progress progress = progress_at("k.43"), found;

	if (geteuid() != 0)
		skip();
	assert_int_equal(save_as(*state, 7, &progress), 0);
	assert_int_equal(chown(in_folder(*state, NAME), 65534, 65534), 0);
	assert_int_equal(load_as(*state, 7, &found), SB_STATE_PLANTED);
	assert_false(found.has_cursor);
	assert_int_equal(save_as(*state, 7, &progress), 0);
	assert_int_equal(load_as(*state, 7, &found), SB_STATE_READ);
	file_put(*state, "elsewhere", "{\"cursor\":\"k.99\",\"failed\":[]}");
	assert_int_equal(unlink(in_folder(*state, NAME)), 0);
	assert_int_equal(symlink("elsewhere", in_folder(*state, NAME)), 0);
	assert_int_equal(lchown(in_folder(*state, NAME), 65534, 65534), 0);
	assert_int_equal(load_as(*state, 7, &found), SB_STATE_PLANTED);
}

static void a_lock_of_another_user_s_is_said(void **state)
{
	struct sb_state *opened;

	if (geteuid() != 0)
		skip();
	file_put(*state, NAME ".lock", "");
	assert_int_equal(chown(in_folder(*state, NAME ".lock"), 65534, 65534), 0);
	assert_int_equal(sb_state_open(in_folder(*state, NAME), 7, &opened), -EPERM);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(what_another_user_planted_is_not_believed),
		CASE(a_lock_of_another_user_s_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
