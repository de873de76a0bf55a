/* How the worker is made and ended; see doctor.h. */
#include "daemon/ctl/doctor.h"
#include "daemon/ctl/output.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_MS 20000

/* ---- its environment ---- */

#define VARIABLES_MAX 256

struct variables {
	char *of[VARIABLES_MAX + 1]; /* borrowed */
	size_t count;
};

static void add(struct variables *variables, char *variable)
{
	if (variables->count < VARIABLES_MAX)
		variables->of[variables->count++] = variable;
}

/*
 * Nothing that a daemon's user should not see: of ours there may be passwords
 * in PG… and in the database's URL, so these stay here, unless the worker stays
 * who we are.
 */
static bool is_passed(const char *variable, bool becomes)
{
	static const char database[] = "SLOTBELL_DATABASE_URL=", files[] = "SSL_CERT_FILE=",
			  folder[] = "SSL_CERT_DIR=";

	if (strncmp(variable, "PG", 2) == 0 || strncmp(variable, database, strlen(database)) == 0)
		return !becomes;
	return strncmp(variable, "SLOTBELL_", strlen("SLOTBELL_")) == 0 ||
	       strncmp(variable, files, strlen(files)) == 0 ||
	       strncmp(variable, folder, strlen(folder)) == 0;
}

static void choose_environment(struct variables *variables, bool becomes)
{
	static char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
		    /* glibc's look-ups of names block: they get an end here. */
		resolver[] = "RES_OPTIONS=timeout:2 attempts:1";

	add(variables, path);
	add(variables, resolver);
	for (char **variable = environ; variable && *variable; variable++) {
		if (is_passed(*variable, becomes))
			add(variables, *variable);
	}
	variables->of[variables->count] = NULL;
}

/* ---- its start ---- */

/* Of what goes wrong with it, little: it is given up by then. */
static void limit(void)
{
	static const struct {
		__rlimit_resource_t resource;
		rlim_t most;
	} limits[] = {
		{RLIMIT_CORE, 0},
		{RLIMIT_CPU, 120},
#ifndef __SANITIZE_ADDRESS__
		{RLIMIT_AS, (rlim_t)1 << 30},
#endif
	};

	for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++) {
		struct rlimit now;

		if (getrlimit(limits[i].resource, &now) == 0 && now.rlim_max > limits[i].most)
			(void)setrlimit(limits[i].resource,
					&(struct rlimit){limits[i].most, limits[i].most});
	}
}

/* Never returns. `fds`: standard input, output and errors, the daemon's environment or -1. All are
 * beyond those that they become. */
static void run_worker(int program, const int fds[4], const struct variables *variables)
{
	static char name[] = "slotbellctl", command[] = "doctor", word[] = SB_DOCTOR_WORKER;
	char *const words[] = {name, command, word, NULL};
	int last = 3;

	(void)setsid();
	(void)umask(077);
	limit();
	for (int i = 0; i < 4; i++) {
		if (fds[i] >= 0 && dup2(fds[i], i) < 0)
			_exit(SB_EXIT_FAILED);
		last = fds[i] >= 0 ? i + 1 : last;
	}
	if (dup2(program, 9) < 0 || fcntl(9, F_SETFD, FD_CLOEXEC) != 0 ||
	    syscall(SYS_close_range, last, 8, 0) != 0 ||
	    syscall(SYS_close_range, 10, ~0U, 0) != 0 || chdir("/") != 0)
		_exit(SB_EXIT_FAILED);
	(void)fexecve(9, words, variables->of);
	_exit(SB_EXIT_FAILED);
}

/* A descriptor that is in nobody's way there. */
static int beyond(int fd)
{
	int other = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 20) : -1;

	return other;
}

static char *words_of(const char *what, int error)
{
	char *text;

	sb_need(asprintf(&text, "%s: %s", what, strerror(error)) >= 0);
	return text;
}

static void close_all(const int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (fds[i] >= 0)
			(void)close(fds[i]);
	}
}

