/* Faults at system calls, and folders for what survives them. */
#include "faults.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
/* cmocka.h wants those above before it */
#include <cmocka.h>

struct faults faults;

int __real_openat(int dirfd, const char *name, int flags, ...);
ssize_t __real_write(int fd, const void *bytes, size_t len);
int __real_fsync(int fd);
int __real_close(int fd);
int __real_renameat(int from_dirfd, const char *from, int to_dirfd, const char *to);
/* The name with '*' for the part of a temporary file's that is random. */
static const char *steady(const char *name)
{
	static char names[2][512];
	static int next;
	const char *random = name;
	size_t digits = 0;

	while ((random = strchr(random, '.'))) {
		random++;
		digits = strspn(random, "0123456789abcdef");
		if (digits == 16 && !strcmp(random + digits, ".tmp"))
			break;
	}
	if (!random)
		return name;
	next = !next;
	(void)snprintf(names[next], sizeof(names[0]), "%.*s*.tmp", (int)(random - name), name);
	return names[next];
}

int __wrap_openat(int dirfd, const char *name, int flags, ...);
ssize_t __wrap_write(int fd, const void *bytes, size_t len);
int __wrap_fsync(int fd);
int __wrap_close(int fd);
int __wrap_renameat(int from_dirfd, const char *from, int to_dirfd, const char *to);

void faults_clear(void)
{
	memset(&faults, 0, sizeof(faults));
}

static void note(const char *format, va_list args) __attribute__((format(printf, 1, 0)));
static int step(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void note(const char *format, va_list args)
{
	size_t len = strlen(faults.did);

	if (len > 0 && len < sizeof(faults.did) - 2)
		len += (size_t)snprintf(faults.did + len, sizeof(faults.did) - len, "; ");
	(void)vsnprintf(faults.did + len, sizeof(faults.did) - len, format, args);
}

void faults_note(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	note(format, args);
	va_end(args);
}

/* Writes it down; not 0 when it is to fail. */
static int step(const char *format, ...)
{
	va_list args;

	if (++faults.steps == faults.die_at)
		_exit(FAULTS_DIED);
	va_start(args, format);
	note(format, args);
	va_end(args);
	if (faults.steps != faults.fail_at)
		return 0;
	errno = faults.error;
	return -1;
}

int __wrap_openat(int dirfd, const char *name, int flags, ...)
{
	mode_t mode;
	va_list args;

	if (!(flags & O_CREAT))
		return __real_openat(dirfd, name, flags);
	va_start(args, flags);
	mode = va_arg(args, mode_t);
	va_end(args);
	if (step("create %s", steady(name)) < 0)
		return -1;
	return __real_openat(dirfd, name, flags, mode);
}

ssize_t __wrap_write(int fd, const void *bytes, size_t len)
{
	if (step("write") < 0)
		return -1;
	return __real_write(fd, bytes, faults.short_writes ? (len + 1) / 2 : len);
}

int __wrap_fsync(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	if (step("fsync %s", S_ISDIR(st.st_mode) ? "folder" : "file") < 0)
		return -1;
	return __real_fsync(fd);
}

int __wrap_close(int fd)
{
	bool written = (fcntl(fd, F_GETFL) & O_ACCMODE) == O_WRONLY;
	int result = written ? step("close") : 0;

	/* As on Linux: closed, whatever it says. */
	return __real_close(fd) < 0 ? -1 : result;
}

int __wrap_renameat(int from_dirfd, const char *from, int to_dirfd, const char *to)
{
	if (step("rename %s %s", steady(from), to) < 0)
		return -1;
	return __real_renameat(from_dirfd, from, to_dirfd, to);
}

/* ---- folders ---- */

char *folder_new(void)
{
	const char *where = getenv("TMPDIR");
	char *folder;

	assert_true(asprintf(&folder, "%s/sb-test-XXXXXX", where ? where : "/tmp") > 0);
	assert_non_null(mkdtemp(folder));
	return folder;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

void folder_free(char *folder)
{
	assert_int_equal(nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
	free(folder);
}

const char *in_folder(const char *folder, const char *name)
{
	static char paths[2][4096];
	static int next;
	char *path = paths[next++ % 2];

	assert_true(snprintf(path, sizeof(paths[0]), "%s/%s", folder, name) <
		    (int)sizeof(paths[0]));
	return path;
}

void file_put(const char *folder, const char *name, const char *text)
{
	FILE *file = fopen(in_folder(folder, name), "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

char *file_get(const char *folder, const char *name)
{
	FILE *file = fopen(in_folder(folder, name), "r");
	size_t size = 2 * 1024 * 1024, len;
	char *text;

	if (!file)
		return NULL;
	text = malloc(size);
	assert_non_null(text);
	len = fread(text, 1, size - 1, file);
	text[len] = '\0';
	fclose(file);
	return text;
}

int folder_count(const char *folder)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	int count = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
			 strcmp(entry->d_name, ".slotbell.lock") != 0;
	}
	closedir(dir);
	return count;
}
