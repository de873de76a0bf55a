/* One question, one answer, each a line of JSON; see control.h. */
#include "daemon/ctl/control.h"
#include "daemon/ctl/output.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* For all of an answer; a reload reads files. */
#define PATIENCE_MS 30000
/* An answer is some kilobytes; more than this is no slotbelld's. */
#define ANSWER_MAX (4 * 1024 * 1024)

#define PATH_MAX_HERE (sizeof(SB_INSTANCE_CONTROL_SOCKET) + SB_INSTANCE_MAX)

/* Borrowed from `ctl`, the environment or `buffer`. */
static const char *socket_path(const struct sb_ctl *ctl, char buffer[PATH_MAX_HERE])
{
	const char *path = ctl->socket ? ctl->socket : getenv("SLOTBELL_CONTROL_SOCKET");

	if (ctl->instance) {
		(void)snprintf(buffer, PATH_MAX_HERE, SB_INSTANCE_CONTROL_SOCKET, ctl->instance);
		return buffer;
	}
	return path && *path ? path : SB_CONTROL_SOCKET;
}

static char *words(const char *format, ...) __attribute__((format(printf, 1, 2)));

static char *words(const char *format, ...)
{
	char *text;
	va_list args;

	va_start(args, format);
	sb_need(vasprintf(&text, format, args) >= 0);
	va_end(args);
	return text;
}

static char *cannot_reach(const char *path)
{
	const char *hint = "is it running, and is this its [control] socket? (--socket PATH names "
			   "another one)";

	if (errno == EACCES)
		hint = "it is for root and for the group of its socket";
	return words("cannot reach slotbelld at %s: %s; %s", path, strerror(errno), hint);
}

/* The descriptor, or -1 with *ret_why. */
static int reach(const char *path, char **ret_why)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd;

	if (strlen(path) >= sizeof(address.sun_path)) {
		*ret_why = words("the path of the control socket is longer than %zu: %s",
				 sizeof(address.sun_path) - 1, path);
		return -1;
	}
	memcpy(address.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	*ret_why = cannot_reach(path);
	if (fd >= 0)
		(void)close(fd);
	return -1;
}

static bool send_all(int fd, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t sent = send(fd, text, len, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return false;
		text += sent;
		len -= (size_t)sent;
	}
	return true;
}

/* A line without its end, to be freed; NULL: none came. */
static char *read_line(int fd, int patience_ms)
{
	struct pollfd file = {.fd = fd, .events = POLLIN};
	char *line = NULL, part[65536];
	size_t len = 0;

	while (len < ANSWER_MAX && poll(&file, 1, patience_ms) > 0) {
		ssize_t count = recv(fd, part, sizeof(part), 0);
		char *grown;

		if (count <= 0)
			break;
		grown = realloc(line, len + (size_t)count + 1);
		sb_need(grown);
		line = grown;
		memcpy(line + len, part, (size_t)count);
		len += (size_t)count;
		line[len] = '\0';
		if (line[len - 1] == '\n')
			return line;
	}
	free(line);
	return NULL;
}

static json_t *exchange(int fd, const char *question, int patience_ms)
{
	char *line;
	json_t *answer;

	if (!send_all(fd, question, strlen(question)) || !send_all(fd, "\n", 1))
		return NULL;
	line = read_line(fd, patience_ms);
	answer = line ? json_loads(line, 0, NULL) : NULL;
	free(line);
	return answer;
}

json_t *sb_control_try(const struct sb_ctl *ctl, json_t *question, char **ret_why)
{
	char buffer[PATH_MAX_HERE];
	const char *path = socket_path(ctl, buffer);
	char *text;
	json_t *answer;
	int fd;

	sb_need(question);
	text = json_dumps(question, JSON_COMPACT);
	json_decref(question);
	sb_need(text);
	fd = reach(path, ret_why);
	if (fd < 0) {
		free(text);
		return NULL;
	}
	answer = exchange(fd, text, ctl->patience_ms ? ctl->patience_ms : PATIENCE_MS);
	(void)close(fd);
	free(text);
	if (json_is_true(json_object_get(answer, "ok"))) {
		(void)json_object_del(answer, "ok");
		return answer;
	}
	if (json_is_string(json_object_get(answer, "error")))
		*ret_why = words("slotbelld refuses: %s",
				 json_string_value(json_object_get(answer, "error")));
	else
		*ret_why = words("slotbelld at %s gave no answer", path);
	json_decref(answer);
	return NULL;
}

json_t *sb_control_ask(struct sb_ctl *ctl, json_t *question)
{
	char *why = NULL;
	json_t *answer = sb_control_try(ctl, question, &why);

	if (!answer)
		ctl->status = sb_ctl_fail("%s", why);
	free(why);
	return answer;
}
