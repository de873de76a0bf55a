/* Configuration: where a value comes from, what is refused and with which words, each range at its
 * edges. */
#include "daemon/ops/config_private.h"
#include "daemon/ops/log_sink.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* after its standard headers */
#include <cmocka.h>

#define NEEDED "[tls]\ncertificate = c\nkey = k\n[database]\nurl = postgresql:///x\n"

static char *errors;
static size_t errors_len;
static struct sb_config config;

/* Reads `text` as a file, with `settings`; what was wrong is in `errors`. */
static int read_with(const char *text, const char *const *settings, size_t count)
{
	char path[] = "/tmp/slotbelld-conf-XXXXXX";
	int fd = mkstemp(path), result;
	FILE *out;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	(void)close(fd);
	sb_config_fini(&config);
	free(errors);
	out = open_memstream(&errors, &errors_len);
	result = sb_config_read(&config, path, settings, count, out);
	(void)fclose(out);
	(void)unlink(path);
	return result;
}

static int read_text(const char *text)
{
	return read_with(text, NULL, 0);
}

static int clean_up(void **state)
{
	(void)state;
	sb_config_fini(&config);
	free(errors);
	errors = NULL;
	return 0;
}

static void what_is_not_said_has_its_default(void **state)
{
	(void)state;
	assert_int_equal(read_text(NEEDED), 0);
	assert_string_equal(config.listen_address, "[::]:8443");
	assert_int_equal(config.sessions_window, 32);
	assert_int_equal(config.log_level, SB_LOG_INFO);
	assert_int_equal(config.drain_seconds, 20);
}

static void file_then_environment_then_command_line(void **state)
{
	const char *const settings[] = {"sessions.window=7"};

	(void)state;
	assert_int_equal(read_text(NEEDED "[sessions]\nwindow = 5\n"), 0);
	assert_int_equal(config.sessions_window, 5);
	(void)setenv("SLOTBELL_SESSIONS_WINDOW", "6", 1);
	assert_int_equal(read_text(NEEDED "[sessions]\nwindow = 5\n"), 0);
	assert_int_equal(config.sessions_window, 6);
	assert_int_equal(read_with(NEEDED "[sessions]\nwindow = 5\n", settings, 1), 0);
	assert_int_equal(config.sessions_window, 7);
	(void)unsetenv("SLOTBELL_SESSIONS_WINDOW");
}

static void a_range_holds_at_its_edges(void **state)
{
	(void)state;
	assert_int_equal(read_text(NEEDED "[sessions]\nwindow = 1\n"), 0);
	assert_int_equal(read_text(NEEDED "[sessions]\nwindow = 256\n"), 0);
	assert_int_equal(read_text(NEEDED "[sessions]\nwindow = 0\n"), 1);
	assert_int_equal(read_text(NEEDED "[sessions]\nwindow = 257\n"), 1);
	assert_non_null(strstr(errors, ":7: [sessions] window = 257: must be a whole number from 1 "
				       "to 256 events (default 32)"));
	assert_int_equal(read_text(NEEDED "[sessions]\nwindow = -1\n"), 1);
	assert_int_equal(read_text(NEEDED "[sessions]\nwindow = 3x\n"), 1);
	assert_int_equal(read_text(NEEDED "[sessions]\nwindow =\n"), 1);
	assert_int_equal(read_text(NEEDED "[sessions]\nwindow = 99999999999999999999\n"), 1);
	assert_int_equal(read_text(NEEDED "[retention]\ndays = 1\nreceipts_days = 3650\n"), 0);
	assert_int_equal(read_text(NEEDED "[retention]\ndays = 0\nreceipts_days = 3651\n"), 2);
	assert_int_equal(read_text(NEEDED "[retention]\ndevices_stale_days = 2\n"), 0);
	assert_int_equal(read_text(NEEDED "[retention]\ndevices_stale_days = 1\n"), 1);
}

