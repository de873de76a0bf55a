/*
 * Files that are whole or not there at all.
 *
 * Used by calendar and state: written beside their place, flushed, then moved
 * there. A crash at any point leaves the old contents or the new ones.
 *
 * Others may be able to write to the folder. So nothing of theirs is followed,
 * written to, removed or believed: *ours* is a file of the user who runs this
 * process, or of root, and no link.
 */
#ifndef SB_PLUGIN_FILE_H
#define SB_PLUGIN_FILE_H

#include <stddef.h>

/*
 * Writes `len` bytes to a new file in the folder `dirfd` with mode 0600, flushes
 * them to the disk and renames the file to `name`, over an older one. The new
 * file is called STEM.RANDOM.tmp until then.
 *
 * The rename itself is on the disk only after sb_file_sync_folder(); several
 * files of one folder can share that call. 0 or negative errno; after an error
 * `name` is as it was. -EISDIR: `name` is a folder. -EEXIST: it is another
 * user's, and the folder (a sticky one) does not let us replace it.
 */
int sb_file_replace(int dirfd, const char *stem, const char *name, const void *bytes, size_t len);

/* Removes what crashes in sb_file_replace() left of this stem, and STEM.tmp, as older versions
 * called it, where they are ours. For the holder of the folder's lock. */
void sb_file_tidy(int dirfd, const char *stem);

/*
 * Opens `name` in the folder, making it if it is not there, and locks it against
 * other processes. Nobody else can open it, so nobody else can hold the lock.
 *
 * 0 with *ret_fd, which the caller closes, and may remove before; -EWOULDBLOCK: another process has
 * it; -EPERM: it is another user's; or another negative errno.
 */
int sb_file_lock(int dirfd, const char *name, int *ret_fd);

/* Flushes the folder's entries. 0 or negative errno. */
int sb_file_sync_folder(int dirfd);

/*
 * Reads a whole file of at most `max_bytes` into *ret_bytes, which the caller
 * frees; a terminator that is not counted in *ret_len follows.
 *
 * 0, or negative errno: -ENOENT, -EFBIG for a longer one, -EINVAL for what is
 * no plain file, -ENOMEM.
 */
int sb_file_read(int dirfd, const char *name, size_t max_bytes, char **ret_bytes, size_t *ret_len);

/* The same for a file that must be ours: -EPERM when it is another user's, whatever it is, and
 * -EINVAL for a link of ours. */
int sb_file_read_ours(int dirfd, const char *name, size_t max_bytes, char **ret_bytes,
		      size_t *ret_len);

#endif
