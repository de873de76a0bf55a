/* See doctor_user.h. A file that root can read says nothing of whether slotbelld can. */
#include "daemon/ctl/doctor_user.h"
#include "daemon/ctl/output.h"
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- users ---- */

void sb_user_by_id(uid_t uid, gid_t gid, struct sb_user *ret_user)
{
	const struct passwd *entry = getpwuid(uid);

	*ret_user = (struct sb_user){.identity = {.uid = uid, .gid = gid}};
	if (entry)
		(void)snprintf(ret_user->name, sizeof(ret_user->name), "%s", entry->pw_name);
	else
		(void)snprintf(ret_user->name, sizeof(ret_user->name), "%u", (unsigned int)uid);
}

bool sb_user_by_name(const char *name, struct sb_user *ret_user)
{
	const struct passwd *entry = getpwnam(name);
	struct sb_identity *identity = &ret_user->identity;
	int room = SB_GROUPS_MAX;

	if (!entry)
		return false;
	*ret_user = (struct sb_user){.identity = {.uid = entry->pw_uid, .gid = entry->pw_gid}};
	if (getgrouplist(name, entry->pw_gid, identity->groups, &room) >= 0 && room > 0)
		identity->group_count = (size_t)room;
	(void)snprintf(ret_user->name, sizeof(ret_user->name), "%s", name);
	return true;
}

/* ---- /proc/PID/status, which the kernel writes ---- */

#define STATUS_MAX 8192

static bool read_status(int process, char text[STATUS_MAX])
{
	int fd = openat(process, "status", O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t count = 0;

	while (fd >= 0 && len < STATUS_MAX - 1 &&
	       (count = read(fd, text + len, STATUS_MAX - 1 - len)) > 0)
		len += (size_t)count;
	if (fd >= 0)
		(void)close(fd);
	text[len] = '\0';
	return fd >= 0 && count >= 0 && len > 0;
}

/* What stands behind "\nKey:", or NULL. */
static const char *line_of(const char *status, const char *key)
{
	const char *line = strstr(status, key);

	return line ? line + strlen(key) : NULL;
}

/* "\treal\teffective\tsaved\tfile system's". False: they are not one. */
static bool read_ids(const char *line, unsigned long *ret_id)
{
	for (int i = 0; line && i < 4; i++) {
		char *end;
		unsigned long id = strtoul(line, &end, 10);

		if (end == line || (i && id != *ret_id))
			return false;
		*ret_id = id;
		line = end;
	}
	return line != NULL;
}

/* Its groups too: a unit may give it some that no file tells of. */
static void read_groups(const char *line, struct sb_identity *identity)
{
	const char *line_end = line ? strchrnul(line, '\n') : NULL;
	char *end;

	for (; line && identity->group_count < SB_GROUPS_MAX; line = end) {
		unsigned long group = strtoul(line, &end, 10);

		if (end == line || end > line_end)
			break;
		identity->groups[identity->group_count++] = (gid_t)group;
	}
}

static uint64_t capabilities(const char *status)
{
	const char *line = line_of(status, "\nCapPrm:");

	return line ? strtoull(line, NULL, 16) : 0;
}

/* ---- a daemon that is root ---- */

static bool has_same(int process, int us, const char *name)
{
	char a[64] = "", b[64] = "-";
	ssize_t a_len = readlinkat(process, name, a, sizeof(a) - 1);
	ssize_t b_len = readlinkat(us, name, b, sizeof(b) - 1);

	return a_len > 0 && a_len == b_len && memcmp(a, b, (size_t)a_len) == 0;
}

static bool runs_slotbelld(int process)
{
	static const char name[] = "/slotbelld";
	char path[4096];
	ssize_t len = readlinkat(process, "exe", path, sizeof(path) - 1);
	char *last;

	path[len > 0 ? len : 0] = '\0';
	last = strrchr(path, '/');
	return last && strncmp(last, name, strlen(name)) == 0 &&
	       (!last[strlen(name)] || strcmp(last + strlen(name), " (deleted)") == 0);
}

/*
 * A root that is less than we are (in a container, or with few capabilities) or
 * that is not slotbelld (a service manager, that made the socket for somebody
 * else) is not believed what we are about to do as root.
 */
static bool is_our_root(int process, const char *status)
{
	char own[STATUS_MAX];
	int us = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
	bool same = us >= 0 && read_status(us, own) &&
		    (capabilities(own) & ~capabilities(status)) == 0 &&
		    has_same(process, us, "ns/user") && has_same(process, us, "ns/mnt") &&
		    runs_slotbelld(process);

	if (us >= 0)
		(void)close(us);
	return same;
}

/* ---- the suspect ---- */

static bool know(struct sb_suspect *suspect, const struct ucred *peer, int process)
{
	char status[STATUS_MAX];
	unsigned long uid = 0, gid = 0;

	if (!read_status(process, status) || !read_ids(line_of(status, "\nUid:"), &uid) ||
	    uid != peer->uid || !read_ids(line_of(status, "\nGid:"), &gid))
		return false;
	if (uid == 0 && getuid() == 0 && !is_our_root(process, status))
		return false;
	sb_user_by_id((uid_t)uid, (gid_t)gid, &suspect->user);
	read_groups(line_of(status, "\nGroups:"), &suspect->user.identity);
	return true;
}

char *sb_suspect_ask(struct sb_suspect *ret_suspect, struct sb_talk *talk)
{
	char path[64], *answer;
	struct ucred sender;
	int process;

	*ret_suspect = (struct sb_suspect){.pid = talk->peer.pid, .environment = -1};
	/* A number may be another process's by now. This descriptor stays one process's for ever;
	 * and if that lives after the answer, then the number was its own in between. */
	(void)snprintf(path, sizeof(path), "/proc/%d", (int)talk->peer.pid);
	process = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	answer = sb_talk_ask(talk, "{\"command\":\"status\"}", &sender);
	if (answer && process >= 0 && sender.pid == talk->peer.pid &&
	    sender.uid == talk->peer.uid) {
		ret_suspect->environment = openat(process, "environ", O_RDONLY | O_CLOEXEC);
		/* In this order: a program that it runs instead is not it. */
		ret_suspect->known = know(ret_suspect, &talk->peer, process);
	}
	if (!ret_suspect->known && ret_suspect->environment >= 0) {
		(void)close(ret_suspect->environment);
		ret_suspect->environment = -1;
	}
	if (process >= 0)
		(void)close(process);
	return answer;
}
