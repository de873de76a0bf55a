/* What the service manager is told, heard where it listens. */
#include "daemon/ops/service.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
/* after its standard headers */
#include <cmocka.h>

static int manager;

static int listen_for_it(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char name[64];

	(void)state;
	/* An abstract name: no file is left. */
	(void)snprintf(name, sizeof(name), "@slotbell-test-%ld", (long)getpid());
	memcpy(address.sun_path + 1, name + 1, strlen(name) - 1);
	manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return bind(manager, (const struct sockaddr *)&address,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))) ||
	       setenv("NOTIFY_SOCKET", name, 1);
}

static int close_it(void **state)
{
	(void)state;
	return unsetenv("NOTIFY_SOCKET") || close(manager);
}

/* The status that is shown for this one. */
static const char *shown(const char *status)
{
	static char message[4096];
	ssize_t len;

	sb_service_status(status);
	len = recv(manager, message, sizeof(message) - 1, MSG_DONTWAIT);
	assert_true(len > 0);
	message[len] = '\0';
	assert_int_equal(strncmp(message, "STATUS=", strlen("STATUS=")), 0);
	return message + strlen("STATUS=");
}

static void a_status_is_cut_at_its_longest(void **state)
{
	static const size_t lengths[] = {SB_SERVICE_STATUS_MAX - 2, SB_SERVICE_STATUS_MAX - 1,
					 SB_SERVICE_STATUS_MAX, 2 * SB_SERVICE_STATUS_MAX};
	const size_t most = SB_SERVICE_STATUS_MAX - 1;
	char status[2 * SB_SERVICE_STATUS_MAX + 1];

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		memset(status, 'x', lengths[i]);
		status[lengths[i]] = '\0';
		assert_int_equal(strlen(shown(status)), lengths[i] < most ? lengths[i] : most);
	}
}

static void a_status_is_one_line_of_ascii(void **state)
{
	(void)state;
	assert_string_equal(shown("a\nWATCHDOG=trigger\tb"), "a WATCHDOG=trigger b");
	assert_string_equal(shown("K\xc3\xb6ln\x7f ~"), "K??ln? ~");
	assert_string_equal(shown(""), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_status_is_cut_at_its_longest),
		cmocka_unit_test(a_status_is_one_line_of_ascii),
	};

	return cmocka_run_group_tests(tests, listen_for_it, close_it);
}
