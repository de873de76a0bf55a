/*
 * Whole files or none: write beside, fsync, rename. Called by calendar and
 * state between a message and its ack; blocks for the disk, which is the
 * point: an ack says that the appointment is on it.
 */
#include "plugin-stub/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define RANDOM_DIGITS 16 /* of a temporary file's name, hexadecimal */
#define NAME_TRIES    8

static int write_all(int fd, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, bytes, len);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		bytes += n;
		len -= (size_t)n;
	}
	return 0;
}

static bool is_owner_ours(const struct stat *st)
{
	return st->st_uid == geteuid() || st->st_uid == 0;
}

/* ---- writing ---- */

/*
 * A new file under a name that nobody could foresee. O_EXCL: what is there
 * already, a link included, is another's, or another process' luck.
 */
static int create_temporary(int dirfd, const char *stem, char name[NAME_MAX + 1])
{
	for (int i = 0; i < NAME_TRIES; i++) {
		uint64_t random;
		int fd;

		if (getrandom(&random, sizeof(random), 0) != sizeof(random))
			return -EIO;
		if (snprintf(name, NAME_MAX + 1, "%s.%016" PRIx64 ".tmp", stem, random) > NAME_MAX)
			return -ENAMETOOLONG;
		fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
			    0600);
		if (fd >= 0)
			return fd;
		if (errno != EEXIST)
			return -errno;
	}
	return -EEXIST;
}

static int move(int dirfd, const char *temporary, const char *name)
{
	if (renameat(dirfd, temporary, dirfd, name) == 0)
		return 0;
	/* The folder took our temporary file, so it is what has the name that may not go. */
	return errno == EPERM ? -EEXIST : -errno;
}

int sb_file_replace(int dirfd, const char *stem, const char *name, const void *bytes, size_t len)
{
	char temporary[NAME_MAX + 1];
	int fd = create_temporary(dirfd, stem, temporary);
	int err;

	if (fd < 0)
		return fd;
	err = write_all(fd, bytes, len);
	if (!err && fsync(fd) < 0)
		err = -errno;
	/* Some file systems report a failed write only here. */
	if (close(fd) < 0 && !err)
		err = -errno;
	if (!err)
		err = move(dirfd, temporary, name);
	if (err)
		unlinkat(dirfd, temporary, 0);
	return err;
}

/* STEM.tmp, or STEM.RANDOM.tmp. */
static bool is_leftover(const char *name, const char *stem)
{
	size_t stem_len = strlen(stem);

	if (strncmp(name, stem, stem_len) != 0)
		return false;
	name += stem_len;
	if (*name == '.' && strspn(name + 1, "0123456789abcdef") == RANDOM_DIGITS)
		name += 1 + RANDOM_DIGITS;
	return !strcmp(name, ".tmp");
}

void sb_file_tidy(int dirfd, const char *stem)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *entry;
	struct stat st;

	if (!folder) {
		if (fd >= 0)
			close(fd);
		return; /* they do no harm but the room that they take */
	}
	while ((entry = readdir(folder))) {
		if (is_leftover(entry->d_name, stem) &&
		    fstatat(dirfd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(st.st_mode) && st.st_uid == geteuid())
			unlinkat(dirfd, entry->d_name, 0);
	}
	closedir(folder);
}

/* Whether the file that is open is still the one of that name, and ours. */
static int check_lock(int dirfd, const char *name, int fd)
{
	struct stat st, named;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!is_owner_ours(&st))
		return -EPERM;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return -errno;
	if (fstatat(dirfd, name, &named, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? -ESTALE : -errno;
	return named.st_dev == st.st_dev && named.st_ino == st.st_ino ? 0 : -ESTALE;
}

int sb_file_lock(int dirfd, const char *name, int *ret_fd)
{
	int err = -ESTALE;

	/* Again where its last holder has removed it meanwhile. */
	for (int i = 0; i < NAME_TRIES && err == -ESTALE; i++) {
		/* Not blocking: it may be a named pipe that somebody put there. */
		int fd = openat(dirfd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
				0600);

		if (fd < 0)
			return -errno;
		err = check_lock(dirfd, name, fd);
		if (err)
			close(fd);
		else
			*ret_fd = fd;
	}
	return err;
}

int sb_file_sync_folder(int dirfd)
{
	return fsync(dirfd) < 0 ? -errno : 0;
}

static int read_all(int fd, char *bytes, size_t size, size_t *ret_len)
{
	size_t len = 0;

	while (len < size) {
		ssize_t n = read(fd, bytes + len, size - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	*ret_len = len;
	return 0;
}

static int read_open_file(int fd, const struct stat *st, size_t max_bytes, char **ret_bytes,
			  size_t *ret_len)
{
	size_t size, len = 0;
	char *bytes;
	int err;

	if (!S_ISREG(st->st_mode))
		return -EINVAL;
	if (st->st_size < 0 || (uintmax_t)st->st_size > max_bytes)
		return -EFBIG;
	size = (size_t)st->st_size;
	bytes = malloc(size + 1);
	if (!bytes)
		return -ENOMEM;
	err = read_all(fd, bytes, size, &len);
	if (err) {
		free(bytes);
		return err;
	}
	bytes[len] = '\0';
	*ret_bytes = bytes;
	*ret_len = len;
	return 0;
}

/* Not blocking: a named pipe in its place must not hold us up before fstat sees it. */
#define READ_FLAGS (O_RDONLY | O_CLOEXEC | O_NONBLOCK)

int sb_file_read(int dirfd, const char *name, size_t max_bytes, char **ret_bytes, size_t *ret_len)
{
	int fd = openat(dirfd, name, READ_FLAGS);
	struct stat st;
	int err;

	if (fd < 0)
		return -errno;
	err = fstat(fd, &st) < 0 ? -errno : read_open_file(fd, &st, max_bytes, ret_bytes, ret_len);
	close(fd);
	return err;
}

/* Why it was not opened: `err`, unless the reason is that it is another's or no file. */
static int explain(int dirfd, const char *name, int err)
{
	struct stat st;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -err;
	if (!is_owner_ours(&st))
		return -EPERM;
	return S_ISREG(st.st_mode) ? -err : -EINVAL;
}

int sb_file_read_ours(int dirfd, const char *name, size_t max_bytes, char **ret_bytes,
		      size_t *ret_len)
{
	int fd = openat(dirfd, name, READ_FLAGS | O_NOFOLLOW);
	struct stat st;
	int err;

	if (fd < 0)
		return errno == ENOENT ? -ENOENT : explain(dirfd, name, errno);
	if (fstat(fd, &st) < 0)
		err = -errno;
	else if (!is_owner_ours(&st))
		err = -EPERM;
	else
		err = read_open_file(fd, &st, max_bytes, ret_bytes, ret_len);
	close(fd);
	return err;
}
