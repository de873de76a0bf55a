/* Files that are copied as they are, and the copies. */
#include "daemon/ctl/doctor.h"
#include "daemon/ctl/output.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CA_BYTES_MAX (4 * 1024 * 1024)

const char *sb_doctor_paper(const struct sb_doctor *doctor, enum sb_paper paper)
{
	return doctor->papers.of[paper].bytes;
}

void sb_papers_put(struct sb_papers *papers, enum sb_paper paper, char *bytes, size_t len)
{
	free(papers->of[paper].bytes);
	papers->of[paper].bytes = bytes;
	papers->of[paper].len = len;
}

void sb_papers_put_text(struct sb_papers *papers, enum sb_paper paper, const char *text)
{
	char *copy = text ? strdup(text) : NULL;

	sb_need(!text || copy);
	sb_papers_put(papers, paper, copy, copy ? strlen(copy) : 0);
}

/* The end of "LABEL-----" behind "-----BEGIN " if that is a public thing's; else NULL. */
static const char *public_label(const char *text)
{
	static const char *const labels[] = {"CERTIFICATE-----", "X509 CERTIFICATE-----",
					     "TRUSTED CERTIFICATE-----", "X509 CRL-----"};

	for (size_t i = 0; i < sizeof(labels) / sizeof(*labels); i++) {
		if (strncmp(text, labels[i], strlen(labels[i])) == 0)
			return labels[i];
	}
	return NULL;
}

void sb_papers_put_certificates(struct sb_papers *papers, enum sb_paper paper, const char *path)
{
	static const char begin[] = "-----BEGIN ", end[] = "-----END ";
	char *bytes, *kept;
	size_t len, kept_len = 0;

	if (sb_doctor_read_file(path, CA_BYTES_MAX, &bytes, &len, NULL) != 0)
		return;
	kept = calloc(2, len + 1);
	sb_need(kept);
	for (const char *at = bytes; (at = strstr(at, begin)); at += strlen(begin)) {
		const char *label = public_label(at + strlen(begin));
		const char *last = label ? strstr(at, end) : NULL;
		size_t size;

		if (!last || strncmp(last + strlen(end), label, strlen(label)) != 0)
			continue;
		last += strlen(end) + strlen(label);
		size = (size_t)(last - at);
		memcpy(kept + kept_len, at, size);
		kept_len += size;
		kept[kept_len++] = '\n';
	}
	kept[kept_len] = '\0';
	explicit_bzero(bytes, len);
	free(bytes);
	sb_papers_put(papers, paper, kept, kept_len);
}

void sb_papers_fini(struct sb_papers *papers)
{
	for (size_t i = 0; i < SB_PAPERS; i++) {
		if (papers->of[i].bytes)
			explicit_bzero(papers->of[i].bytes, papers->of[i].len);
		free(papers->of[i].bytes);
		papers->of[i].bytes = NULL;
	}
}

static int read_whole(int fd, size_t max, char **ret_bytes, size_t *ret_len)
{
	char *bytes = calloc(1, max + 1);
	size_t len = 0;
	ssize_t count = 0;

	sb_need(bytes);
	while (len <= max && (count = read(fd, bytes + len, max + 1 - len)) > 0)
		len += (size_t)count;
	if (count < 0 || len > max) {
		int error = count < 0 ? errno : EFBIG;

		explicit_bzero(bytes, len);
		free(bytes);
		return -error;
	}
	bytes[len] = '\0';
	*ret_bytes = bytes;
	*ret_len = len;
	return 0;
}

int sb_doctor_read_file(const char *path, size_t max, char **ret_bytes, size_t *ret_len,
			struct stat *ret_stat)
{
	/* What is no file may wait, or do something, when it is opened. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat stat_now;
	int result;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &stat_now) != 0)
		result = -errno;
	else if (!S_ISREG(stat_now.st_mode))
		result = S_ISDIR(stat_now.st_mode) ? -EISDIR : -EINVAL;
	else
		result = read_whole(fd, max, ret_bytes, ret_len);
	(void)close(fd);
	if (result == 0 && ret_stat)
		*ret_stat = stat_now;
	return result;
}

int sb_doctor_look_at(const char *file, struct stat *ret_stat)
{
	return stat(file, ret_stat) != 0 || eaccess(file, R_OK) != 0 ? errno : 0;
}

const char *sb_doctor_plain(const char *path)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
				    "/._-+,@:=%";

	return *path == '/' && strspn(path, plain) == strlen(path) ? path : "FILE";
}