static void all_that_is_wrong_is_told_at_once(void **state)
{
	const char *const settings[] = {"what", "log.colour=red"};

	(void)state;
	assert_int_equal(
		read_with(
			"[tls]\ncertificate = c\n[sessions]\nwindw = 3\n[sesions]\nmax = 1\n[log]\n"
			"level = loud\nlevel = info\n",
			settings, 2),
		8);
	assert_non_null(strstr(
		errors, ":4: [sessions] windw: no such key; there are: window, heartbeat_seconds"));
	assert_non_null(strstr(
		errors,
		":6: [sesions] max: there is no section [sesions]; there are: [listen] [tls]"));
	assert_non_null(strstr(errors, ":8: [log] level = loud: must be one of: error, warning"));
	assert_non_null(strstr(errors, ":9: [log] level: stands here a second time"));
	assert_non_null(strstr(errors, "--set what: not section.key=value"));
	assert_non_null(strstr(errors, "--set: [log] colour: no such key"));
	assert_non_null(strstr(errors, "[tls] key is missing"));
	assert_non_null(strstr(errors, "[database] url is missing"));
	assert_non_null(strstr(errors, "SLOTBELL_DATABASE_URL"));
}

/* libinih tells of the first line that it does not know, and of no other. */
static void each_line_that_is_nothing_is_told(void **state)
{
	(void)state;
	assert_int_equal(
		read_text("\xEF\xBB\xBF[tls]\ncertificate = c\nkey = k\nnonsense\n"
			  "[database\nurl = postgresql:///x\n[database]\n  more\n"
			  "url : postgresql:///x\n; comment = 1\n  # comment\nword ; = 2\n"),
		5);
	for (size_t i = 0; i < 4; i++) {
		static const char *const lines[] = {":4: ", ":5: ", ":8: ", ":12: "};
		char *line = strstr(errors, lines[i]);

		assert_non_null(line);
		assert_int_equal(strncmp(line + strlen(lines[i]), "neither [section]", 17), 0);
	}
	/* of [tls], as the broken section is none */
	assert_non_null(strstr(errors, ":6: [tls] url: no such key"));
	assert_string_equal(config.database_url, "postgresql:///x");
}

static void a_key_before_any_section_is_told(void **state)
{
	(void)state;
	assert_int_equal(read_text("max = 3\n" NEEDED), 1);
	assert_non_null(strstr(errors, ":1: max stands before any [section]"));
}

static void what_goes_on_with_an_unknown_key_is_not_told_again(void **state)
{
	(void)state;
	assert_int_equal(read_text(NEEDED "[listen]\norigin = a\n  b\n  c\nadress = x\n"), 2);
}

static void it_is_known_where_a_value_was_said(void **state)
{
	const char *const settings[] = {"sessions.window=7"};

	(void)state;
	(void)setenv("SLOTBELL_SESSIONS_MAX", "6", 1);
	assert_int_equal(read_with(NEEDED "[sessions]\nmax = 5\nwindow = 5\n", settings, 1), 0);
	(void)unsetenv("SLOTBELL_SESSIONS_MAX");
	assert_non_null(strstr(sb_config_place(&config, "tls.key"), "/slotbelld-conf-"));
	assert_non_null(strstr(sb_config_place(&config, "tls.key"), ":3"));
	assert_string_equal(sb_config_place(&config, "sessions.max"), "SLOTBELL_SESSIONS_MAX");
	assert_string_equal(sb_config_place(&config, "sessions.window"), "--set");
	assert_string_equal(sb_config_place(&config, "log.level"), "default");
}

