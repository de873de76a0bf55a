/*
 * The worker: it has been started afresh, gives its rights up, and only then
 * gets to see what the daemon said; see doctor.h.
 */
#include "daemon/ctl/control.h"
#include "daemon/ctl/doctor.h"
#include "daemon/ctl/output.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* The examiner ends us; we wait for it as long as it lives. */
#define FOR_EVER INT64_MAX

#define PAPER_MAX (8 * 1024 * 1024)

/* ---- becoming it ---- */

static int shed(const struct sb_identity *identity)
{
	int result = sb_shed(identity);

	/* Only now, for a change of ids takes it back. An examiner that has gone is seen when we
	 * answer it. */
	if (result == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0)
		result = -errno;
	return result;
}

static bool begin(struct sb_doctor *doctor)
{
	char word = 0, *bytes;
	size_t len = 0;
	bool good;
	int result;

	bytes = sb_channel_receive(&doctor->channel, sizeof(doctor->brief), &word, &len, FOR_EVER);
	good = bytes && word == SB_WORD_READY && len == sizeof(doctor->brief);
	if (good)
		memcpy(&doctor->brief, bytes, sizeof(doctor->brief));
	free(bytes);
	if (!good)
		return false;
	result = shed(doctor->brief.becomes ? &doctor->brief.identity : NULL);
	return sb_channel_send(&doctor->channel, SB_WORD_READY, &result, sizeof(result),
			       FOR_EVER) &&
	       result == 0;
}

/* ---- what the examiner asks for ---- */

static bool take_paper(struct sb_doctor *doctor, const char *bytes, size_t len)
{
	size_t head = sizeof(int) + 1, number;
	char *copy;

	if (len < head || (number = (unsigned char)bytes[sizeof(int)]) >= SB_PAPERS)
		return false;
	memcpy(&doctor->papers.of[number].error, bytes, sizeof(int));
	copy = calloc(1, len - head + 1);
	sb_need(copy);
	memcpy(copy, bytes + head, len - head + 1);
	if (doctor->papers.of[number].error) {
		free(copy);
		copy = NULL;
	}
	sb_papers_put(&doctor->papers, (enum sb_paper)number, copy, copy ? len - head : 0);
	return true;
}

/* "+PATH"; "-": the configuration cannot be read. */
static bool scout(struct sb_doctor *doctor)
{
	const char *file = sb_doctor_paper(doctor, SB_PAPER_FILE);
	FILE *nowhere = fopen("/dev/null", "we");
	struct sb_config config = {0};
	char *answer;
	bool sent;

	sb_need(nowhere);
	(void)sb_config_read(&config, file, NULL, 0, nowhere);
	(void)fclose(nowhere);
	sb_need(asprintf(&answer, "%s%s",
			 access(file ? file : SB_CONFIG_FILE, R_OK) == 0 ? "+" : "-",
			 config.control_socket ? config.control_socket : "") >= 0);
	if (*answer == '-')
		answer[1] = '\0';
	sent = sb_channel_send(&doctor->channel, SB_WORD_SCOUT, answer, strlen(answer), FOR_EVER);
	free(answer);
	sb_config_fini(&config);
	return sent;
}

/* From here on it is about whoever has the port, and his words are not even a root daemon's. */
static int leave_root(void)
{
	static const struct sb_identity nobody = {.uid = SB_NOBODY, .gid = SB_NOBODY};

	return getuid() == 0 ? shed(&nobody) : 0;
}

static void understand(struct sb_doctor *doctor)
{
	const char *line = sb_doctor_paper(doctor, SB_PAPER_ANSWER);
	const char *path = sb_doctor_paper(doctor, SB_PAPER_SOCKET);
	const char *why = sb_doctor_paper(doctor, SB_PAPER_WHY);
	struct sb_talk talk = {.fd = -1, .peer.pid = doctor->brief.daemon_pid};

	if (doctor->status || doctor->status_why)
		return;
	if (why) {
		doctor->status_why = strdup(why);
		sb_need(doctor->status_why);
		return;
	}
	(void)snprintf(talk.path, sizeof(talk.path), "%s", path ? path : "");
	doctor->status = sb_talk_understand(&talk, line, &doctor->status_why);
}

static void prepare(struct sb_doctor *doctor, size_t number, struct sb_finding *finding)
{
	int result;

	if (!sb_doctor_is_foreign(number))
		return;
	result = leave_root();
	if (result == 0)
		understand(doctor);
	else
		sb_saw(finding, SB_HEALTH_FAIL, "cannot give up root's rights: %s",
		       strerror(-result));
}

/* Health, what was seen, and behind a NUL the advice. */
static bool tell(struct sb_doctor *doctor, const struct sb_finding *finding)
{
	char message[SB_WORD_MAX];
	size_t room = (sizeof(message) - 4) / 2, len;

	message[0] = (char)('0' + finding->health);
	(void)snprintf(message + 1, room, "%s", finding->seen ? finding->seen : "");
	len = 1 + strlen(message + 1);
	if (finding->advice) {
		message[len++] = '\0';
		(void)snprintf(message + len, room, "%s", finding->advice);
		len += strlen(message + len);
	}
	return sb_channel_send(&doctor->channel, SB_WORD_FOUND, message, len, FOR_EVER);
}

static bool check(struct sb_doctor *doctor, const char *bytes, size_t len)
{
	struct sb_finding finding = {0};
	size_t number;
	bool told;

	if (len != sizeof(number))
		return false;
	memcpy(&number, bytes, sizeof(number));
	prepare(doctor, number, &finding);
	if (!finding.seen)
		sb_doctor_check(doctor, number, &finding);
	told = tell(doctor, &finding);
	free(finding.seen);
	free(finding.advice);
	return told;
}

static bool serve(struct sb_doctor *doctor, char word, const char *bytes, size_t len)
{
	switch (word) {
	case SB_WORD_PAPER:
		return take_paper(doctor, bytes, len);
	case SB_WORD_SCOUT:
		return scout(doctor);
	case SB_WORD_CHECK:
		return check(doctor, bytes, len);
	default:
		return false;
	}
}

enum sb_exit sb_doctor_work(struct sb_ctl *ctl)
{
	static struct sb_doctor doctor = {.channel = {.in = STDIN_FILENO, .out = STDOUT_FILENO}};
	char *bytes, word = 0;
	size_t len = 0;
	bool goes_on = true;

	(void)ctl;
	(void)signal(SIGPIPE, SIG_IGN);
	if (isatty(STDIN_FILENO) || fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK) != 0 ||
	    fcntl(STDOUT_FILENO, F_SETFL, O_NONBLOCK) != 0 || !begin(&doctor))
		return SB_EXIT_USAGE;
	while (goes_on &&
	       (bytes = sb_channel_receive(&doctor.channel, PAPER_MAX, &word, &len, FOR_EVER))) {
		goes_on = serve(&doctor, word, bytes, len);
		explicit_bzero(bytes, len);
		free(bytes);
	}
	/* The memory goes with the process: nothing of it is to be run any more. */
	_exit(goes_on ? SB_EXIT_DONE : SB_EXIT_FAILED);
}
