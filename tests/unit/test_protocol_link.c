/* Which links may be handed to a person: the guest may have chosen it. */
#include "protocol/link.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
/* cmocka.h wants those above before it */
#include <cmocka.h>

static void links_to_a_host_by_https_are_good(void **state)
{
	static const char *const links[] = {
		"https://meet.example.com",
		"https://meet.example.com/4",
		"HTTPS://Meet.Example.com/4",
		"https://meet.example.com:8443/j/1?pwd=a%20b&x=1#frag",
		"https://meet.example.com?x=y@z",
		"https://meet.example.com/@ada",
		"https://xn--mller-kva.example/",
		"https://192.0.2.7/",
		"https://[2001:db8::7]:443/x",
		"https://a.example/\xc3\xbc?\xe4\xba\x88",
		"https://a.example/%C3%BC%FF%7E",
		"https://a.example/a|b{c}^\"'`",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(links) / sizeof(*links); i++) {
		const char *problem = sb_link_problem(links[i]);

		if (problem)
			fail_msg("%s: %s", links[i], problem);
	}
}

static void assert_bad(const char *const *links, const char *words)
{
	for (; *links; links++) {
		const char *problem = sb_link_problem(*links);

		if (!problem || !strstr(problem, words))
			fail_msg("%s: %s", *links, problem ? problem : "taken for good");
	}
}

static void no_other_scheme_is(void **state)
{
	static const char *const links[] = {
		"",
		"javascript:alert(1)",
		"JaVaScRiPt://meet.example.com/%0aalert(1)",
		"data:text/html,x",
		"file:///etc/passwd",
		"http://meet.example.com/",
		"vbscript:x",
		"ms-msdt:/id",
		"//meet.example.com/",
		"meet.example.com",
		" https://meet.example.com",
		"https:meet.example.com",
		"https:/a.example/",
		"https;//a.example",
		"java\nscript:alert(1)//https://",
		"httpsx://a",
		"\thttps://a.example",
		"\xef\xbb\xbfhttps://a.example",
		NULL,
	};

	(void)state;
	assert_bad(links, "scheme");
}

static void the_host_is_what_a_person_reads(void **state)
{
	static const char *const links[] = {
		"https://",
		"https:///path",
		"https://?x",
		"https://meet.example.com@evil.example/",
		"https://user:word@evil.example/",
		"https://meet.example.com\\@evil.example/",
		"https://meet.example.com\\evil",
		"https://meet%2eexample.com/",
		"https://\xc3\xa9.example/",
		"https://a.example:",
		"https://a.example:0/",
		"https://a.example:65536/",
		"https://a.example:443x/",
		"https://a.example:0000443/",
		"https://[2001:db8::7/",
		"https://[]/",
		"https://[v1.x]/",
		"https://.a/",
		"https://-a/",
		"https://a b/",
		"https://a\r\nb/",
		NULL,
	};

	(void)state;
	assert_bad(links, "host");
}

static void nothing_in_it_is_blank_or_unseen(void **state)
{
	static const char *const links[] = {
		"https://a.example/a b",
		"https://a.example/\r\nX: y",
		"https://a.example/\x01",
		"https://a.example/\x7f",
		"https://a.example/\t",
		"https://a.example/\xc2\x85",
		"https://a.example/\xc2\x9b",
		"https://a.example/\xe2\x80\xa8",
		"https://a.example/\xe2\x80\xaegnp",
		"https://a.example/\xe2\x80\x8b",
		"https://a.example/#\xf3\xa0\x81\x81",
		NULL,
	};

	(void)state;
	assert_bad(links, "cannot be seen");
}

static void nothing_comes_up_when_it_is_decoded(void **state)
{
	static const char *const links[] = {
		"https://a.example/%0D%0AURL:javascript:x",
		"https://a.example/%0d",
		"https://a.example/?q=%0a",
		"https://a.example/#%00",
		"https://a.example/%C3%00",
		"https://a.example/%1b%5B2J",
		"https://a.example/%7F",
		"https://a.example/%C2%85",
		"https://a.example/%c2%9b",
		"https://a.example/%E2%80%A9",
		"https://a.example/%FF%0A",
		NULL,
	};
	static const char *const torn[] = {"https://a.example/%",    "https://a.example/%0",
					   "https://a.example/%zz",  "https://a.example/%%0d",
					   "https://a.example/%C2%", NULL};

	(void)state;
	assert_bad(links, "control character");
	assert_bad(torn, "hexadecimal");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(links_to_a_host_by_https_are_good),
		cmocka_unit_test(no_other_scheme_is),
		cmocka_unit_test(the_host_is_what_a_person_reads),
		cmocka_unit_test(nothing_in_it_is_blank_or_unseen),
		cmocka_unit_test(nothing_comes_up_when_it_is_decoded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