static void a_variable_that_is_no_key_is_told_if_it_looks_like_one(void **state)
{
	static const char *const others[] = {
		"SLOTBELL_TOKEN",
		"SLOTBELL_DATABASE_SERVICE_HOST",
		"SLOTBELL_DATABASE",
		"SLOTBELL_DATABASE_PORT_5432_TCP",
		"SLOTBELL_NOBODYS_KEY",
		"SLOTBELL_DATABASE_PORT",
		"SLOTBELL_",
		"MY_SLOTBELL_LOG_COLOUR",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		(void)setenv(others[i], "1", 1);
	assert_int_equal(read_text(NEEDED), 0);
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		(void)unsetenv(others[i]);
	(void)setenv("SLOTBELL_SESSIONS_MAXX", "1", 1);
	assert_int_equal(read_text(NEEDED), 1);
	(void)unsetenv("SLOTBELL_SESSIONS_MAXX");
	assert_non_null(strstr(errors,
			       "SLOTBELL_SESSIONS_MAXX: [sessions] maxx: no such key; there "
			       "are: window, "));
	(void)setenv("SLOTBELL_LOG_PORTAL", "1", 1);
	assert_int_equal(read_text(NEEDED), 1);
	(void)unsetenv("SLOTBELL_LOG_PORTAL");
}

static void a_line_too_long_is_an_error_and_its_continuation_is_not(void **state)
{
	char text[1024], long_value[201];

	(void)state;
	memset(long_value, 'x', 192);
	memcpy(long_value, "https://", strlen("https://"));
	long_value[192] = '\0';
	(void)snprintf(text, sizeof(text), NEEDED "[listen]\norigins = %s\n\n",
		       long_value); /* 202 */
	assert_int_equal(read_text(text), 1);
	assert_non_null(strstr(errors, ":7: longer than 198 characters"));
	long_value[188] = '\0';
	(void)snprintf(text, sizeof(text), NEEDED "[listen]\norigins = %s\n\n",
		       long_value); /* 198 */
	assert_int_equal(read_text(text), 0);
	assert_int_equal(strlen(config.listen_origins), 188);
	assert_int_equal(
		read_text(NEEDED "[listen]\norigins = https://a.example\n  ,https://b.example\n"),
		0);
	assert_string_equal(config.listen_origins, "https://a.example,https://b.example");
}

static void a_file_that_is_not_there_is_named(void **state)
{
	FILE *out;

	(void)state;
	sb_config_fini(&config);
	free(errors);
	out = open_memstream(&errors, &errors_len);
	assert_int_equal(sb_config_read(&config, "/nowhere/slotbelld.conf", NULL, 0, out), 4);
	(void)fclose(out);
	assert_non_null(strstr(
		errors, "/nowhere/slotbelld.conf: cannot be read: No such file or directory"));
}

static void print_hidden(const char *url, FILE *out)
{
	(void)url;
	(void)fputs("hidden", out);
}

static char *printed(void)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	sb_config_print(&config, print_hidden, out);
	(void)fclose(out);
	return text;
}

static void what_is_printed_can_be_read_again_and_shows_no_password(void **state)
{
	char *text;

	(void)state;
	assert_int_equal(
		read_text("[tls]\ncertificate = c\nkey = k\n[database]\n"
			  "url = postgresql://ada:secret@db/x?password=secret&sslmode=require\n"
			  "[sessions]\nwindow = 9\n[log]\nlevel = debug\n"),
		0);
	text = printed();
	assert_null(strstr(text, "secret"));
	assert_non_null(strstr(text, "url = hidden\n"));
	assert_int_equal(read_text(text), 0);
	assert_int_equal(config.sessions_window, 9);
	assert_int_equal(config.log_level, SB_LOG_DEBUG);
	free(text);
}

static char *slurp(const char *path)
{
	char *text = NULL;
	size_t size = 0;
	FILE *file = fopen(path, "re");

	assert_non_null(file);
	assert_true(getdelim(&text, &size, '\0', file) > 0);
	(void)fclose(file);
	return text;
}

