/* See channel.h. */
#include "daemon/ctl/channel.h"
#include "daemon/ctl/doctor.h"
#include "daemon/ctl/output.h"
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct head {
	char kind;
	uint32_t len;
};

static bool wait_for(int fd, short events, int64_t deadline)
{
	struct pollfd file = {.fd = fd, .events = events};

	for (;;) {
		int64_t left = deadline - sb_doctor_now_ms();
		int ready = left > 0 ? poll(&file, 1, left < INT_MAX ? (int)left : INT_MAX) : 0;

		if (ready > 0 || (ready < 0 && errno != EINTR))
			return ready > 0;
		if (ready == 0 && left <= INT_MAX)
			return false;
	}
}

static bool write_all(int fd, const void *bytes, size_t len, int64_t deadline)
{
	const char *at = bytes;

	while (len > 0) {
		ssize_t count = wait_for(fd, POLLOUT, deadline) ? write(fd, at, len) : 0;

		if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR))
			return false;
		if (count < 0)
			continue;
		at += count;
		len -= (size_t)count;
	}
	return true;
}

static bool read_all(int fd, void *bytes, size_t len, int64_t deadline)
{
	char *at = bytes;

	while (len > 0) {
		ssize_t count = wait_for(fd, POLLIN, deadline) ? read(fd, at, len) : 0;

		if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR))
			return false;
		if (count < 0)
			continue;
		at += count;
		len -= (size_t)count;
	}
	return true;
}

bool sb_channel_send(const struct sb_channel *channel, char kind, const void *bytes, size_t len,
		     int64_t deadline_ms)
{
	struct head head;

	memset(&head, 0, sizeof(head)); /* what lies between the fields, too */
	head.kind = kind;
	head.len = (uint32_t)len;
	return len <= UINT32_MAX && write_all(channel->out, &head, sizeof(head), deadline_ms) &&
	       write_all(channel->out, bytes, len, deadline_ms);
}

char *sb_channel_receive(const struct sb_channel *channel, size_t max, char *ret_kind,
			 size_t *ret_len, int64_t deadline_ms)
{
	struct head head;
	char *bytes;

	if (!read_all(channel->in, &head, sizeof(head), deadline_ms) || head.len > max)
		return NULL;
	bytes = calloc(1, (size_t)head.len + 1);
	sb_need(bytes);
	if (!read_all(channel->in, bytes, head.len, deadline_ms)) {
		free(bytes);
		return NULL;
	}
	bytes[head.len] = '\0';
	*ret_kind = head.kind;
	*ret_len = head.len;
	return bytes;
}
