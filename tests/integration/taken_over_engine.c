/*
 * What a daemon that was taken over has libpq load: a library that writes down
 * what the process is that loaded it, and what it can get there.
 *
 * Beside it lie `mode` (what to do then) and, where it may write, `report`.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <unistd.h>

extern char **environ;

static FILE *report;

/* Not to be found by itself. */
static const char hidden[] = "benjojtusbupst.tfdsfu";

/* /proc/self/mem is root's in a process that is not to be dumped; this is not refused. */
static ssize_t read_own(char *copy, unsigned long from, size_t size)
{
	struct iovec here = {.iov_base = copy, .iov_len = size};
	struct iovec there = {.iov_base = (void *)from, .iov_len = size};

	return process_vm_readv(getpid(), &here, 1, &there, 1, 0);
}

static size_t count_secrets(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[4096], *end, needle[sizeof(hidden)];
	size_t found = 0;

	for (size_t i = 0; i + 1 < sizeof(hidden); i++)
		needle[i] = (char)(hidden[i] - 1);
	while (maps && fgets(line, sizeof(line), maps)) {
		unsigned long from = strtoul(line, &end, 16);
		unsigned long to = *end == '-' ? strtoul(end + 1, &end, 16) : 0;
		char *copy;
		ssize_t len;

		/* "FROM-TO rw-p"; the sanitizers' shadows are too large to look at. */
		if (strncmp(end, " rw", 3) != 0 || to - from > 64UL << 20)
			continue;
		copy = malloc(to - from);
		len = copy ? read_own(copy, from, to - from) : -1;
		for (char *at = copy; len > 0 && (at = memmem(at, (size_t)(copy + len - at), needle,
							      sizeof(needle) - 1));
		     at++) {
			found += from + (unsigned long)(at - copy) != (unsigned long)needle;
		}
		if (copy)
			memset(copy, 0, to - from);
		free(copy);
	}
	memset(needle, 0, sizeof(needle));
	return found;
}

static void tell_ids(void)
{
	uid_t r, e, s;
	gid_t gr, ge, gs, groups[64];
	int count = getgroups(64, groups);

	(void)getresuid(&r, &e, &s);
	(void)getresgid(&gr, &ge, &gs);
	fprintf(report, "uids %u %u %u\ngids %u %u %u\ngroups", r, e, s, gr, ge, gs);
	for (int i = 0; i < count; i++)
		fprintf(report, " %u", groups[i]);
	fprintf(report, "\n");
}

static void tell_status(void)
{
	FILE *status = fopen("/proc/self/status", "r");
	char line[512];

	while (status && fgets(line, sizeof(line), status)) {
		if (!strncmp(line, "CapPrm", 6) || !strncmp(line, "CapEff", 6) ||
		    !strncmp(line, "NoNewPrivs", 10))
			fprintf(report, "%s", line);
	}
}

static void act(const char *folder)
{
	static const char forged[] = "f\0\0\0\x10\0\0\0"
				     "0\033]0;pwned\a\xc2\x9b"
				     "31m\n!!";
	char path[4096], mode[32] = "";
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/mode", folder);
	file = fopen(path, "r");
	if (file && !fgets(mode, sizeof(mode), file))
		*mode = '\0';
	if (!strcmp(mode, "crash"))
		abort();
	if (!strcmp(mode, "forge"))
		(void)!write(1, forged, sizeof(forged) - 1);
	if (!strcmp(mode, "enrol"))
		(void)!write(1, "e\0\0\0\0\0\0\0", 8);
	if (!strcmp(mode, "long"))
		(void)!write(1,
			     "f\0\0\0\xff\xff\xff\xff"
			     "0",
			     9);
	if (*mode)
		_exit(0);
}

__attribute__((constructor)) static void loaded(void)
{
	char folder[2048], path[4096];
	Dl_info info;

	if (!dladdr((void *)(uintptr_t)&loaded, &info))
		return;
	(void)snprintf(folder, sizeof(folder), "%s", info.dli_fname);
	*strrchr(folder, '/') = '\0';
	(void)snprintf(path, sizeof(path), "%s/report", folder);
	report = fopen(path, "a");
	if (report) {
		tell_ids();
		tell_status();
		fprintf(report, "secrets %zu\n", count_secrets());
		fprintf(report, "dumpable %d\n", prctl(PR_GET_DUMPABLE, 0, 0, 0, 0));
		fprintf(report, "terminal %d\n", open("/dev/tty", O_RDWR) >= 0);
		for (char **variable = environ; *variable; variable++)
			fprintf(report, "variable %s\n", *variable);
		for (int fd = 0; fd < 1024; fd++) {
			char name[64], target[512] = "";

			(void)snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
			if (fd != fileno(report) && readlink(name, target, sizeof(target) - 1) > 0)
				fprintf(report, "fd %d %s\n", fd, target);
		}
		fprintf(report, "back %d\n",
			setresuid(0, 0, 0) == 0 || seteuid(0) == 0 || setuid(0) == 0);
		tell_ids();
		fclose(report);
	}
	act(folder);
}
