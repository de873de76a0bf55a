/* The state file: what was saved is there after a restart, and anything else is not believed. */
#include "faults.h"
#include "plugin-stub/state.h"
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
/* cmocka.h wants those above before it */
#include <cmocka.h>

#define NAME	  "state.json"
#define BYTES_MAX 65536

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

static void add_failure(struct sb_progress *progress, int64_t seq, enum sb_failure_reason reason)
{
	struct sb_pending_failure *failure = &progress->failed[progress->failed_count++];

	failure->cursor = progress->cursor;
	failure->cursor.seq = seq;
	failure->reason = reason;
	failure->sent = true;
}

static int save_as(const char *folder, int64_t device_id, const struct sb_progress *progress)
{
	struct sb_state *opened = open_as(folder, device_id);
	int err = sb_state_save(opened, progress);

	sb_state_close(opened);
	return err;
}

static void what_was_saved_is_there_after_a_restart(void **state)
{
	struct sb_progress progress = progress_at("k3f9q2.43"), found;

	add_failure(&progress, 40, SB_FAILURE_CONFLICT);
	add_failure(&progress, 43, SB_FAILURE_UNSUPPORTED);
	assert_int_equal(save_as(*state, 7, &progress), 0);
	assert_int_equal(load_as(*state, 7, &found), SB_STATE_READ);
	assert_true(found.has_cursor);
	assert_int_equal(found.cursor.seq, 43);
	assert_string_equal(found.cursor.epoch.text, "k3f9q2");
	assert_int_equal(found.failed_count, 2);
	assert_int_equal(found.failed[0].cursor.seq, 40);
	assert_int_equal(found.failed[0].reason, SB_FAILURE_CONFLICT);
	assert_int_equal(found.failed[1].reason, SB_FAILURE_UNSUPPORTED);
	assert_false(found.failed[0].sent); /* of no session that is up */
}

static void the_file_is_as_its_header_says(void **state)
{
	struct sb_progress progress = progress_at("k3f9q2.43");
	char *text;

	add_failure(&progress, 42, SB_FAILURE_UNSUPPORTED);
	assert_int_equal(save_as(*state, 7, &progress), 0);
	text = file_get(*state, NAME);
	assert_string_equal(text, "{\"device\":7,\"cursor\":\"k3f9q2.43\",\"failed\":[{\"cursor\":"
				  "\"k3f9q2.42\",\"reason\":\"unsupported\"}]}");
	free(text);
}

static void the_most_and_longest_of_everything_fits(void **state)
{
	struct sb_progress progress = progress_at("zzzzzzzzzzzzzzz.9223372036854775807"), found;

	for (int i = 0; i < SB_FAILED_MAX; i++)
		add_failure(&progress, INT64_MAX - i, SB_FAILURE_UNSUPPORTED);
	assert_int_equal(save_as(*state, INT64_MAX, &progress), 0);
	assert_int_equal(load_as(*state, INT64_MAX, &found), SB_STATE_READ);
	assert_int_equal(found.failed_count, SB_FAILED_MAX);
	assert_int_equal(found.failed[SB_FAILED_MAX - 1].cursor.seq, INT64_MAX - SB_FAILED_MAX + 1);
}

static void one_that_is_missing_is_no_error(void **state)
{
	struct sb_progress found;

	assert_int_equal(load_as(*state, 7, &found), SB_STATE_MISSING);
	assert_false(found.has_cursor);
}

static void nothing_is_saved_before_there_is_a_cursor(void **state)
{
	struct sb_progress nothing = {.has_cursor = false};
	struct sb_progress found;

	assert_int_equal(save_as(*state, 7, &nothing), 0);
	assert_int_equal(load_as(*state, 7, &found), SB_STATE_MISSING);
}

