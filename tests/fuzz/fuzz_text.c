/* Any bytes as text of others: what is printed is printable, JSON keeps its value, and a good link
 * holds nothing that a reader could stumble over. */
#include "protocol/clean.h"
#include "protocol/link.h"
#include "tests/fuzz/fuzz.h"
#include <jansson.h>
#include <string.h>
#include <strings.h>

static void check_printable(const char *text)
{
	while (*text) {
		uint32_t character = 0;
		size_t length = sb_utf8_read(text, &character);

		CHECK(length > 0 && sb_is_printable(character));
		text += length;
	}
}

static void check_words(const char *text)
{
	char *clean = sb_clean_words(text, false);

	CHECK(clean != NULL);
	check_printable(clean);
	free(clean);
}

static void check_json(const char *text)
{
	json_t *value = json_pack("[s]", text), *again;
	char *json = value ? json_dumps(value, JSON_COMPACT) : NULL, *clean;

	if (json) { /* else it is not UTF-8 */
		clean = sb_clean_json(json);
		CHECK(clean != NULL);
		check_printable(clean);
		again = json_loads(clean, 0, NULL);
		CHECK(json_equal(value, again));
		json_decref(again);
		free(clean);
	}
	free(json);
	json_decref(value);
}

static void check_link(const char *text)
{
	size_t authority = strlen("https://");

	if (sb_link_problem(text))
		return;
	check_printable(text);
	CHECK(strncasecmp(text, "https://", authority) == 0);
	CHECK(strpbrk(text, " \r\n\t") == NULL);
	CHECK(memchr(text + authority, '@', strcspn(text + authority, "/?#")) == NULL);
	CHECK(!strcasestr(text, "%0d") && !strcasestr(text, "%0a") && !strstr(text, "%00"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	CHECK(text != NULL);
	memcpy(text, data, size);
	text[size] = '\0';
	check_words(text);
	check_json(text);
	check_link(text);
	free(text);
	return 0;
}
