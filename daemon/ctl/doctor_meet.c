/*
 * The examiner finds the daemon and whom the worker has to become for it.
 *
 * What the daemon says is copied and not read. Who it is, the kernel says: who
 * listens at the socket (SO_PEERCRED), who wrote the answer (SCM_CREDENTIALS), and
 * /proc of that very process, opened before the answer and still alive after it.
 */
#include "daemon/ctl/control.h"
#include "daemon/ctl/doctor.h"
#include "daemon/ctl/doctor_user.h"
#include "daemon/ctl/output.h"
#include "daemon/ops/credential.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONFIG_BYTES_MAX 1048576
#define SCOUT_MS	 20000

/* ---- where the control socket is ---- */

/* The configuration's; to be freed. NULL: it names none. ret_readable: whether that could be found
 * out. */
static char *send_scout(const struct sb_brief *brief, const char *file, bool *ret_readable)
{
	struct sb_papers papers = {0};
	struct sb_worker worker;
	char *why = NULL, *path = NULL, word = 0;
	size_t len = 0;
	int64_t deadline = sb_doctor_now_ms() + SCOUT_MS;

	sb_papers_put_text(&papers, SB_PAPER_FILE, file);
	*ret_readable = true;
	if (sb_worker_start(&worker, brief, -1, &why) && sb_worker_hand(&worker, &papers) &&
	    sb_channel_send(&worker.channel, SB_WORD_SCOUT, "", 0, deadline))
		path = sb_channel_receive(&worker.channel, 4096, &word, &len, deadline);
	free(why);
	free(sb_worker_end(&worker));
	sb_papers_fini(&papers);
	if (!path || word != SB_WORD_SCOUT || len < 2) {
		*ret_readable = !path || len != 1 || *path != '-';
		free(path);
		return NULL;
	}
	memmove(path, path + 1, len);
	return path;
}

/* Whoever writes the configuration says which host the password goes to. */
static bool is_of_root(const char *file)
{
	struct stat stat_now;

	if (stat(file ? file : SB_CONFIG_FILE, &stat_now) != 0)
		return !file; /* there is none, and the folder is root's */
	return stat_now.st_uid == 0 && !(stat_now.st_mode & (S_IWGRP | S_IWOTH));
}

/*
 * Whoever owns the configuration may have written anything into it; so it is
 * read by its owner, or where that is root by nobody at all who is in its group.
 * Only what root alone can write and read is read by root.
 */
static char *find_socket(const char *file)
{
	struct sb_brief brief = {.becomes = getuid() == 0};
	struct stat stat_now;
	bool readable;
	char *path;

	if (stat(file ? file : SB_CONFIG_FILE, &stat_now) != 0 || !S_ISREG(stat_now.st_mode))
		return NULL;
	brief.identity.uid = stat_now.st_uid ? stat_now.st_uid : SB_NOBODY;
	brief.identity.gid = stat_now.st_gid ? stat_now.st_gid : SB_NOBODY;
	path = send_scout(&brief, file, &readable);
	if (readable || !brief.becomes || !is_of_root(file))
		return path;
	free(path);
	brief.becomes = false;
	return send_scout(&brief, file, &readable);
}

/* ---- whom the worker becomes ---- */

static void name_reader(struct sb_brief *brief, const char *name)
{
	(void)snprintf(brief->reader, sizeof(brief->reader), "%s%s",
		       brief->becomes ? "the daemon's user " : "us", brief->becomes ? name : "");
}

static void become(struct sb_brief *brief, const struct sb_user *user)
{
	brief->identity = user->identity;
	brief->becomes = getuid() == 0 && user->identity.uid != 0;
	name_reader(brief, user->name);
}

/* Where no daemon answers. False: there is nobody whom it would be. */
static bool find_usual(struct sb_user *user, const char *file)
{
	struct stat stat_now;

	if (sb_user_by_name(SB_USUAL_USER, user))
		return true;
	if (stat(file ? file : SB_CONFIG_FILE, &stat_now) != 0 || stat_now.st_uid == 0)
		return false;
	sb_user_by_id(stat_now.st_uid, stat_now.st_gid, user);
	return true;
}

