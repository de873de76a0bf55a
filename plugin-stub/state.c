/*
 * The state file: read once at start, saved after the appointments of a batch
 * are on the disk and before they are acked. Never interprets a cursor.
 */
#include "plugin-stub/state.h"

#include "plugin-stub/file.h"
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STATE_BYTES_MAX 65536

struct sb_state {
	int64_t device_id; /* 0: not known */
	enum sb_way way;
	int64_t way_since_s; /* Unix time; 0: not known */
	int dirfd;	     /* the folder it lies in */
	int lockfd;	     /* NAME.lock, locked */
	char *name;	     /* owned: the last part of its path */
};

static int open_folder(const char *path, int *ret_dirfd, char **ret_name)
{
	char *for_folder = strdup(path);
	char *for_name = strdup(path);
	int err = 0;

	if (!for_folder || !for_name) {
		err = -ENOMEM;
	} else {
		int fd = open(dirname(for_folder), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (fd < 0) {
			err = -errno;
		} else {
			*ret_dirfd = fd;
			*ret_name = strdup(basename(for_name));
			if (!*ret_name)
				err = -ENOMEM;
		}
	}
	free(for_folder);
	free(for_name);
	return err;
}

/* The lock is a file of its own: the state file is another one after every save. */
static int take_lock(struct sb_state *state)
{
	char *name;
	int err;

	if (asprintf(&name, "%s.lock", state->name) < 0)
		return -ENOMEM;
	err = sb_file_lock(state->dirfd, name, &state->lockfd);
	free(name);
	return err;
}

int sb_state_open(const char *path, int64_t device_id, struct sb_state **ret_state)
{
	struct sb_state *state = calloc(1, sizeof(*state));
	int err;

	if (!state)
		return -ENOMEM;
	state->device_id = device_id;
	state->dirfd = state->lockfd = -1;
	err = open_folder(path, &state->dirfd, &state->name);
	if (!err)
		err = take_lock(state);
	if (err) {
		sb_state_close(state);
		return err;
	}
	sb_file_tidy(state->dirfd, state->name);
	*ret_state = state;
	return 0;
}

void sb_state_close(struct sb_state *state)
{
	if (!state)
		return;
	if (state->lockfd >= 0)
		close(state->lockfd);
	if (state->dirfd >= 0)
		close(state->dirfd);
	free(state->name);
	free(state);
}

static bool read_cursor(const json_t *value, struct sb_cursor *ret_cursor)
{
	return json_is_string(value) &&
	       !sb_cursor_parse(json_string_value(value), json_string_length(value), ret_cursor);
}

static bool read_failure(const json_t *value, struct sb_pending_failure *ret_failure)
{
	const char *word = json_string_value(json_object_get(value, "reason"));

	if (!word || !read_cursor(json_object_get(value, "cursor"), &ret_failure->cursor))
		return false;
	ret_failure->sent = false;
	for (int i = 0; i < SB_FAILURE_COUNT; i++) {
		if (!strcmp(word, sb_failure_word((enum sb_failure_reason)i))) {
			ret_failure->reason = (enum sb_failure_reason)i;
			return true;
		}
	}
	return false;
}

static bool read_progress(const json_t *root, struct sb_progress *ret_progress)
{
	const json_t *failed = json_object_get(root, "failed");
	const json_t *item;
	size_t i;

	if (!read_cursor(json_object_get(root, "cursor"), &ret_progress->cursor))
		return false;
	ret_progress->has_cursor = true;
	if (!failed)
		return true;
	if (!json_is_array(failed) || json_array_size(failed) > SB_FAILED_MAX)
		return false;
	json_array_foreach(failed, i, item)
	{
		struct sb_cursor *cursor = &ret_progress->failed[i].cursor;

		if (!read_failure(item, &ret_progress->failed[i]) ||
		    cursor->seq > ret_progress->cursor.seq ||
		    !sb_epoch_equal(&cursor->epoch, &ret_progress->cursor.epoch))
			return false;
		ret_progress->failed_count = i + 1;
	}
	return true;
}

static bool is_foreign(const struct sb_state *state, const json_t *root)
{
	const json_t *device = json_object_get(root, "device");

	return state->device_id && json_is_integer(device) &&
	       json_integer_value(device) != state->device_id;
}

/* A word of a newer version's is none. What is no number is 0: not known. */
static void read_way(struct sb_state *state, const json_t *root)
{
	(void)sb_way_parse(json_string_value(json_object_get(root, "transport")), &state->way);
	state->way_since_s = json_integer_value(json_object_get(root, "transport_since"));
}

int sb_state_load(struct sb_state *state, struct sb_progress *ret_progress,
		  enum sb_state_found *ret_found)
{
	json_t *root;
	char *bytes;
	size_t len;
	int err;

	memset(ret_progress, 0, sizeof(*ret_progress));
	err = sb_file_read_ours(state->dirfd, state->name, STATE_BYTES_MAX, &bytes, &len);
	if (err == -ENOENT) {
		*ret_found = SB_STATE_MISSING;
		return 0;
	}
	if (err == -EFBIG || err == -EINVAL || err == -EPERM) {
		*ret_found = err == -EPERM ? SB_STATE_PLANTED : SB_STATE_CORRUPT;
		return 0;
	}
	if (err)
		return err;

	root = json_loadb(bytes, len, JSON_REJECT_DUPLICATES, NULL);
	free(bytes);
	if (!root || !read_progress(root, ret_progress))
		*ret_found = SB_STATE_CORRUPT;
	else if (is_foreign(state, root))
		*ret_found = SB_STATE_FOREIGN;
	else
		*ret_found = SB_STATE_READ;
	if (*ret_found != SB_STATE_READ)
		memset(ret_progress, 0, sizeof(*ret_progress));
	else
		read_way(state, root);
	json_decref(root);
	return 0;
}

enum sb_way sb_state_way(const struct sb_state *state)
{
	return state->way;
}

void sb_state_set_way(struct sb_state *state, enum sb_way way, int64_t now_s)
{
	state->way = way;
	state->way_since_s = now_s;
}

bool sb_state_way_is_old(const struct sb_state *state, int64_t now_s, int64_t again_s)
{
	int64_t since_s = state->way_since_s;

	if (state->way == SB_WAY_WEBSOCKET)
		return false;
	/* In the future: the clock was set, and it says nothing. */
	return since_s <= 0 || since_s > now_s || now_s - since_s >= again_s;
}

static json_t *pack_failures(const struct sb_progress *progress)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < progress->failed_count; i++) {
		const struct sb_pending_failure *failure = &progress->failed[i];
		char cursor[SB_CURSOR_MAX + 1];
		json_t *item;

		sb_cursor_format(&failure->cursor, cursor);
		item = json_pack("{s:s,s:s}", "cursor", cursor, "reason",
				 sb_failure_word(failure->reason));
		if (json_array_append_new(list, item) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

int sb_state_save(struct sb_state *state, const struct sb_progress *progress)
{
	char cursor[SB_CURSOR_MAX + 1];
	json_t *root;
	char *text;
	int err;

	if (!progress->has_cursor)
		return 0; /* nothing to know yet */
	sb_cursor_format(&progress->cursor, cursor);
	root = json_pack("{s:I,s:s,s:o}", "device", (json_int_t)state->device_id, "cursor", cursor,
			 "failed", pack_failures(progress));
	/* The way that is first anyway needs no remembering. */
	if (state->way != SB_WAY_WEBSOCKET &&
	    (json_object_set_new(root, "transport", json_string(sb_way_word(state->way))) < 0 ||
	     json_object_set_new(root, "transport_since", json_integer(state->way_since_s)) < 0)) {
		json_decref(root);
		return -ENOMEM;
	}
	text = root ? json_dumps(root, JSON_COMPACT) : NULL;
	json_decref(root);
	if (!text)
		return -ENOMEM;
	err = sb_file_replace(state->dirfd, state->name, state->name, text, strlen(text));
	free(text);
	return err ? err : sb_file_sync_folder(state->dirfd);
}
