/* Database URLs: which hosts they name, and what is refused without repeating it. */
#include "daemon/store/conninfo.h"
#include "daemon/store/url.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
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

static char *shown(const char *text)
{
	char *words = NULL;
	size_t len;
	FILE *out = open_memstream(&words, &len);

	sb_conninfo_print(text, out);
	(void)fclose(out);
	return words;
}

#define HIDDEN "(hidden: cannot be read)"

/* Every form in which libpq takes a password. */
static void no_secret_is_shown(void **state)
{
	static const struct {
		const char *text, *shown;
	} cases[] = {
		{"", ""},
		{"postgresql:///x", "dbname=x"},
		{"postgres://u@h1:1,h2:2/x", "user=u dbname=x host=h1,h2 port=1,2"},
		{"postgresql://u:pw@h:1/x?sslmode=require",
		 "user=u password=*** dbname=x host=h port=1 sslmode=require"},
		{"postgresql://u:p%40w@h/x", "user=u password=*** dbname=x host=h"},
		{"postgresql:///x?password=pw&user=u", "user=u password=*** dbname=x"},
		{"postgresql:///x?pass%77ord=pw", "password=*** dbname=x"},
		{"postgresql:///x?password=pw&password=", "password=*** dbname=x"},
		{"postgresql://u:pw@h/x?password=pw2", "user=u password=*** dbname=x host=h"},
		{"postgresql:///x?sslpassword=pw", "dbname=x sslpassword=***"},
		{"password=pw host=h", "password=*** host=h"},
		{"password = pw host = h", "password=*** host=h"},
		{"password='p w' host=h", "password=*** host=h"},
		{"password='p\\'w' host=h", "password=*** host=h"},
		{"password=p\\ w host=h", "password=*** host=h"},
		{"password\t=\t'pw'", "password=***"},
		{"password=pw password=pw2", "password=***"},
		{"sslpassword='p w' sslkey=/k", "sslkey=/k sslpassword=***"},
		{"options='-c a=b\\'c'", "options='-c a=b\\'c'"},
		{"application_name='a\\\\b' user=''", "user='' application_name='a\\\\b'"},
		{"application_name='a\nb\033'", "application_name=a?b?"},
		{"service=x passfile=/p", "service=x passfile=/p"},
		/* Not to be read, or not as it was meant. */
		{"password=pw host", HIDDEN},
		{"password='pw", HIDDEN},
		{"Password=pw", HIDDEN},
		{"passwort=pw", HIDDEN},
		{"mysql://u:pw@h/x", HIDDEN},
		{"u:pw@h", HIDDEN},
		{"postgresql://u:p@w@h/x", HIDDEN},
		{"postgresql://u:p/w@h/x", HIDDEN},
		{"postgresql://u:1/w@h/x", HIDDEN},
		{"postgresql://u:1/@h", HIDDEN},
		{"dbname='host=h password=pw'", HIDDEN},
		{"postgresql:///x%20password=pw", HIDDEN},
		{"postgresql://u@v:pw@h/x", HIDDEN},
		{"postgresql://u:p%zw@h/x", HIDDEN},
		{"postgresql:///x?PASSWORD=pw", HIDDEN},
		{"postgresql:///x?password=pw?user=u&", HIDDEN},
		{"postgresql:///x?a=b&password=pw", HIDDEN},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char *words = shown(cases[i].text), *again;

		if (strcmp(words, cases[i].shown) != 0)
			fail_msg("%s: %s, not %s", cases[i].text, words, cases[i].shown);
		again = shown(words);
		if (strcmp(words, HIDDEN) != 0)
			assert_string_equal(again, words);
		free(again);
		free(words);
	}
}

/* Else its password would stand in the log, as the host that cannot be found. */
static void a_url_whose_password_spills_over_is_refused_without_a_word_of_it(void **state)
{
	static const char *const texts[] = {
		"postgresql://u:p@secret@h/x", "postgresql://u:secret/w@h/x",
		"postgresql://u:1/secret@h/x", "postgresql://u@secret:pw@h/x", "host=u:secret@h"};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		struct sb_pg_url *url;
		char why[256];

		assert_int_equal(sb_pg_url_parse(texts[i], &url, why, sizeof(why)), -EINVAL);
		assert_null(strstr(why, "secret"));
	}
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
		cmocka_unit_test(no_secret_is_shown),
		cmocka_unit_test(a_url_whose_password_spills_over_is_refused_without_a_word_of_it),
		cmocka_unit_test(an_attempt_takes_what_the_url_says_and_what_must_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