/*
 * In this order: who was typed; who the daemon's process is; where something
 * answers that is not what it seems, nobody; and where nothing answers, who it
 * usually is.
 */
static void choose_user(struct sb_doctor *doctor, const struct sb_suspect *suspect, bool answered,
			const char *file, const char *user_name)
{
	struct sb_brief *brief = &doctor->brief;
	struct sb_user user;

	if (user_name && sb_user_by_name(user_name, &user)) {
		become(brief, &user);
		return;
	}
	if (user_name)
		sb_papers_put_text(&doctor->papers, SB_PAPER_USER, user_name);
	if (suspect->known) {
		become(brief, &suspect->user);
	} else if (answered) {
		sb_user_by_id(SB_NOBODY, SB_NOBODY, &user);
		become(brief, &user);
	} else if (find_usual(&user, file)) {
		become(brief, &user);
	} else {
		name_reader(brief, "");
	}
}

/* ---- what only we may read ---- */

/* For a worker that has nothing of a daemon's: one that runs has read these itself. */
static void copy_files(struct sb_doctor *doctor, const char *file, bool answered, bool is_typed)
{
	struct sb_papers *papers = &doctor->papers;
	struct stat stat_now = {0};
	char *bytes;
	size_t len;
	int result;

	if (doctor->brief.becomes && !doctor->brief.has_environment && (is_typed || !answered) &&
	    sb_doctor_read_file(file ? file : SB_CONFIG_FILE, CONFIG_BYTES_MAX, &bytes, &len,
				NULL) == 0)
		sb_papers_put(papers, SB_PAPER_CONFIG, bytes, len);
	if (answered || (getuid() == 0 && !is_of_root(file)))
		return;
	result = sb_doctor_read_file(SB_DOCTOR_CREDENTIAL_FILE, SB_CREDENTIAL_MAX + 2, &bytes, &len,
				     &stat_now);
	if (result == 0)
		sb_papers_put(papers, SB_PAPER_CREDENTIAL, bytes, len);
	else if (result != -ENOENT && result != -EACCES)
		papers->of[SB_PAPER_CREDENTIAL].error = result;
	doctor->brief.credential_mode = stat_now.st_mode;
}

/* ---- the whole ---- */

int sb_doctor_meet(struct sb_doctor *doctor, struct sb_ctl *ctl, const char *file,
		   const char *user_name)
{
	const char *own = getenv("SLOTBELL_CONTROL_SOCKET");
	char *socket = ctl->socket || ctl->instance || own ? NULL : find_socket(file);
	struct sb_suspect suspect = {.environment = -1};
	struct sb_ctl asking = *ctl;
	struct sb_talk talk;
	char *why = NULL, *answer = NULL;
	bool is_same;

	if (socket)
		asking.socket = socket;
	if (sb_talk_open(&asking, &talk, &why)) {
		sb_papers_put_text(&doctor->papers, SB_PAPER_SOCKET, talk.path);
		answer = sb_suspect_ask(&suspect, &talk);
	}
	sb_talk_close(&talk);
	if (answer)
		sb_papers_put(&doctor->papers, SB_PAPER_ANSWER, answer, strlen(answer));
	sb_papers_put_text(&doctor->papers, SB_PAPER_WHY, why);
	choose_user(doctor, &suspect, answer != NULL, file, user_name);
	/* One user's words are no other's: not even root's for somebody who was typed. */
	is_same = suspect.known &&
		  suspect.user.identity.uid ==
			  (doctor->brief.becomes ? doctor->brief.identity.uid : getuid());
	if (!is_same && suspect.environment >= 0) {
		(void)close(suspect.environment);
		suspect.environment = -1;
	}
	doctor->brief.daemon_pid = suspect.pid;
	doctor->brief.has_environment = suspect.environment >= 0;
	copy_files(doctor, file, answer != NULL, user_name != NULL);
	free(socket);
	free(why);
	return suspect.environment;
}
