/* The one rule for links; see link.h. */
#include "protocol/link.h"
#include "protocol/clean.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

static const char scheme[] = "https://";

static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
static const char digits[] = "0123456789";
static const char hex_digits[] = "0123456789abcdefABCDEF";

static bool is_one_of(char c, const char *set)
{
	return c && strchr(set, c);
}

static bool is_alphanumeric(char c)
{
	return is_one_of(c, letters) || is_one_of(c, digits);
}

/* ":443", or nothing. */
static bool is_port(const char *text, size_t len)
{
	unsigned int port = 0;

	if (len == 0)
		return true;
	if (len < 2 || len > 6 || *text != ':')
		return false;
	for (size_t i = 1; i < len; i++) {
		if (!is_one_of(text[i], digits))
			return false;
		port = port * 10 + (unsigned int)(text[i] - '0');
	}
	return port >= 1 && port <= 65535;
}

static bool is_authority(const char *text, size_t len)
{
	size_t host = 0;

	if (len > 0 && *text == '[') {
		for (host = 1; host < len &&
			       (is_one_of(text[host], hex_digits) || is_one_of(text[host], ":."));)
			host++;
		if (host < 3 || host == len || text[host] != ']')
			return false;
		return is_port(text + host + 1, len - host - 1);
	}
	while (host < len && (is_alphanumeric(text[host]) || is_one_of(text[host], "-_.")))
		host++;
	return host > 0 && is_alphanumeric(*text) && is_port(text + host, len - host);
}

static unsigned int hex_value(char c)
{
	return (unsigned int)(strchr(hex_digits, c) - hex_digits) - (c >= 'A' && c <= 'F' ? 6 : 0);
}

/* Decodes the next byte; 0 at the end, and for a '%' that encodes none. */
static unsigned char next_byte(const char **at)
{
	unsigned char byte = (unsigned char)**at;

	if (byte == '%') {
		if (!is_one_of((*at)[1], hex_digits) || !is_one_of((*at)[2], hex_digits))
			return 0;
		byte = (unsigned char)(hex_value((*at)[1]) << 4 | hex_value((*at)[2]));
		*at += 2;
	}
	*at += byte != 0;
	return byte;
}

/* What a program that undoes the percent-encoding would get. */
static const char *decoded_problem(const char *link)
{
	/* The longest character, decoded, and a terminator. */
	char bytes[5];

	while (*link) {
		const char *at = link;
		uint32_t character = 0;

		if (*link == '%' &&
		    (!is_one_of(link[1], hex_digits) || !is_one_of(link[2], hex_digits)))
			return "a % in it is not followed by two hexadecimal digits";
		memset(bytes, 0, sizeof(bytes));
		for (size_t i = 0; i < sizeof(bytes) - 1; i++) {
			bytes[i] = (char)next_byte(&at);
			if (!bytes[i])
				break;
		}
		/* What is not UTF-8 decoded is some older encoding's, and no control. */
		if (sb_utf8_read(bytes, &character) > 0 && sb_is_control(character))
			return "a control character is percent-encoded in it";
		(void)next_byte(&link);
	}
	return NULL;
}

static const char *raw_problem(const char *link)
{
	while (*link) {
		uint32_t character = 0;
		size_t length = sb_utf8_read(link, &character);

		if (length == 0 || character == ' ' || !sb_is_printable(character))
			return "there is a blank, or a character that cannot be seen, in it";
		link += length;
	}
	return NULL;
}

const char *sb_link_problem(const char *link)
{
	const char *authority, *problem;

	if (strncasecmp(link, scheme, sizeof(scheme) - 1) != 0)
		return "its scheme is not https";
	authority = link + sizeof(scheme) - 1;
	if (!is_authority(authority, strcspn(authority, "/?#")))
		return "there is no plain host name in it";
	problem = raw_problem(link);
	return problem ? problem : decoded_problem(link);
}
