/*
 * Files that are whole or not there at all.
 *
 * Used by calendar and state: written beside their place, flushed, then moved
 * there. A crash at any point leaves the old contents or the new ones.
 */
#ifndef SB_PLUGIN_FILE_H
#define SB_PLUGIN_FILE_H

#include <stddef.h>

/*
 * Writes `len` bytes to `temporary` in the folder `dirfd` with mode 0600,
 * flushes them to the disk and renames the file to `name`, over an older one.
 *
 * The rename itself is on the disk only after sb_file_sync_folder(); several
 * files of one folder can share that call. 0 or negative errno; after an error
 * `name` is as it was.
 */
int sb_file_replace(int dirfd, const char *temporary, const char *name, const void *bytes,
		    size_t len);

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

#endif
