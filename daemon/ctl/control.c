/* One question, one answer, each a line of JSON; see control.h. */
#include "daemon/ctl/control.h"
#include "daemon/ctl/output.h"
#include "daemon/ctl/shed.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* For all of an answer; a reload reads files. */
#define PATIENCE_MS 30000
/* An answer is some kilobytes; more than this is no slotbelld's. */
#define ANSWER_MAX (4 * 1024 * 1024)

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

static int64_t now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

/* ---- the connection ---- */

/* False: it is too long for a socket's. */
static bool name_socket(const struct sb_ctl *ctl, struct sb_talk *talk)
{
	const char *path = ctl->socket ? ctl->socket : getenv("SLOTBELL_CONTROL_SOCKET");
	int len;

	if (ctl->instance)
		len = snprintf(talk->path, sizeof(talk->path), SB_INSTANCE_CONTROL_SOCKET,
			       ctl->instance);
	else
		len = snprintf(talk->path, sizeof(talk->path), "%s",
			       path && *path ? path : SB_CONTROL_SOCKET);
	return len >= 0 && (size_t)len < sizeof(((struct sockaddr_un *)NULL)->sun_path);
}

static char *cannot_reach(const char *path)
{
	const char *hint = "is it running, and is this its [control] socket? (--socket PATH names "
			   "another one)";

	if (errno == EACCES)
		hint = "it is for root and for the group of its socket";
	return words("cannot reach slotbelld at %s: %s; %s", path, strerror(errno), hint);
}

bool sb_talk_open(const struct sb_ctl *ctl, struct sb_talk *talk, char **ret_why)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	socklen_t len = sizeof(talk->peer);
	struct timeval patience;
	int on = 1;

	*talk = (struct sb_talk){.fd = -1,
				 .patience_ms = ctl->patience_ms ? ctl->patience_ms : PATIENCE_MS};
	/* For who listens and takes nobody in. */
	patience = (struct timeval){.tv_sec = talk->patience_ms / 1000};
	if (!name_socket(ctl, talk)) {
		*ret_why =
			words("the path of the control socket is longer than %zu: %s",
			      sizeof(address.sun_path) - 1, ctl->socket ? ctl->socket : talk->path);
		return false;
	}
	memcpy(address.sun_path, talk->path, strlen(talk->path));
	talk->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (talk->fd >= 0 &&
	    setsockopt(talk->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) == 0 &&
	    connect(talk->fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
	    getsockopt(talk->fd, SOL_SOCKET, SO_PEERCRED, &talk->peer, &len) == 0 &&
	    /* Not before: a socket that has it takes a name of its own to connect. */
	    setsockopt(talk->fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) == 0)
		return true;
	*ret_why = cannot_reach(talk->path);
	sb_talk_close(talk);
	return false;
}

void sb_talk_close(struct sb_talk *talk)
{
	if (talk->fd >= 0)
		(void)close(talk->fd);
	talk->fd = -1;
}

/* ---- one question ---- */

static bool wait_for(const struct sb_talk *talk, short events, int64_t deadline)
{
	struct pollfd file = {.fd = talk->fd, .events = events};

	for (;;) {
		int64_t left = deadline - now_ms();
		int ready = left > 0 ? poll(&file, 1, (int)left) : 0;

		if (ready >= 0 || errno != EINTR)
			return ready > 0;
	}
}

static bool send_all(const struct sb_talk *talk, const char *text, size_t len, int64_t deadline)
{
	while (len > 0) {
		ssize_t sent = wait_for(talk, POLLOUT, deadline)
				       ? send(talk->fd, text, len, MSG_NOSIGNAL | MSG_DONTWAIT)
				       : -1;

		if (sent < 0 && (errno == EINTR || errno == EAGAIN) && now_ms() < deadline)
			continue;
		if (sent < 0)
			return false;
		text += sent;
		len -= (size_t)sent;
	}
	return true;
}

/* There is room for who wrote it and for nothing else: descriptors that come along are closed. */
static ssize_t receive(const struct sb_talk *talk, char *bytes, size_t size,
		       struct ucred *ret_sender)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(struct ucred))];
	} control;
	struct iovec part = {.iov_base = bytes, .iov_len = size};
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = control.bytes,
				 .msg_controllen = sizeof(control.bytes)};
	ssize_t count = recvmsg(talk->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	const struct cmsghdr *told = count > 0 ? CMSG_FIRSTHDR(&message) : NULL;

	*ret_sender = (struct ucred){0};
	if (told && told->cmsg_level == SOL_SOCKET && told->cmsg_type == SCM_CREDENTIALS &&
	    told->cmsg_len == CMSG_LEN(sizeof(*ret_sender)))
		memcpy(ret_sender, CMSG_DATA(told), sizeof(*ret_sender));
	return count;
}

static bool is_same(const struct ucred *a, const struct ucred *b)
{
	return a->pid == b->pid && a->uid == b->uid && a->gid == b->gid;
}

