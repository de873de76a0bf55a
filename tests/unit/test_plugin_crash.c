/*
 * The plug-in killed before every single step that changes the disk: nothing
 * was acked that is not there, and the next process ends with all of it, once.
 */
#include "faults.h"
#include "plugin_whole.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
/* cmocka.h wants those above before it */
#include <cmocka.h>

static void nothing_is_acked_before_it_is_on_the_disk(void **state)
{
	struct server *server = server_new();
	char *folder = folder_new();

	(void)state;
	faults_clear();
	whole_run(folder, server);
	whole_check_done(folder, server);
	/* The appointment, its folder's entry, the state, its entry: then the ack. */
	assert_non_null(strstr(
		faults.did,
		"create .slotbell.*.tmp; write; fsync file; close; rename .slotbell.*.tmp a.ics; "
		"create .slotbell.*.tmp; write; fsync file; close; rename .slotbell.*.tmp b.ics; "
		"fsync folder; "
		"create state.json.*.tmp; write; fsync file; close; rename state.json.*.tmp "
		"state.json; fsync folder; ack 2"));
	faults_clear();
	folder_free(folder);
	server_free(server);
}

/* Whether it died; false: it came to its end before that step. */
static bool run_until_killed(const char *folder, struct server *server, int at)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		faults_clear();
		faults.die_at = at;
		whole_run(folder, server);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_true(WEXITSTATUS(status) == FAULTS_DIED || WEXITSTATUS(status) == 0);
	return WEXITSTATUS(status) == FAULTS_DIED;
}

static void killed_at_any_step_it_loses_and_doubles_nothing(void **state)
{
	bool died = true;
	int deaths = 0;

	(void)state;
	for (int at = 1; died; at++) {
		struct server *server = server_new();
		char *folder = folder_new();

		died = run_until_killed(folder, server, at);
		deaths += died;
		whole_check(folder, server);
		faults_clear();
		whole_run(folder, server);
		whole_check_done(folder, server);
		folder_free(folder);
		server_free(server);
	}
	/* Four appointments of five steps, two flushes and two states of six at the least. */
	assert_true(deaths >= 4 * 5 + 2 + 2 * 6);
}

static void killed_again_and_again_it_still_gets_there(void **state)
{
	struct server *server = server_new();
	char *folder = folder_new();

	(void)state;
	/* One step further with each life. */
	for (int at = 1; run_until_killed(folder, server, at); at++)
		whole_check(folder, server);
	whole_check_done(folder, server);
	folder_free(folder);
	server_free(server);
}

static void a_step_that_fails_is_made_good_within_the_same_process(void **state)
{
	(void)state;
	/* The first two steps make the locks; without them there is no process. */
	for (int at = 3; at <= 40; at++) {
		struct server *server = server_new();
		char *folder = folder_new();

		faults_clear();
		faults.fail_at = at;
		faults.error = ENOSPC;
		whole_run(folder, server);
		whole_check_done(folder, server);
		folder_free(folder);
		server_free(server);
	}
	faults_clear();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_acked_before_it_is_on_the_disk),
		cmocka_unit_test(killed_at_any_step_it_loses_and_doubles_nothing),
		cmocka_unit_test(killed_again_and_again_it_still_gets_there),
		cmocka_unit_test(a_step_that_fails_is_made_good_within_the_same_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
