/* What an HTTP request asks for: query, headers, and nothing of its path. */
#include "daemon/edge/exchange.h"
#include "protocol/limits.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* A name, "=", and the longest value that any parameter has. */
#define PARAMETER_MAX 96

static int parse_number(const char *text, uint32_t min, uint32_t max, uint32_t *ret_value)
{
	char *end;
	unsigned long value;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	value = strtoul(text, &end, 10);
	if (errno || *end || value < min || value > max)
		return -EINVAL;
	*ret_value = (uint32_t)value;
	return 0;
}

static int take_cursor(const char *text, struct sb_opening *opening)
{
	opening->has_cursor = true;
	return sb_cursor_parse(text, strlen(text), &opening->cursor);
}

static int take_mode(const char *text, struct sb_opening *opening)
{
	opening->role = !strcmp(text, "once") ? SB_ROLE_ONCE : SB_ROLE_LIVE;
	return !strcmp(text, "once") || !strcmp(text, "live") ? 0 : -EINVAL;
}

/* One NAME=VALUE, decoded. What is not known is passed over, as an unknown field of a message is.
 */
static int take_parameter(char *parameter, struct sb_opening *opening, const char **ret_detail)
{
	char *value = strchr(parameter, '=');
	enum sb_role role = opening->role;

	if (!value)
		return 0;
	*value++ = '\0';
	if (!strcmp(parameter, "token") || !strcmp(parameter, "access_token")) {
		*ret_detail =
			"a token in a URL ends up in logs; send it in the Authorization header";
		return -EINVAL;
	}
	if (role == SB_ROLE_POLL && !strcmp(parameter, "after")) {
		*ret_detail = "after is not a cursor, EPOCH.SEQ";
		return take_cursor(value, opening);
	}
	if (role == SB_ROLE_POLL && !strcmp(parameter, "limit")) {
		*ret_detail = "limit is not a number from 1 to 256";
		return parse_number(value, 1, SB_WINDOW_MAX, &opening->limit);
	}
	if (role == SB_ROLE_POLL && !strcmp(parameter, "wait")) {
		*ret_detail = "wait is not a number of seconds from 0 to 50";
		return parse_number(value, 0, SB_POLL_WAIT_MAX_SECONDS, &opening->wait_seconds);
	}
	if ((role == SB_ROLE_LIVE || role == SB_ROLE_ONCE) && !strcmp(parameter, "mode")) {
		*ret_detail = "mode is neither live nor once";
		return take_mode(value, opening);
	}
	return 0;
}

static int take_parameters(struct lws *wsi, struct sb_opening *opening, const char **ret_detail)
{
	char parameter[PARAMETER_MAX];

	for (int i = 0; lws_hdr_fragment_length(wsi, WSI_TOKEN_HTTP_URI_ARGS, i) > 0; i++) {
		if (lws_hdr_copy_fragment(wsi, parameter, sizeof(parameter),
					  WSI_TOKEN_HTTP_URI_ARGS, i) < 0) {
			*ret_detail = "a parameter of the query is too long";
			return -EINVAL;
		}
		if (take_parameter(parameter, opening, ret_detail) != 0)
			return -EINVAL;
	}
	return 0;
}

/* A custom header's value, without the white space around it; "" if it is not there. */
static int copy_header(struct lws *wsi, const char *name, char *value, int size)
{
	int name_len = (int)strlen(name), len;
	char *start;

	value[0] = '\0';
	if (lws_hdr_custom_length(wsi, name, name_len) < 0)
		return 0;
	len = lws_hdr_custom_copy(wsi, value, size, name, name_len);
	if (len < 0)
		return -EINVAL;
	start = value + strspn(value, " \t");
	memmove(value, start, strlen(start) + 1);
	for (len = (int)strlen(value); len > 0 && strchr(" \t", value[len - 1]); len--)
		value[len - 1] = '\0';
	return 0;
}

int sb_request_opening(struct lws *wsi, enum sb_role role, struct sb_opening *ret_opening,
		       const char **ret_detail)
{
	char id[PARAMETER_MAX];

	*ret_opening = (struct sb_opening){.role = role};
	if (take_parameters(wsi, ret_opening, ret_detail) != 0)
		return -EINVAL;
	if (role != SB_ROLE_LIVE)
		return 0;
	/* HTML standard, section 9.2: what a client sends to go on where its stream broke off. */
	*ret_detail = "Last-Event-ID is not a cursor, EPOCH.SEQ";
	if (copy_header(wsi, "last-event-id:", id, sizeof(id)) != 0)
		return -EINVAL;
	return *id ? take_cursor(id, ret_opening) : 0;
}