static void what_is_damaged_is_not_believed(void **state)
{
	static const char *const texts[] = {
		"",
		"{",
		"null",
		"[]",
		"{}",
		"{\"cursor\":\"k.1\"",
		"{\"cursor\":\"k.1\"}}",
		"{\"cursor\":\"k.1\",\"cursor\":\"k.2\"}",
		"{\"cursor\":41}",
		"{\"cursor\":\"k\"}",
		"{\"cursor\":\"k.01\"}",
		"{\"cursor\":\"k.9223372036854775808\"}",
		"{\"cursor\":\"k.1\",\"failed\":{}}",
		"{\"cursor\":\"k.1\",\"failed\":[1]}",
		"{\"cursor\":\"k.1\",\"failed\":[{\"cursor\":\"k.1\"}]}",
		"{\"cursor\":\"k.1\",\"failed\":[{\"reason\":\"conflict\"}]}",
		"{\"cursor\":\"k.1\",\"failed\":[{\"cursor\":\"k.1\",\"reason\":\"tired\"}]}",
		/* no ack could name these */
		"{\"cursor\":\"k.1\",\"failed\":[{\"cursor\":\"k.2\",\"reason\":\"conflict\"}]}",
		"{\"cursor\":\"k.1\",\"failed\":[{\"cursor\":\"m.1\",\"reason\":\"conflict\"}]}",
		"\xff\xfe",
		"{\"cursor\":\"k.1\",\"x\":\"\xff\"}",
	};
	struct sb_progress found;

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		file_put(*state, NAME, texts[i]);
		if (load_as(*state, 7, &found) != SB_STATE_CORRUPT)
			fail_msg("believed: %s", texts[i]);
		assert_false(found.has_cursor);
		assert_int_equal(found.failed_count, 0);
	}
}

static void fields_of_a_newer_version_are_passed_over(void **state)
{
	struct sb_progress found;

	file_put(*state, NAME, "{\"cursor\":\"k.1\",\"colour\":\"blue\",\"failed\":[]}");
	assert_int_equal(load_as(*state, 7, &found), SB_STATE_READ);
	assert_int_equal(found.cursor.seq, 1);
}

static enum sb_way way_of(const char *folder, const char *text, int64_t now_s, bool *ret_is_old)
{
	struct sb_state *opened;
	struct sb_progress found;
	enum sb_state_found was;
	enum sb_way way;

	file_put(folder, NAME, text);
	opened = open_as(folder, 7);
	assert_int_equal(sb_state_load(opened, &found, &was), 0);
	assert_int_equal(was,
			 SB_STATE_READ); /* whatever is wrong with the way, the cursor counts */
	way = sb_state_way(opened);
	*ret_is_old = sb_state_way_is_old(opened, now_s, 600);
	sb_state_close(opened);
	return way;
}

static void the_way_that_got_through_is_there_after_a_restart(void **state)
{
	struct sb_progress progress = progress_at("k3f9q2.43");
	struct sb_state *opened = open_as(*state, 7);
	bool is_old;
	char *text;

	sb_state_set_way(opened, SB_WAY_POLL, 1763976000);
	assert_int_equal(sb_state_save(opened, &progress), 0);
	text = file_get(*state, NAME);
	assert_string_equal(text, "{\"device\":7,\"cursor\":\"k3f9q2.43\",\"failed\":[],"
				  "\"transport\":\"poll\",\"transport_since\":1763976000}");
	sb_state_close(opened);
	assert_int_equal(way_of(*state, text, 1763976001, &is_old), SB_WAY_POLL);
	free(text);
	assert_false(is_old);
	opened = open_as(*state, 7);
	sb_state_set_way(opened, SB_WAY_WEBSOCKET, 1763976002);
	assert_int_equal(sb_state_save(opened, &progress), 0);
	text = file_get(*state, NAME);
	assert_null(strstr(text, "transport"));
	sb_state_close(opened);
	free(text);
}