/* A line without its end, to be freed; NULL: none came. */
static char *read_line(const struct sb_talk *talk, int64_t deadline, struct ucred *ret_sender)
{
	char *line = NULL, part[65536];
	size_t len = 0;

	while (len < ANSWER_MAX && wait_for(talk, POLLIN, deadline)) {
		struct ucred sender;
		ssize_t count = receive(talk, part, sizeof(part), &sender);
		char *grown;

		if (count < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (count <= 0)
			break;
		if (len == 0)
			*ret_sender = sender;
		else if (!is_same(ret_sender, &sender))
			ret_sender->pid = 0;
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

char *sb_talk_ask(struct sb_talk *talk, const char *question, struct ucred *ret_sender)
{
	int64_t deadline = now_ms() + talk->patience_ms;
	struct ucred sender = {0};
	char *line = NULL, *asked = words("%s\n", question);

	if (send_all(talk, asked, strlen(asked), deadline))
		line = read_line(talk, deadline, &sender);
	free(asked);
	if (ret_sender)
		*ret_sender = sender;
	return line;
}

json_t *sb_talk_understand(const struct sb_talk *talk, const char *line, char **ret_why)
{
	json_t *answer = line ? json_loads(line, 0, NULL) : NULL;
	const char *error = json_string_value(json_object_get(answer, "error"));

	if (json_is_true(json_object_get(answer, "ok"))) {
		(void)json_object_del(answer, "ok");
		/* It knows; we know better. */
		if (json_object_get(answer, "pid"))
			sb_need(json_object_set_new(answer, "pid", json_integer(talk->peer.pid)) ==
				0);
		return answer;
	}
	*ret_why = error ? words("slotbelld refuses: %s", error)
			 : words("slotbelld at %s gave no answer", talk->path);
	json_decref(answer);
	return NULL;
}

json_t *sb_control_ask(struct sb_ctl *ctl, struct sb_talk *talk, json_t *question)
{
	char *why = NULL, *text, *line;
	json_t *answer;

	sb_need(question);
	text = json_dumps(question, JSON_COMPACT);
	json_decref(question);
	sb_need(text);
	line = sb_talk_ask(talk, text, NULL);
	free(text);
	answer = sb_talk_understand(talk, line, &why);
	free(line);
	if (!answer)
		ctl->status = sb_ctl_fail("%s", why);
	free(why);
	return answer;
}

/* ---- in a process of its own ---- */

static void wipe(const char *text)
{
	if (text)
		explicit_bzero((void *)(uintptr_t)text, strlen(text));
}

/* The administrator's way into the database is of no use here. */
static void forget_secrets(struct sb_ctl *ctl)
{
	wipe(ctl->database);
	ctl->database = NULL;
	for (char **variable = environ; variable && *variable; variable++) {
		if (strncmp(*variable, "PG", 2) == 0 || strstr(*variable, "DATABASE_URL="))
			wipe(*variable);
	}
	(void)clearenv();
}

static void work_and_exit(struct sb_ctl *ctl, struct sb_talk *talk, sb_control_work *work,
			  void *data, pid_t parent)
{
	enum sb_exit status = SB_EXIT_FAILED;
	int result = sb_shed_to_print(parent);

	if (result == 0) {
		forget_secrets(ctl);
		status = work(ctl, talk, data);
	} else {
		(void)sb_ctl_fail("cannot give up the rights that reading the answer does not "
				  "need: %s",
				  strerror(-result));
	}
	if (fflush(stdout) != 0 && status == SB_EXIT_DONE)
		status = sb_ctl_fail("cannot write to standard output: %s", strerror(errno));
	_exit((int)status);
}

static enum sb_exit wait_for_work(pid_t child)
{
	int status = 0;

	while (waitpid(child, &status, 0) < 0) {
		if (errno != EINTR)
			return sb_ctl_fail("cannot wait: %s", strerror(errno));
	}
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE)
		(void)raise(SIGPIPE); /* it was our standard output */
	if (WIFSIGNALED(status))
		return sb_ctl_fail("reading the answer ended by signal %d", WTERMSIG(status));
	return WEXITSTATUS(status) == SB_EXIT_DONE ? SB_EXIT_DONE : SB_EXIT_FAILED;
}

enum sb_exit sb_control_do(struct sb_ctl *ctl, sb_control_work *work, void *data)
{
	pid_t us = getpid(), child;
	struct sb_talk talk;
	char *why = NULL;

	if (!sb_talk_open(ctl, &talk, &why)) {
		ctl->status = sb_ctl_fail("%s", why);
		free(why);
		return ctl->status;
	}
	/* What is still to be written would be written twice. */
	(void)fflush(stdout);
	child = fork();
	if (child == 0)
		work_and_exit(ctl, &talk, work, data, us);
	ctl->status = child > 0 ? wait_for_work(child)
				: sb_ctl_fail("cannot make a process: %s", strerror(errno));
	sb_talk_close(&talk);
	return ctl->status;
}
