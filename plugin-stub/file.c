/*
 * Whole files or none: write beside, fsync, rename. Called by calendar and
 * state between a message and its ack; blocks for the disk, which is the
 * point: an ack says that the appointment is on it.
 */
#include "plugin-stub/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

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

int sb_file_replace(int dirfd, const char *temporary, const char *name, const void *bytes,
		    size_t len)
{
	int fd = openat(dirfd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
			0600);
	int err;

	if (fd < 0)
		return -errno;
	err = write_all(fd, bytes, len);
	if (!err && fsync(fd) < 0)
		err = -errno;
	/* Some file systems report a failed write only here. */
	if (close(fd) < 0 && !err)
		err = -errno;
	if (!err && renameat(dirfd, temporary, dirfd, name) < 0)
		err = -errno;
	if (err)
		unlinkat(dirfd, temporary, 0);
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

static int read_open_file(int fd, size_t max_bytes, char **ret_bytes, size_t *ret_len)
{
	struct stat st;
	size_t size, len = 0;
	char *bytes;
	int err;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (st.st_size < 0 || (uintmax_t)st.st_size > max_bytes)
		return -EFBIG;
	size = (size_t)st.st_size;
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

int sb_file_read(int dirfd, const char *name, size_t max_bytes, char **ret_bytes, size_t *ret_len)
{
	/* Not blocking: a named pipe in its place must not hold us up before fstat sees it. */
	int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int err;

	if (fd < 0)
		return -errno;
	err = read_open_file(fd, max_bytes, ret_bytes, ret_len);
	close(fd);
	return err;
}
