/* From uid to file name: for calendar. A uid is whatever the booking backend likes, so nothing of
 * it is trusted. */
#include "plugin-stub/calendar_name.h"

#include <ctype.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define SUFFIX	   ".ics"
#define SUFFIX_LEN (sizeof(SUFFIX) - 1)
#define HASH_BYTES 32
#define HEAD_MAX   (SB_CALENDAR_NAME_MAX - SUFFIX_LEN - 1 - 2 * HASH_BYTES)

static bool stays(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '-' || c == '=' || c == '@';
}

/* Encodes as much of `uid` as fits in `max` bytes, whole %XX only. Whether that was all of it. */
static bool encode(const char *uid, size_t max, char *to)
{
	size_t len = 0;

	for (; *uid; uid++) {
		unsigned char c = (unsigned char)*uid;
		size_t need = stays(c) ? 1 : 3;

		if (len + need > max)
			break;
		if (need == 1)
			to[len] = *uid;
		else
			snprintf(to + len, max + 1 - len, "%%%02X", c);
		len += need;
	}
	to[len] = '\0';
	return !*uid;
}

/* Windows takes them for devices whatever their suffix is. */
static bool is_device(const char *name)
{
	static const char *const words[] = {"con", "prn", "aux", "nul"};

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		if (!strcasecmp(name, words[i]))
			return true;
	}
	return (!strncasecmp(name, "com", 3) || !strncasecmp(name, "lpt", 3)) &&
	       isdigit((unsigned char)name[3]) && !name[4];
}

static void add_suffix(char *name)
{
	memcpy(name + strlen(name), SUFFIX, SUFFIX_LEN + 1);
}

int sb_calendar_name(const char *uid, char ret_name[SB_CALENDAR_NAME_MAX + 1])
{
	if (!encode(uid, SB_CALENDAR_NAME_MAX - SUFFIX_LEN, ret_name))
		return sb_calendar_other_name(uid, ret_name);
	if (is_device(ret_name))
		(void)snprintf(ret_name, SB_CALENDAR_NAME_MAX + 1, "%%%02X%s", (unsigned char)*uid,
			       uid + 1);
	add_suffix(ret_name);
	return 0;
}

int sb_calendar_other_name(const char *uid, char ret_name[SB_CALENDAR_NAME_MAX + 1])
{
	unsigned char hash[HASH_BYTES];
	char *to;

	if (!EVP_Digest(uid, strlen(uid), hash, NULL, EVP_sha256(), NULL))
		return -ENOMEM;
	encode(uid, HEAD_MAX, ret_name);
	to = ret_name + strlen(ret_name);
	*to++ = '~';
	for (size_t i = 0; i < HASH_BYTES; i++)
		to += snprintf(to, 3, "%02x", hash[i]);
	add_suffix(ret_name);
	return 0;
}