static void a_way_that_is_none_is_passed_over(void **state)
{
	static const char *const values[] = {
		"\"pigeon\"", "\"Stream\"", "\"stream \"", "\"\"", "\"auto\"",	   "7",
		"null",	      "[]",	    "{}",	   "true", "[\"stream\"]",
	};
	char text[200];
	bool is_old;

	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
		snprintf(text, sizeof(text),
			 "{\"device\":7,\"cursor\":\"k.1\",\"transport\":%s,"
			 "\"transport_since\":1}",
			 values[i]);
		assert_int_equal(way_of(*state, text, 5000, &is_old), SB_WAY_WEBSOCKET);
		assert_false(is_old);
	}
}

static void a_way_grows_old_and_one_of_no_known_age_is(void **state)
{
	static const struct {
		const char *since;
		int64_t now_s;
		bool is_old;
	} cases[] = {
		{"1000", 1000, false}, {"1000", 1599, false}, {"1000", 1600, true},
		{"1000", 999, true}, /* the clock was set back */
		{"0", 1, true},	       {"-1", 1, true},	      {"\"1000\"", 1001, true},
		{"1e3", 1001, true},   {"null", 1, true},     {"9223372036854775807", 1, true},
	};
	char text[200];
	bool is_old;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		snprintf(text, sizeof(text),
			 "{\"device\":7,\"cursor\":\"k.1\",\"transport\":\"stream\","
			 "\"transport_since\":%s}",
			 cases[i].since);
		assert_int_equal(way_of(*state, text, cases[i].now_s, &is_old), SB_WAY_STREAM);
		if (is_old != cases[i].is_old)
			fail_msg("since %s, at %" PRId64, cases[i].since, cases[i].now_s);
	}
	(void)way_of(*state, "{\"device\":7,\"cursor\":\"k.1\",\"transport\":\"poll\"}", 1,
		     &is_old);
	assert_true(is_old); /* an older version's */
}

static void failures_have_a_limit(void **state)
{
	struct sb_progress found;
	char text[BYTES_MAX];

	for (int count = SB_FAILED_MAX; count <= SB_FAILED_MAX + 1; count++) {
		size_t len =
			(size_t)snprintf(text, sizeof(text), "{\"cursor\":\"k.999\",\"failed\":[");

		for (int i = 0; i < count; i++)
			len += (size_t)snprintf(text + len, sizeof(text) - len,
						"%s{\"cursor\":\"k.%d\",\"reason\":\"conflict\"}",
						i ? "," : "", i + 1);
		snprintf(text + len, sizeof(text) - len, "]}");
		file_put(*state, NAME, text);
		assert_int_equal(load_as(*state, 7, &found),
				 count <= SB_FAILED_MAX ? SB_STATE_READ : SB_STATE_CORRUPT);
	}
}

static void the_file_has_a_limit(void **state)
{
	struct sb_progress found;
	char *text = malloc(BYTES_MAX + 2);

	assert_non_null(text);
	for (size_t len = BYTES_MAX - 1; len <= BYTES_MAX + 1; len++) {
		memset(text, ' ', len);
		memcpy(text, "{\"cursor\":\"k.1\"}", 16);
		text[len] = '\0';
		file_put(*state, NAME, text);
		assert_int_equal(load_as(*state, 7, &found),
				 len <= BYTES_MAX ? SB_STATE_READ : SB_STATE_CORRUPT);
	}
	free(text);
}

static void a_folder_in_its_place_is_damage_too(void **state)
{
	struct sb_progress found;

	assert_int_equal(mkdir(in_folder(*state, NAME), 0700), 0);
	assert_int_equal(load_as(*state, 7, &found), SB_STATE_CORRUPT);
}

static void another_device_s_is_not_taken(void **state)
{
	struct sb_progress progress = progress_at("k.43"), found;

	assert_int_equal(save_as(*state, 7, &progress), 0);
	assert_int_equal(load_as(*state, 8, &found), SB_STATE_FOREIGN);
	assert_false(found.has_cursor);
	assert_int_equal(load_as(*state, 7, &found), SB_STATE_READ);
	/* Where one of the two is not known, the server will say. */
	assert_int_equal(load_as(*state, 0, &found), SB_STATE_READ);
	file_put(*state, NAME, "{\"cursor\":\"k.1\",\"failed\":[]}");
	assert_int_equal(load_as(*state, 7, &found), SB_STATE_READ);
}

