/* Which descriptor is which, and whether it is what it should be; see inherited.h. */
#include "daemon/ops/inherited.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>

static int refuse(char *why, size_t size, const char *name, const char *words)
{
	(void)snprintf(why, size, "the socket %s, passed by the service manager, %s", name, words);
	return -EINVAL;
}

static int take_one(struct sb_inherited *inherited, int fd, const char *name, char *why,
		    size_t size)
{
	int *place = !strcmp(name, SB_INHERITED_ADMIN) ? &inherited->admin : &inherited->sessions;

	if (*place)
		return refuse(why, size, name,
			      "is one too many: there is one for plug-ins and one named "
			      "\"" SB_INHERITED_ADMIN "\" (FileDescriptorName=)");
	if (sd_is_socket(fd, AF_INET, SOCK_STREAM, 1) <= 0 &&
	    sd_is_socket(fd, AF_INET6, SOCK_STREAM, 1) <= 0)
		return refuse(
			why, size, name,
			"is not a listening TCP socket (ListenStream=ADDRESS:PORT, Accept=no)");
	if (fcntl(fd, F_SETFL, O_NONBLOCK) != 0)
		return -errno;
	*place = fd;
	return 0;
}

int sb_inherited_take(struct sb_inherited *ret_inherited, char *why, size_t size)
{
	char **names = NULL;
	int count, result = 0;

	*ret_inherited = (struct sb_inherited){0};
	count = sd_listen_fds_with_names(1, &names);
	if (count < 0) {
		(void)snprintf(why, size, "what the service manager passed cannot be taken: %s",
			       strerror(-count));
		return count;
	}
	for (int i = 0; i < count && result == 0; i++)
		result = take_one(ret_inherited, SD_LISTEN_FDS_START + i, names[i], why, size);
	for (int i = 0; i < count; i++)
		free(names[i]);
	free(names);
	return result;
}