/* Whether `word` is in a list that commas and spaces separate. */
static bool is_listed(const char *list, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = list + strspn(list, ", "); *at;) {
		size_t span = strcspn(at, ", ");

		if (span == len && !strncasecmp(at, word, len))
			return true;
		at += span;
		at += strspn(at, ", ");
	}
	return false;
}

bool sb_request_lists(struct lws *wsi, enum lws_token_indexes header, const char *word)
{
	char list[128];

	/* Without the last byte: lws 4.1 itself takes no longer list than that. */
	return lws_hdr_copy(wsi, list, sizeof(list) - 1, header) > 0 && is_listed(list, word);
}

bool sb_request_may_have_body(struct lws *wsi)
{
	/* The methods are those for which lws reads a body though no length is said. */
	static const enum lws_token_indexes signs[] = {
		WSI_TOKEN_HTTP_CONTENT_LENGTH,
		WSI_TOKEN_HTTP_TRANSFER_ENCODING,
		WSI_TOKEN_POST_URI,
		WSI_TOKEN_PUT_URI,
		WSI_TOKEN_PATCH_URI,
	};

	for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++) {
		if (lws_hdr_total_length(wsi, signs[i]) > 0)
			return true;
	}
	return false;
}

bool sb_request_may_be_followed(struct lws *wsi, bool posts)
{
	char value[16];

	/* lws keeps a connection by just these words. */
	if (lws_hdr_copy(wsi, value, sizeof(value), WSI_TOKEN_HTTP) <= 0 ||
	    strcmp(value, "HTTP/1.1"))
		return false;
	if (lws_hdr_total_length(wsi, WSI_TOKEN_CONNECTION) > 0 &&
	    (lws_hdr_copy(wsi, value, sizeof(value), WSI_TOKEN_CONNECTION) <= 0 ||
	     strcasecmp(value, "keep-alive")))
		return false;
	return lws_hdr_total_length(wsi, WSI_TOKEN_UPGRADE) <= 0 &&
	       lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING) <= 0 &&
	       (posts || lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH) <= 0);
}

int sb_request_body_length(struct lws *wsi, uint32_t *ret_len)
{
	char value[16];
	unsigned long len;

	if (lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH) <= 0)
		return -ENODATA;
	/* Digits, RFC 9110 section 8.6; said twice it is a list here, and no number. */
	if (lws_hdr_copy(wsi, value, sizeof(value), WSI_TOKEN_HTTP_CONTENT_LENGTH) <= 0 ||
	    value[strspn(value, "0123456789")])
		return -EINVAL;
	len = strtoul(value, NULL, 10); /* 15 digits at most */
	if (len > SB_CLIENT_MESSAGE_MAX)
		return -EMSGSIZE;
	*ret_len = (uint32_t)len;
	return len ? 0 : -EINVAL;
}

bool sb_request_origin(struct lws *wsi, const char *allowed, char origin[SB_ORIGIN_MAX + 1])
{
	origin[0] = '\0';
	if (lws_hdr_total_length(wsi, WSI_TOKEN_ORIGIN) <= 0)
		return true;
	return lws_hdr_copy(wsi, origin, SB_ORIGIN_MAX + 1, WSI_TOKEN_ORIGIN) > 0 &&
	       is_listed(allowed, origin);
}

char *sb_request_token(struct lws *wsi)
{
	char header[512];
	const char *token = "";
	char *copy;

	if (lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_AUTHORIZATION) <= 0)
		return NULL;
	if (lws_hdr_copy(wsi, header, sizeof(header), WSI_TOKEN_HTTP_AUTHORIZATION) > 0 &&
	    !strncasecmp(header, "Bearer ", 7))
		token = header + 7 + strspn(header + 7, " ");
	copy = strdup(token);
	explicit_bzero(header, sizeof(header));
	return copy;
}

void sb_request_forget_token(char *token)
{
	if (!token)
		return;
	explicit_bzero(token, strlen(token));
	free(token);
}
