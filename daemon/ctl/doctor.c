/* The table of checks, and the examiner that has them done and shows what was found; see doctor.h.
 */
#include "daemon/ctl/doctor.h"
#include "daemon/ctl/output.h"
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const struct {
	const char *name;
	sb_check *run;
} checks[] = {
	{"configuration", sb_check_configuration},
	{"certificate", sb_check_certificate},
	{"chain", sb_check_chain},
	{"name", sb_check_name},
	{"key", sb_check_key},
	{"ticket-keys", sb_check_ticket_keys},
	{"password", sb_check_password},
	{"database", sb_check_database},
	{"schema", sb_check_schema},
	{"rights", sb_check_rights},
	{"listen", sb_check_listen},
	{"queue", sb_check_queue},
	{"clock", sb_check_clock},
	{"port", sb_check_port},
	{"daemon", sb_check_daemon},
	{"descriptors", sb_check_descriptors},
	{"ready", sb_check_ready},
	{"session", sb_check_session},
};

#define CHECK_COUNT (sizeof(checks) / sizeof(*checks))

/* A worker that takes longer is in a stranger's hands, or waits for one: for a check, and for all
 * of them. An honest one is done in less, even where nothing answers. */
#define CHECK_MS 60000
#define ALL_MS	 180000

void sb_doctor_check(struct sb_doctor *doctor, size_t number, struct sb_finding *finding)
{
	if (number < CHECK_COUNT)
		checks[number].run(doctor, finding);
}

bool sb_doctor_is_foreign(size_t number)
{
	size_t first = 0;

	while (first < CHECK_COUNT && checks[first].run != sb_check_port)
		first++;
	return number >= first;
}

static const char *const words[] = {"ok", "warn", "fail", "not checked"};

/* ---- time ---- */

int64_t sb_doctor_now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

int64_t sb_doctor_wall_us(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
}

/* ---- findings ---- */

void sb_saw(struct sb_finding *finding, enum sb_health health, const char *format, ...)
{
	va_list args;

	free(finding->seen);
	finding->health = health;
	va_start(args, format);
	sb_need(vasprintf(&finding->seen, format, args) >= 0);
	va_end(args);
	for (size_t end = strlen(finding->seen); end > 0 && finding->seen[end - 1] == '\n'; end--)
		finding->seen[end - 1] = '\0';
}

void sb_advise(struct sb_finding *finding, const char *format, ...)
{
	va_list args;

	free(finding->advice);
	va_start(args, format);
	sb_need(vasprintf(&finding->advice, format, args) >= 0);
	va_end(args);
}

void sb_not_checked(struct sb_finding *finding, const char *needed_check)
{
	sb_saw(finding, SB_HEALTH_NOT_CHECKED, "needs what failed above: %s", needed_check);
}

static void print_lines(const char *first, const char *rest, const char *text)
{
	char *clean = sb_clean(text, true);
	const char *prefix = first;

	for (char *line = clean, *next; line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		printf("%s%s\n", prefix, line);
		prefix = rest;
	}
	free(clean);
}

static void print_finding(const char *name, const struct sb_finding *finding)
{
	char first[64];

	if (finding->health == SB_HEALTH_NOT_CHECKED)
		(void)snprintf(first, sizeof(first), "-     %-14s not checked: ", name);
	else
		(void)snprintf(first, sizeof(first), "%-5s %-14s ", words[finding->health], name);
	print_lines(first, "                     ", finding->seen);
	if (finding->advice)
		print_lines("                     -> ", "                        ",
			    finding->advice);
	(void)fflush(stdout);
}

/* Text may be in no encoding at all, for a file's name or a database's message may. */
static json_t *json_of(const char *text)
{
	json_t *string = text ? json_string(text) : json_null();
	char *clean;

	if (string)
		return string;
	clean = sb_clean(text, true);
	string = json_string(clean);
	free(clean);
	return string;
}

static void show(const struct sb_ctl *ctl, const char *name, const struct sb_finding *finding,
		 int64_t took_ms)
{
	if (ctl->json)
		sb_print_json(json_pack("{s:s, s:s, s:o, s:o, s:I}", "check", name, "result",
					words[finding->health], "seen", json_of(finding->seen),
					"advice", json_of(finding->advice), "ms",
					(json_int_t)took_ms));
	else
		print_finding(name, finding);
}

/* ---- the examiner ---- */

struct examination {
	struct sb_ctl *ctl;
	struct sb_doctor *doctor;
	struct sb_worker worker;
	struct sb_canary canary;
	int64_t until_ms;
	const char *lost_at; /* the check at which the worker was lost, or NULL */
};

