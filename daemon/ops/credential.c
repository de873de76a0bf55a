/* One small file, read strictly; see credential.h. */
#include "daemon/ops/credential.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* All there is, at most `size` bytes: how many, or a negative errno. */
static ssize_t read_all(int fd, char *buffer, size_t size)
{
	size_t len = 0;

	while (len < size) {
		ssize_t count = read(fd, buffer + len, size - len);

		if (count < 0)
			return -errno;
		if (count == 0)
			break;
		len += (size_t)count;
	}
	return (ssize_t)len;
}

static int check(char *text, size_t len)
{
	if (len > SB_CREDENTIAL_MAX + 1)
		return -EFBIG;
	if (len && text[len - 1] == '\n')
		text[--len] = '\0';
	if (len > SB_CREDENTIAL_MAX)
		return -EFBIG;
	return len && strlen(text) == len && !strchr(text, '\n') ? 0 : -EINVAL;
}

int sb_credential_read(const char *folder, const char *name, char **ret_text)
{
	char path[512];
	char *text;
	ssize_t len;
	int fd, result;

	*ret_text = NULL;
	if (!folder)
		return 0;
	if ((size_t)snprintf(path, sizeof(path), "%s/%s", folder, name) >= sizeof(path))
		return -ENAMETOOLONG;
	/* A pipe in its place is empty, and nobody waits for it. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	/* One byte more than is good with its newline, so that a longer one is seen. */
	text = calloc(1, SB_CREDENTIAL_MAX + 3);
	len = text ? read_all(fd, text, SB_CREDENTIAL_MAX + 2) : -ENOMEM;
	(void)close(fd);
	result = len < 0 ? (int)len : check(text, (size_t)len);
	if (result != 0) {
		sb_credential_free(text);
		return result;
	}
	*ret_text = text;
	return 0;
}

int sb_credential_take(const char *bytes, size_t len, char **ret_text)
{
	char *text = calloc(1, SB_CREDENTIAL_MAX + 3);
	size_t most = SB_CREDENTIAL_MAX + 2;
	int result;

	*ret_text = NULL;
	if (!text)
		return -ENOMEM;
	memcpy(text, bytes, len < most ? len : most);
	result = check(text, len < most ? len : most);
	if (result == 0)
		*ret_text = text;
	else
		sb_credential_free(text);
	return result;
}

const char *sb_credential_problem(int error)
{
	return error == -EINVAL	 ? "it is empty, or not one line of text"
	       : error == -EFBIG ? "it is too long for a password"
				 : strerror(-error);
}

void sb_credential_free(char *text)
{
	if (!text)
		return;
	explicit_bzero(text, SB_CREDENTIAL_MAX + 2);
	free(text);
}
