/* Option by option, as libpq reads them; see conninfo.h. */
#include "daemon/store/conninfo.h"
#include <string.h>

static bool is_spilled(const PQconninfoOption *option)
{
	if (!option->val)
		return false;
	/* A leading @ is an abstract socket's. */
	if (strcmp(option->keyword, "host") == 0)
		return *option->val && strchr(option->val + 1, '@') != NULL;
	if (strcmp(option->keyword, "dbname") == 0)
		return strpbrk(option->val, "@=") != NULL;
	if (strcmp(option->keyword, "port") == 0)
		return option->val[strspn(option->val, "0123456789,")] != '\0';
	return false;
}

bool sb_conninfo_has_spilled(const PQconninfoOption *options)
{
	bool spilled = false;

	for (; options->keyword; options++)
		spilled = spilled || is_spilled(options);
	return spilled;
}

/* In quotes where it needs them; a control character would end the line, or drive a terminal. */
static void print_value(const char *value, FILE *out)
{
	bool quoted = !*value || strpbrk(value, " '\\;") != NULL;

	if (quoted)
		(void)fputc('\'', out);
	for (; *value; value++) {
		if (*value == '\'' || *value == '\\')
			(void)fputc('\\', out);
		(void)fputc((unsigned char)*value < ' ' || *value == 0x7f ? '?' : *value, out);
	}
	if (quoted)
		(void)fputc('\'', out);
}

void sb_conninfo_print(const char *text, FILE *out)
{
	PQconninfoOption *options = PQconninfoParse(text, NULL);
	const char *separator = "";

	if (!options || sb_conninfo_has_spilled(options)) {
		(void)fputs("(hidden: cannot be read)", out);
		PQconninfoFree(options);
		return;
	}
	for (const PQconninfoOption *option = options; option->keyword; option++) {
		if (!option->val)
			continue;
		(void)fprintf(out, "%s%s=", separator, option->keyword);
		if (strchr(option->dispchar, '*'))
			(void)fputs("***", out);
		else
			print_value(option->val, out);
		separator = " ";
	}
	PQconninfoFree(options);
}