/* As the worker tells it. False: it is none. */
static bool read_finding(const char *message, size_t len, struct sb_finding *finding)
{
	size_t seen_len;

	if (len < 2 || *message < '0' || *message > '0' + SB_HEALTH_NOT_CHECKED)
		return false;
	seen_len = strlen(message + 1);
	sb_saw(finding, (enum sb_health)(*message - '0'), "%s", message + 1);
	/* Behind the terminator that every message has there may be nothing more. */
	if (1 + seen_len < len)
		sb_advise(finding, "%s", message + 1 + seen_len + 1);
	return true;
}

/* False: the worker is gone, or does what it must not. */
static bool ask_worker(struct examination *e, size_t number, struct sb_finding *finding)
{
	int64_t deadline = sb_doctor_now_ms() + CHECK_MS;
	bool goes_on, found = false;

	if (deadline > e->until_ms)
		deadline = e->until_ms;
	goes_on = sb_channel_send(&e->worker.channel, SB_WORD_CHECK, &number, sizeof(number),
				  deadline);
	while (goes_on && !found) {
		char word = 0, *message;
		size_t len = 0;

		message =
			sb_channel_receive(&e->worker.channel, SB_WORD_MAX, &word, &len, deadline);
		if (message && word == SB_WORD_FOUND)
			goes_on = found = read_finding(message, len, finding);
		else
			goes_on = message && checks[number].run == sb_check_session &&
				  sb_canary_serve(&e->canary, e->doctor->admin, &e->worker, word,
						  deadline);
		free(message);
	}
	return found;
}

static void lose_worker(struct examination *e, size_t number, struct sb_finding *finding)
{
	char *how = sb_worker_end(&e->worker);

	e->lost_at = checks[number].name;
	sb_saw(finding, SB_HEALTH_FAIL, "the process that looks as %s gave no answer: %s",
	       e->doctor->brief.reader, how ? how : "it is gone");
	sb_advise(finding, "what the daemon says is not as slotbelld says it: journalctl -u "
			   "slotbelld; and ps -u for what else runs as its user");
	free(how);
}

static void examine_one(struct examination *e, size_t number, struct sb_finding *finding)
{
	/* The administrator sees more of the queue, and the daemon has no part in it. */
	if (checks[number].run == sb_check_queue && e->doctor->admin)
		sb_check_queue(e->doctor, finding);
	else if (e->lost_at)
		sb_not_checked(finding, e->lost_at);
	else if (!ask_worker(e, number, finding))
		lose_worker(e, number, finding);
	if (checks[number].run == sb_check_schema)
		sb_check_content(e->doctor, finding);
	if (checks[number].run == sb_check_session)
		sb_canary_forget(&e->canary, e->doctor->admin, finding);
}

static enum sb_exit examine(struct examination *e)
{
	size_t counts[SB_HEALTH_NOT_CHECKED + 1] = {0};

	e->until_ms = sb_doctor_now_ms() + ALL_MS;
	for (size_t i = 0; i < CHECK_COUNT; i++) {
		struct sb_finding finding = {0};
		int64_t began = sb_doctor_now_ms();

		examine_one(e, i, &finding);
		counts[finding.health]++;
		show(e->ctl, checks[i].name, &finding, sb_doctor_now_ms() - began);
		free(finding.seen);
		free(finding.advice);
	}
	if (!e->ctl->json)
		sb_ctl_say("%zu ok, %zu to look at, %zu failed, %zu not checked",
			   counts[SB_HEALTH_OK], counts[SB_HEALTH_WARN], counts[SB_HEALTH_FAIL],
			   counts[SB_HEALTH_NOT_CHECKED]);
	return counts[SB_HEALTH_FAIL] ? SB_EXIT_FAILED : SB_EXIT_DONE;
}

/* What was typed. */
struct words_typed {
	const char *file, *name, *trusted, *user_name;
};

static enum sb_exit look(struct sb_ctl *ctl, struct sb_doctor *doctor,
			 const struct words_typed *typed)
{
	struct examination e = {.ctl = ctl, .doctor = doctor};
	enum sb_exit status;
	char *why = NULL;
	int environment;

	sb_papers_put_text(&doctor->papers, SB_PAPER_FILE, typed->file);
	sb_papers_put_text(&doctor->papers, SB_PAPER_NAME, typed->name);
	sb_papers_put_text(&doctor->papers, SB_PAPER_CA_FILE, typed->trusted);
	if (typed->trusted)
		sb_papers_put_certificates(&doctor->papers, SB_PAPER_CA, typed->trusted);
	sb_doctor_open_admin(doctor, sb_ctl_database(ctl));
	environment = sb_doctor_meet(doctor, ctl, typed->file, typed->user_name);
	if (sb_worker_start(&e.worker, &doctor->brief, environment, &why) &&
	    sb_worker_hand(&e.worker, &doctor->papers))
		status = examine(&e);
	else
		status = sb_ctl_fail("%s", why ? why : "the process that is to look ended");
	free(sb_worker_end(&e.worker));
	if (environment >= 0)
		(void)close(environment);
	free(why);
	sb_papers_fini(&doctor->papers);
	PQfinish(doctor->admin);
	return status;
}

