/*
 * Who the daemon is. A file that root can read says nothing of whether
 * slotbelld can; so what is its own is looked at with its user and groups.
 */
#include "daemon/ctl/doctor.h"
#include "daemon/ctl/output.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GROUPS_MAX	(sizeof(((struct sb_doctor_user *)NULL)->groups) / sizeof(gid_t))
#define ENVIRONMENT_MAX 65536

/* As whom the unit runs it, where it does not run and nobody is named. */
#define USUAL_USER "slotbell"

/* The whole of a small file of /proc, with a terminator; NULL: not to be had. To be freed. */
static char *read_proc(long long pid, const char *name, size_t *ret_len)
{
	char path[64];
	char *text = calloc(1, ENVIRONMENT_MAX + 1);
	ssize_t count = -1;
	int fd;

	sb_need(text);
	(void)snprintf(path, sizeof(path), "/proc/%lld/%s", pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	*ret_len = 0;
	while (fd >= 0 && *ret_len < ENVIRONMENT_MAX &&
	       (count = read(fd, text + *ret_len, ENVIRONMENT_MAX - *ret_len)) > 0)
		*ret_len += (size_t)count;
	if (fd >= 0)
		(void)close(fd);
	if (count < 0) {
		free(text);
		return NULL;
	}
	text[*ret_len] = '\0';
	return text;
}

static long long daemon_pid(const struct sb_doctor *doctor)
{
	return json_integer_value(json_object_get(doctor->status, "pid"));
}

static void name_user(struct sb_doctor_user *user)
{
	const struct passwd *entry = getpwuid(user->uid);

	if (entry)
		(void)snprintf(user->name, sizeof(user->name), "%s", entry->pw_name);
	else
		(void)snprintf(user->name, sizeof(user->name), "%u", (unsigned int)user->uid);
}

/* "Uid:\treal\teffective\t…" */
static unsigned long effective_id(const char *status, const char *key)
{
	const char *line = strstr(status, key);
	char *end;

	if (!line)
		return 0;
	(void)strtoul(line + strlen(key), &end, 10);
	return strtoul(end, NULL, 10);
}

/* Its groups too: a unit may give it some that no file tells of. */
static bool ask_process(struct sb_doctor_user *user, long long pid)
{
	size_t len;
	char *status = pid ? read_proc(pid, "status", &len) : NULL;
	char *groups = status ? strstr(status, "\nGroups:") : NULL;

	if (groups) {
		char *at = groups + strlen("\nGroups:"), *line_end = strchr(at, '\n'), *end;

		if (line_end)
			*line_end = '\0';
		user->uid = (uid_t)effective_id(status, "\nUid:");
		user->gid = (gid_t)effective_id(status, "\nGid:");
		for (; user->group_count < GROUPS_MAX; at = end) {
			unsigned long group = strtoul(at, &end, 10);

			if (end == at)
				break;
			user->groups[user->group_count++] = (gid_t)group;
		}
		name_user(user);
		user->known = true;
	}
	free(status);
	return user->known;
}

static void ask_system(struct sb_doctor_user *user, const char *name)
{
	const struct passwd *entry = getpwnam(name);
	int room = GROUPS_MAX, count;

	if (!entry)
		return;
	user->uid = entry->pw_uid;
	user->gid = entry->pw_gid;
	count = getgrouplist(name, entry->pw_gid, user->groups, &room);
	if (count >= 0)
		user->group_count = (size_t)count;
	(void)snprintf(user->name, sizeof(user->name), "%s", name);
	user->known = true;
}

void sb_doctor_meet_user(struct sb_doctor *doctor)
{
	if (doctor->user_name)
		ask_system(&doctor->user, doctor->user_name);
	else if (!ask_process(&doctor->user, daemon_pid(doctor)))
		ask_system(&doctor->user, USUAL_USER);
}

static bool is_taken(const char *entry)
{
	return strncmp(entry, "PG", 2) == 0 || strncmp(entry, "SLOTBELL_", 9) == 0;
}

void sb_doctor_take_environment(struct sb_doctor *doctor)
{
	long long pid = daemon_pid(doctor);
	size_t len = 0;
	char *text = pid ? read_proc(pid, "environ", &len) : NULL;

	for (char *entry = text; entry && entry < text + len; entry += strlen(entry) + 1) {
		static const char credentials[] = "CREDENTIALS_DIRECTORY=";
		char *equals = strchr(entry, '=');

		if (strncmp(entry, credentials, strlen(credentials)) == 0 && !doctor->credentials) {
			doctor->credentials = strdup(equals + 1);
			sb_need(doctor->credentials);
		}
		if (!equals || !is_taken(entry))
			continue;
		*equals = '\0';
		(void)setenv(entry, equals + 1, 1);
		*equals = '=';
	}
	if (text)
		explicit_bzero(text, len); /* there may be a password */
	free(text);
}

static bool can_become(const struct sb_doctor *doctor)
{
	return doctor->user.known && doctor->user.uid != 0 && getuid() == 0;
}

void sb_doctor_become_user(const struct sb_doctor *doctor)
{
	const struct sb_doctor_user *user = &doctor->user;

	if (!can_become(doctor))
		return;
	if (setgroups(user->group_count, user->groups) != 0 || setegid(user->gid) != 0 ||
	    seteuid(user->uid) != 0)
		sb_doctor_become_self(doctor); /* a sandbox may forbid it: then as ourselves */
}

void sb_doctor_become_self(const struct sb_doctor *doctor)
{
	if (!can_become(doctor))
		return;
	if (seteuid(0) != 0 || setegid(getgid()) != 0 || setgroups(0, NULL) != 0)
		abort(); /* whatever came next would be done as somebody else */
}

int sb_doctor_look_at(const struct sb_doctor *doctor, const char *file, struct stat *ret_stat)
{
	int error;

	sb_doctor_become_user(doctor);
	error = stat(file, ret_stat) != 0 || eaccess(file, R_OK) != 0 ? errno : 0;
	sb_doctor_become_self(doctor);
	return error;
}

const char *sb_doctor_reader(const struct sb_doctor *doctor)
{
	static char words[96];

	if (!can_become(doctor))
		return "us";
	(void)snprintf(words, sizeof(words), "the daemon's user %s", doctor->user.name);
	return words;
}
