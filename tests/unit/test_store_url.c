/* Database URLs: which hosts they name, and what is refused without repeating it. */
#include "daemon/store/url.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* cmocka.h wants those above before it */
#include <cmocka.h>

static const char *or_dash(const char *text)
{
	return text ? text : "-";
}

static void hosts_and_ports_are_paired(void **state)
{
	static const struct {
		const char *url;
		const char *hosts; /* name/address/port of each; "*" behind one that is looked up
				      first */
	} rows[] = {
		{"postgresql://u@db.example.com/d", "db.example.com/-/-*"},
		{"postgresql://u@db.example.com:6000/d", "db.example.com/-/6000*"},
		{"postgresql://u@a:1,b:2/d", "a/-/1* b/-/2*"},
		{"host=a,b port=7", "a/-/7* b/-/7*"},
		{"postgresql://u@10.0.0.1,[::1]:5/d", "10.0.0.1/-/- ::1/-/5"},
		{"host=a,b hostaddr=10.0.0.1,10.0.0.2", "a/10.0.0.1/- b/10.0.0.2/-"},
		{"hostaddr=10.0.0.1", "-/10.0.0.1/-"},
		{"postgresql:///d?host=/run/pg&port=5433", "/run/pg/-/5433"},
		{"host=@abstract", "@abstract/-/-"},
		{"dbname=d", "-/-/-"},
		{"host=a,,c", "a/-/-* -/-/- c/-/-*"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct sb_pg_url *url;
		char why[128], found[256] = "";

		assert_int_equal(sb_pg_url_parse(rows[i].url, &url, why, sizeof(why)), 0);
		for (size_t h = 0; h < url->host_count; h++) {
			const struct sb_pg_host *host = &url->hosts[h];
			size_t len = strlen(found);

			(void)snprintf(found + len, sizeof(found) - len, "%s%s/%s/%s%s",
				       h ? " " : "", or_dash(host->name), or_dash(host->address),
				       or_dash(host->port),
				       sb_pg_host_needs_lookup(host) ? "*" : "");
		}
		assert_string_equal(found, rows[i].hosts);
		sb_pg_url_free(url);
	}
}

static void what_cannot_be_used_is_refused_and_not_repeated(void **state)
{
	static const struct {
		const char *url, *words;
	} rows[] = {
		{"postgresql://u:secret@[::1/d", "is not a PostgreSQL URL"},
		{"nonsense secret", "is not a PostgreSQL URL"},
		{"password=secret service=main", "service file"},
		{"password=secret replication=database", "replication"},
		{"password=secret host=a,b port=1,2,3", "ports"},
		{"password=secret host=a hostaddr=10.0.0.1,10.0.0.2", "hostaddr"},
		{"password=secret host=1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17", "more than 16"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct sb_pg_url *url;
		char why[128] = "";

		assert_int_equal(sb_pg_url_parse(rows[i].url, &url, why, sizeof(why)), -EINVAL);
		assert_non_null(strstr(why, rows[i].words));
		assert_null(strstr(why, "secret"));
	}
}

static void the_environment_names_the_host_when_the_url_does_not(void **state)
{
	struct sb_pg_url *url;
	char why[128];

	(void)state;
	assert_int_equal(setenv("PGHOST", "db.example.com", 1), 0);
	assert_int_equal(sb_pg_url_parse("dbname=d", &url, why, sizeof(why)), 0);
	assert_int_equal(unsetenv("PGHOST"), 0);
	assert_string_equal(url->hosts[0].name, "db.example.com");
	assert_true(sb_pg_host_needs_lookup(&url->hosts[0]));
	sb_pg_url_free(url);
}

static const char *option_of(const PQconninfoOption *options, const char *keyword)
{
	for (; options->keyword; options++) {
		if (strcmp(options->keyword, keyword) == 0)
			return options->val ? options->val : "-";
	}
	return "?";
}

static void an_attempt_takes_what_the_url_says_and_what_must_be(void **state)
{
	struct sb_pg_url *url;
	PQconninfoOption *options;
	PGconn *conn;
	char why[128];

	(void)state;
	assert_int_equal(
		sb_pg_url_parse("host=/nowhere port=1234 user=u application_name=mine "
				"target_session_attrs=any "
				"gssencmode=prefer keepalives_idle=77 client_encoding=LATIN1",
				&url, why, sizeof(why)),
		0);
	conn = sb_pg_url_connect(url, &url->hosts[0], NULL);
	assert_non_null(conn);
	options = PQconninfo(conn);
	assert_string_equal(option_of(options, "host"), "/nowhere");
	assert_string_equal(option_of(options, "port"), "1234");
	assert_string_equal(option_of(options, "application_name"), "mine");
	assert_string_equal(option_of(options, "keepalives_idle"), "77");
	assert_string_equal(option_of(options, "keepalives_interval"), "5");
	assert_string_equal(option_of(options, "gssencmode"), "disable");
	assert_string_equal(option_of(options, "client_encoding"), "UTF8");
	PQconninfoFree(options);
	PQfinish(conn);
	sb_pg_url_free(url);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hosts_and_ports_are_paired),
		cmocka_unit_test(what_cannot_be_used_is_refused_and_not_repeated),
		cmocka_unit_test(the_environment_names_the_host_when_the_url_does_not),
		cmocka_unit_test(an_attempt_takes_what_the_url_says_and_what_must_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