enum { OPTION_CONFIG = 1, OPTION_NAME, OPTION_CA, OPTION_USER, OPTION_QUEUE, OPTION_DAYS };

/* Of what is typed in percent, a fraction. */
static bool read_percent(const char *text, double *ret_part)
{
	char *end;

	*ret_part = strtod(text, &end) / 100;
	return *text && !*end && *ret_part > 0 && *ret_part <= 1;
}

/* False: said why. */
static bool read_option(struct sb_ctl *ctl, struct sb_doctor *doctor, struct words_typed *typed,
			int option)
{
	switch (option) {
	case OPTION_CONFIG:
		typed->file = optarg;
		return true;
	case OPTION_NAME:
		typed->name = optarg;
		return true;
	case OPTION_CA:
		typed->trusted = optarg;
		return true;
	case OPTION_USER:
		typed->user_name = optarg;
		return true;
	case OPTION_DAYS:
		if (sb_ctl_number(optarg, 0, 3650, &doctor->brief.expiry_days))
			return true;
		sb_ctl_usage(ctl, "--expiry-days %s: say a whole number, 0 to 3650", optarg);
		return false;
	default:
		if (read_percent(optarg, &doctor->brief.queue_limit))
			return true;
		sb_ctl_usage(ctl, "--queue-limit %s: say percent, above 0 and up to 100", optarg);
		return false;
	}
}

static enum sb_exit run(struct sb_ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, OPTION_CONFIG},
		{"name", required_argument, NULL, OPTION_NAME},
		{"ca", required_argument, NULL, OPTION_CA},
		{"user", required_argument, NULL, OPTION_USER},
		{"queue-limit", required_argument, NULL, OPTION_QUEUE},
		{"expiry-days", required_argument, NULL, OPTION_DAYS},
		SB_CTL_OPTIONS,
	};
	struct sb_doctor doctor = {.brief = {.queue_limit = 0.1, .expiry_days = 14}};
	struct words_typed typed = {0};
	int option;

	if (argc == 2 && strcmp(argv[1], SB_DOCTOR_WORKER) == 0)
		return sb_doctor_work(ctl);
	while ((option = sb_ctl_next(ctl, argc, argv, options)) > SB_CTL_STOP) {
		if (!read_option(ctl, &doctor, &typed, option))
			return ctl->status;
	}
	if (option == SB_CTL_STOP || !sb_ctl_arguments_left(ctl, argc, argv, 0))
		return ctl->status;
	/* glibc's look-ups of names block: they get an end here. */
	(void)setenv("RES_OPTIONS", "timeout:2 attempts:1", 0);
	(void)signal(SIGPIPE, SIG_IGN);
	ctl->patience_ms = SB_DOCTOR_MS;
	return look(ctl, &doctor, &typed);
}

const struct sb_ctl_command sb_command_doctor = {
	.group = "doctor",
	.arguments = "[--config FILE] [--name HOST] [--ca FILE] [OPTION]…",
	.summary = "Checks all that an operator would check by hand, a real session included",
	.help = "Run it as root on the daemon's machine: it then looks at files and database as "
		"the "
		"daemon's\n"
		"user. A line for each check: ok, warn or fail, what was seen, and what to do. "
		"With --database,\n"
		"of a role that has slotbell_admin, it also enrols a canary, books for it, and "
		"takes "
		"what comes\n"
		"over a real session; nothing of that stays. The exit code is 1 if something "
		"failed.\n"
		"  --config FILE      the daemon's configuration (without it: " SB_CONFIG_FILE ")\n"
		"  --name HOST        what clients call the daemon: the certificate must be for "
		"it\n"
		"  --ca FILE          whom clients trust (without it: what this system trusts)\n"
		"  --user NAME        whom the daemon runs as (without it: as it runs now)\n"
		"  --expiry-days N    warn when the certificate ends within these (without it: "
		"14)\n"
		"  --queue-limit P    percent of PostgreSQL's queue of notifications that are too "
		"full (10)\n"
		"\n"
		"Examples:\n"
		"  slotbellctl doctor --name bell.example.com --database postgresql:///bookings\n"
		"  slotbellctl doctor --json | jq 'select(.result == \"fail\")'\n",
	.run = run,
};
