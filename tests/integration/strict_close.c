/*
 * A close() for a slotbelld that insists: a descriptor that is not open is
 * closed by mistake, and the next time it may be somebody else's. The program's
 * own symbol comes before the C library's, for its libraries as well.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

__attribute__((visibility("default"))) int close(int fd)
{
	int result = (int)syscall(SYS_close, fd);

	if (result != 0 && errno == EBADF) {
		(void)fprintf(stderr, "closed, and not open: %d\n", fd);
		abort();
	}
	return result;
}