static void whichever_step_fails_the_old_state_stays(void **state)
{
	struct sb_progress old = progress_at("k.1"), next = progress_at("k.2"), found;
	struct sb_state *opened;

	assert_int_equal(save_as(*state, 7, &old), 0);
	opened = open_as(*state, 7);
	faults_clear();
	for (int at = 1; at <= 5; at++) {
		faults.steps = 0;
		faults.fail_at = at;
		faults.error = ENOSPC;
		assert_int_equal(sb_state_save(opened, &next), -ENOSPC);
	}
	sb_state_close(opened);
	faults_clear();
	assert_int_equal(load_as(*state, 7, &found), SB_STATE_READ);
	assert_int_equal(found.cursor.seq, 1);
}

static void it_is_on_the_disk_with_its_folder_s_entry_or_not_saved(void **state)
{
	struct sb_progress progress = progress_at("k.1");
	struct sb_state *opened = open_as(*state, 7);

	faults_clear();
	assert_int_equal(sb_state_save(opened, &progress), 0);
	assert_string_equal(faults.did, "create state.json.*.tmp; write; fsync file; close; rename "
					"state.json.*.tmp state.json; fsync folder");
	faults_clear();
	faults.fail_at = 6;
	faults.error = EIO;
	assert_int_equal(sb_state_save(opened, &progress), -EIO);
	sb_state_close(opened);
}

static void one_process_at_a_time(void **state)
{
	struct sb_state *first = open_as(*state, 7), *second;

	assert_int_equal(sb_state_open(in_folder(*state, NAME), 7, &second), -EWOULDBLOCK);
	sb_state_close(first);
	second = open_as(*state, 7);
	sb_state_close(second);
	sb_state_close(NULL);
}

static void its_folder_must_be_there(void **state)
{
	struct sb_state *opened;

	assert_int_equal(sb_state_open(in_folder(*state, "none/state.json"), 7, &opened), -ENOENT);
	file_put(*state, "file", "");
	assert_int_equal(sb_state_open(in_folder(*state, "file/state.json"), 7, &opened), -ENOTDIR);
}

static void a_name_without_a_folder_is_in_the_present_one(void **state)
{
	struct sb_progress progress = progress_at("k.1");
	struct sb_state *opened;
	char *text;

	assert_int_equal(chdir(*state), 0);
	assert_int_equal(sb_state_open(NAME, 7, &opened), 0);
	assert_int_equal(sb_state_save(opened, &progress), 0);
	sb_state_close(opened);
	assert_int_equal(chdir("/"), 0);
	text = file_get(*state, NAME);
	assert_non_null(text);
	free(text);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(what_was_saved_is_there_after_a_restart),
		CASE(the_file_is_as_its_header_says),
		CASE(the_most_and_longest_of_everything_fits),
		CASE(one_that_is_missing_is_no_error),
		CASE(nothing_is_saved_before_there_is_a_cursor),
		CASE(what_is_damaged_is_not_believed),
		CASE(fields_of_a_newer_version_are_passed_over),
		CASE(the_way_that_got_through_is_there_after_a_restart),
		CASE(a_way_that_is_none_is_passed_over),
		CASE(a_way_grows_old_and_one_of_no_known_age_is),
		CASE(failures_have_a_limit),
		CASE(the_file_has_a_limit),
		CASE(a_folder_in_its_place_is_damage_too),
		CASE(another_device_s_is_not_taken),
		CASE(whichever_step_fails_the_old_state_stays),
		CASE(it_is_on_the_disk_with_its_folder_s_entry_or_not_saved),
		CASE(one_process_at_a_time),
		CASE(its_folder_must_be_there),
		CASE(a_name_without_a_folder_is_in_the_present_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
