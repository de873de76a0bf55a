/* What an HTTP request asks for: query, headers, and nothing of its path. */
#include "daemon/edge/http/exchange.h"
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

/* What is not known is passed over, as an unknown field of a message is. */
static int take_parameter(const char *name, const char *value, struct sb_opening *opening,
			  const char **ret_detail)
{
	enum sb_role role = opening->role;

	if (!value)
		return 0;
	if (!strcmp(name, "token") || !strcmp(name, "access_token")) {
		*ret_detail =
			"a token in a URL ends up in logs; send it in the Authorization header";
		return -EINVAL;
	}
	if (role == SB_ROLE_POLL && !strcmp(name, "after")) {
		*ret_detail = "after is not a cursor, EPOCH.SEQ";
		return take_cursor(value, opening);
	}
	if (role == SB_ROLE_POLL && !strcmp(name, "limit")) {
		*ret_detail = "limit is not a number from 1 to 256";
		return parse_number(value, 1, SB_WINDOW_MAX, &opening->limit);
	}
	if (role == SB_ROLE_POLL && !strcmp(name, "wait")) {
		*ret_detail = "wait is not a number of seconds from 0 to 50";
		return parse_number(value, 0, SB_POLL_WAIT_MAX_SECONDS, &opening->wait_seconds);
	}
	if ((role == SB_ROLE_LIVE || role == SB_ROLE_ONCE) && !strcmp(name, "mode")) {
		*ret_detail = "mode is neither live nor once";
		return take_mode(value, opening);
	}
	return 0;
}

static int take_parameters(struct sb_http_slice query, struct sb_opening *opening,
			   const char **ret_detail)
{
	char room[PARAMETER_MAX];
	const char *name, *value;
	int result;

	while ((result = sb_http_next_parameter(&query, room, sizeof(room), &name, &value)) == 1) {
		if (take_parameter(name, value, opening, ret_detail) != 0)
			return -EINVAL;
	}
	if (result == 0)
		return 0;
	*ret_detail = result == -EMSGSIZE ? "a parameter of the query is too long"
					  : "a parameter of the query holds an encoded NUL";
	return -EINVAL;
}

int sb_asked_opening(const struct sb_http_request *request, enum sb_role role,
		     struct sb_opening *ret_opening, const char **ret_detail)
{
	struct sb_http_slice id = request->fields[SB_HTTP_LAST_EVENT_ID];

	*ret_opening = (struct sb_opening){.role = role};
	if (take_parameters(request->query, ret_opening, ret_detail) != 0)
		return -EINVAL;
	/* HTML standard, section 9.2: what a client sends to go on where its stream broke off. */
	if (role != SB_ROLE_LIVE || !id.len)
		return 0;
	*ret_detail = "Last-Event-ID is not a cursor, EPOCH.SEQ";
	ret_opening->has_cursor = true;
	return sb_cursor_parse(id.bytes, id.len, &ret_opening->cursor);
}

bool sb_asked_origin_is_allowed(const struct sb_http_request *request, const char *allowed)
{
	struct sb_http_slice origin = request->fields[SB_HTTP_ORIGIN];

	if (!origin.bytes)
		return true;
	if (!origin.len || origin.len > SB_ORIGIN_MAX)
		return false;
	for (const char *at = allowed + strspn(allowed, ", "); *at;) {
		size_t span = strcspn(at, ", ");

		if (span == origin.len && !strncasecmp(at, origin.bytes, span))
			return true;
		at += span;
		at += strspn(at, ", ");
	}
	return false;
}

char *sb_asked_token(const struct sb_http_request *request)
{
	static const char scheme[] = "Bearer ";
	struct sb_http_slice value = request->fields[SB_HTTP_AUTHORIZATION];
	size_t at = strlen(scheme);

	if (!value.bytes)
		return NULL;
	if (value.len < at || strncasecmp(value.bytes, scheme, at) != 0)
		return strdup("");
	while (at < value.len && value.bytes[at] == ' ')
		at++;
	return strndup(value.bytes + at, value.len - at);
}

void sb_asked_forget_token(char *token)
{
	if (!token)
		return;
	explicit_bzero(token, strlen(token));
	free(token);
}