/* Every key stands in the shipped file, with its default, and no other. */
static void the_shipped_file_has_every_key_with_its_default(void **state)
{
	char *shipped = slurp(SHIPPED_FILE);

	(void)state;
	assert_int_equal(read_text(shipped), 0);
#define CHECK_NEEDED(key, fallback) assert_non_null(strstr(shipped, "\n" #key " = "));
#define CHECK_TEXT(key, fallback)       \
	assert_non_null(strstr(shipped, \
			       *(fallback) ? "\n#" #key " = " fallback "\n" : "\n#" #key " =\n"));
#define CHECK_NUMBER CHECK_TEXT
#define CHECK_LEVEL  CHECK_TEXT
#define CHECK_FORMAT CHECK_TEXT
#define CHECK(section, key, kind, changes, field, fallback, min, max, unit, what) \
	assert_non_null(strstr(shipped, "\n[" #section "]\n"));                   \
	CHECK_##kind(key, fallback)
	SB_CONFIG_KEYS(CHECK)
	/* With the comment signs of its keys taken off every line is known, and all is as it was.
	 */
	for (char *at = shipped; (at = strstr(at, "\n#"));) {
		at += 2;
		if (*at != ' ' && *at != '\n')
			memmove(at - 1, at, strlen(at) + 1);
	}
	assert_int_equal(read_text(shipped), 0);
	assert_int_equal(config.sessions_max, 15000);
	free(shipped);
}

static bool says_restart(const char *from, const char *to)
{
	const char *mark = strstr(from, "(restart)");

	return mark && mark < to;
}

/* The man page has every key in its section, with its default, and marks what needs a restart. */
static void the_man_page_has_every_key_with_its_default(void **state)
{
	char *page = slurp(MAN_PAGE);

	(void)state;
#define PAGE_TEXT(fallback)   (*(fallback) ? "Default: " fallback ".\n" : "Default: none.\n")
#define PAGE_NUMBER(fallback) "Default: " fallback ".\n"
#define PAGE_LEVEL	      PAGE_NUMBER
#define PAGE_FORMAT	      PAGE_NUMBER
#define PAGE_NEEDED(fallback) "Needed.\n"
#define PAGE(section, key, kind, changes, field, fallback, min, max, unit, what)        \
	{                                                                               \
		const char *place = strstr(page, "\n.Ss [" #section "]\n"), *end;       \
		assert_non_null(place);                                                 \
		place = strstr(place, "\n.It Ic " #key "\n");                           \
		assert_non_null(place);                                                 \
		end = strstr(place + 1, "\n.It ");                                      \
		if (!end || end > strstr(place, "\n.El"))                               \
			end = strstr(place, "\n.El");                                   \
		place = strstr(place, "\n");                                            \
		assert_true(strstr(place, PAGE_##kind(fallback)) < end);                \
		assert_int_equal(says_restart(place, end), !strcmp(#changes, "START")); \
	}
	SB_CONFIG_KEYS(PAGE)
	free(page);
}

static void the_shipped_file_marks_what_needs_a_restart(void **state)
{
	char *shipped = slurp(SHIPPED_FILE), *before = shipped;

	(void)state;
	before = strstr(before, "\n[listen]\n");
#define MARK(section, key, kind, changes, field, fallback, min, max, unit, what)                \
	{                                                                                       \
		char *place = strstr(before, "\n#" #key " =");                                  \
		if (!place ||                                                                   \
		    (strstr(before, "\n" #key " =") && strstr(before, "\n" #key " =") < place)) \
			place = strstr(before, "\n" #key " =");                                 \
		assert_non_null(place);                                                         \
		assert_int_equal(says_restart(before, place), !strcmp(#changes, "START"));      \
		before = place + 1;                                                             \
	}
	SB_CONFIG_KEYS(MARK)
	free(shipped);
}

static void a_reload_takes_what_it_can_and_names_what_it_cannot(void **state)
{
	struct sb_config running;
	char changed[128] = "", restart[128] = "";
	FILE *changed_out = fmemopen(changed, sizeof(changed), "w");
	FILE *restart_out = fmemopen(restart, sizeof(restart), "w");

	(void)state;
	assert_int_equal(read_text(NEEDED), 0);
	running = config;
	memset(&config, 0, sizeof(config));
	assert_int_equal(read_text(NEEDED
				   "[listen]\naddress = 127.0.0.1:1\norigins = https://a\n"
				   "[sessions]\nwindow = 9\nmax = 5\n[log]\nlevel = debug\n"),
			 0);
	sb_config_follow(&config, &running, changed_out, restart_out);
	(void)fclose(changed_out);
	(void)fclose(restart_out);
	assert_string_equal(changed, " listen.origins sessions.max log.level");
	assert_string_equal(restart, " listen.address sessions.window");
	assert_string_equal(config.listen_address, "[::]:8443");
	assert_string_equal(config.listen_origins, "https://a");
	assert_int_equal(config.sessions_window, 32);
	assert_int_equal(config.sessions_max, 5);
	sb_config_fini(&running);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_not_said_has_its_default),
		cmocka_unit_test(file_then_environment_then_command_line),
		cmocka_unit_test(a_range_holds_at_its_edges),
		cmocka_unit_test(all_that_is_wrong_is_told_at_once),
		cmocka_unit_test(each_line_that_is_nothing_is_told),
		cmocka_unit_test(a_key_before_any_section_is_told),
		cmocka_unit_test(what_goes_on_with_an_unknown_key_is_not_told_again),
		cmocka_unit_test(it_is_known_where_a_value_was_said),
		cmocka_unit_test(a_variable_that_is_no_key_is_told_if_it_looks_like_one),
		cmocka_unit_test(a_line_too_long_is_an_error_and_its_continuation_is_not),
		cmocka_unit_test(a_file_that_is_not_there_is_named),
		cmocka_unit_test(what_is_printed_can_be_read_again_and_shows_no_password),
		cmocka_unit_test(the_shipped_file_has_every_key_with_its_default),
		cmocka_unit_test(the_shipped_file_marks_what_needs_a_restart),
		cmocka_unit_test(the_man_page_has_every_key_with_its_default),
		cmocka_unit_test(a_reload_takes_what_it_can_and_names_what_it_cannot),
	};

	return cmocka_run_group_tests_name("ops: configuration", tests, NULL, clean_up);
}