static int fork_worker(struct sb_worker *worker, int environment, bool becomes)
{
	struct variables variables = {.count = 0};
	int there[2] = {-1, -1}, back[2] = {-1, -1}, error = 0;
	int program = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);

	choose_environment(&variables, becomes);
	if (program < 0 || nothing < 0 || pipe2(there, O_CLOEXEC) != 0 ||
	    pipe2(back, O_CLOEXEC) != 0) {
		error = errno;
	} else {
		int own[] = {beyond(program), beyond(there[0]), beyond(back[1]), beyond(nothing),
			     beyond(environment)};

		worker->pid = fork();
		if (worker->pid == 0)
			run_worker(own[0], own + 1, &variables);
		error = worker->pid < 0 ? errno : 0;
		close_all(own, sizeof(own) / sizeof(*own));
	}
	if (error)
		worker->pid = 0;
	worker->channel = (struct sb_channel){.in = back[0], .out = there[1]};
	close_all((int[]){program, nothing, there[0], back[1]}, 4);
	return error ? -error : 0;
}

bool sb_worker_start(struct sb_worker *worker, const struct sb_brief *brief, int environment,
		     char **ret_why)
{
	int64_t deadline = sb_doctor_now_ms() + START_MS;
	char *ready = NULL, word = 0;
	size_t len = 0;
	int result;

	*worker = (struct sb_worker){.channel = {.in = -1, .out = -1}};
	result = fork_worker(worker, environment, brief->becomes);
	if (result != 0 || fcntl(worker->channel.in, F_SETFL, O_NONBLOCK) != 0 ||
	    fcntl(worker->channel.out, F_SETFL, O_NONBLOCK) != 0) {
		*ret_why = words_of("cannot make a process", result ? -result : errno);
		return false;
	}
	if (sb_channel_send(&worker->channel, SB_WORD_READY, brief, sizeof(*brief), deadline))
		ready = sb_channel_receive(&worker->channel, sizeof(result), &word, &len, deadline);
	if (ready && word == SB_WORD_READY && len == sizeof(result))
		memcpy(&result, ready, sizeof(result));
	else
		result = -EPIPE;
	free(ready);
	if (result != 0)
		*ret_why = words_of("cannot give up the rights that looking at the daemon does not "
				    "need",
				    -result);
	return result == 0;
}

bool sb_worker_hand(const struct sb_worker *worker, const struct sb_papers *papers)
{
	int64_t deadline = sb_doctor_now_ms() + START_MS;

	for (size_t i = 0; i < SB_PAPERS; i++) {
		size_t len = papers->of[i].len;
		char *message;
		bool sent;
		unsigned char number = (unsigned char)i;

		if (!papers->of[i].bytes && !papers->of[i].error)
			continue;
		message = calloc(1, sizeof(int) + 1 + len);
		sb_need(message);
		memcpy(message, &papers->of[i].error, sizeof(int));
		memcpy(message + sizeof(int), &number, 1);
		if (papers->of[i].bytes)
			memcpy(message + sizeof(int) + 1, papers->of[i].bytes, len);
		sent = sb_channel_send(&worker->channel, SB_WORD_PAPER, message,
				       sizeof(int) + 1 + len, deadline);
		explicit_bzero(message, sizeof(int) + 1 + len);
		free(message);
		if (!sent)
			return false;
	}
	return true;
}

char *sb_worker_end(struct sb_worker *worker)
{
	char *words = NULL;
	int status = 0;

	close_all((int[]){worker->channel.in, worker->channel.out}, 2);
	worker->channel = (struct sb_channel){.in = -1, .out = -1};
	if (worker->pid <= 0)
		return NULL;
	/* One that has ended by itself tells why; the signal is for one that has not. */
	if (waitpid(worker->pid, &status, WNOHANG) == 0) {
		(void)kill(worker->pid, SIGKILL);
		while (waitpid(worker->pid, &status, 0) < 0 && errno == EINTR)
			;
	}
	worker->pid = 0;
	if (WIFSIGNALED(status))
		sb_need(asprintf(&words, "it was ended by signal %d", WTERMSIG(status)) >= 0);
	else
		sb_need(asprintf(&words, "it ended with exit code %d", WEXITSTATUS(status)) >= 0);
	return words;
}
