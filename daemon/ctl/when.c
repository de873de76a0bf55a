/* Times and zones as people type them; see when.h. */
#include "daemon/ctl/when.h"
#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Goes over `pattern`, where 0 is any digit and T is what separates date and time. NULL: not so. */
static const char *match(const char *text, const char *pattern)
{
	for (; text && *pattern; pattern++, text++) {
		bool fits = *text == *pattern;

		if (*pattern == '0')
			fits = isdigit((unsigned char)*text);
		else if (*pattern == 'T')
			fits = *text == 'T' || *text == 't' || *text == ' ';
		if (!fits)
			return NULL;
	}
	return text;
}

/* Goes over `pattern` if it is there. */
static const char *match_maybe(const char *text, const char *pattern)
{
	const char *rest = match(text, pattern);

	return rest ? rest : text;
}

enum sb_time_form sb_time_form(const char *text)
{
	const char *rest = match(text, "0000-00-00T00:00");
	const char *fraction;

	if (!rest)
		return SB_TIME_BAD;
	rest = match_maybe(rest, ":00");
	fraction = match(rest, ".0");
	if (fraction)
		rest = fraction + strspn(fraction, "0123456789");
	if (*rest == '\0')
		return SB_TIME_LOCAL;
	if (*rest == 'Z' || *rest == 'z')
		rest++;
	else if (*rest == '+' || *rest == '-')
		rest = match(rest + 1, "00:00");
	return rest && *rest == '\0' ? SB_TIME_INSTANT : SB_TIME_BAD;
}

bool sb_expiry_parse(const char *text, struct sb_expiry *ret_expiry)
{
	size_t digits = strspn(text, "0123456789");

	*ret_expiry = (struct sb_expiry){NULL, ""};
	if (strcmp(text, "never") == 0)
		return true;
	if (sb_time_form(text) == SB_TIME_INSTANT) {
		ret_expiry->instant = text;
		return true;
	}
	/* Six digits: more than two thousand years of days. */
	if (digits == 0 || digits > 6 || text[strspn(text, "0")] < '1' ||
	    text[strspn(text, "0")] > '9')
		return false;
	if (strcmp(text + digits, "d") != 0 && strcmp(text + digits, "h") != 0)
		return false;
	(void)snprintf(ret_expiry->interval, sizeof(ret_expiry->interval), "%.*s %s", (int)digits,
		       text, text[digits] == 'd' ? "days" : "hours");
	return true;
}

/* Of a path like …/zoneinfo/Europe/Berlin the end; NULL: it is not one. */
static const char *zone_of_path(const char *path)
{
	static const char folder[] = "/zoneinfo/";
	const char *zone = strstr(path, folder);

	if (!zone)
		return NULL;
	zone += sizeof(folder) - 1;
	if (strncmp(zone, "posix/", 6) == 0 || strncmp(zone, "right/", 6) == 0)
		zone += 6;
	return zone;
}

/* A zone's name, and not a rule like CET-1CEST, which tells nobody where it is. */
static bool is_zone(const char *name)
{
	char path[PATH_MAX];
	int length = snprintf(path, sizeof(path), "/usr/share/zoneinfo/%s", name);

	return *name && !strstr(name, "..") && length < (int)sizeof(path) &&
	       access(path, R_OK) == 0;
}

static bool read_line(const char *path, char *line, size_t size)
{
	FILE *file = fopen(path, "re");
	bool read;

	if (!file)
		return false;
	read = fgets(line, (int)size, file) != NULL;
	fclose(file);
	if (read)
		line[strcspn(line, " \t\r\n")] = '\0';
	return read;
}

const char *sb_system_time_zone(void)
{
	static char buffer[PATH_MAX];
	const char *zone = getenv("TZ");
	ssize_t length;

	if (zone && *zone) {
		/* TZ rules alone, even if what it says is of no use to us. */
		if (*zone == ':')
			zone++;
		if (*zone == '/')
			zone = zone_of_path(zone);
		return zone && is_zone(zone) ? zone : "UTC";
	}
	length = readlink("/etc/localtime", buffer, sizeof(buffer) - 1);
	if (length > 0) {
		buffer[length] = '\0';
		zone = zone_of_path(buffer);
		if (zone && is_zone(zone))
			return zone;
	}
	if (read_line("/etc/timezone", buffer, sizeof(buffer)) && is_zone(buffer))
		return buffer;
	return "UTC";
}
