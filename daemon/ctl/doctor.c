/* The table of checks, and how findings are shown; see doctor.h. */
#include "daemon/ctl/doctor.h"
#include "daemon/ctl/control.h"
#include "daemon/ctl/output.h"
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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

static void show(const struct sb_ctl *ctl, const char *name, const struct sb_finding *finding,
		 int64_t took_ms)
{
	if (ctl->json)
		sb_print_json(json_pack("{s:s, s:s, s:s, s:s?, s:I}", "check", name, "result",
					words[finding->health], "seen", finding->seen, "advice",
					finding->advice, "ms", (json_int_t)took_ms));
	else
		print_finding(name, finding);
}

/* ---- the whole ---- */

static enum sb_exit examine(struct sb_doctor *doctor)
{
	size_t counts[SB_HEALTH_NOT_CHECKED + 1] = {0};

	for (size_t i = 0; i < CHECK_COUNT; i++) {
		struct sb_finding finding = {0};
		int64_t began = sb_doctor_now_ms();

		checks[i].run(doctor, &finding);
		counts[finding.health]++;
		show(doctor->ctl, checks[i].name, &finding, sb_doctor_now_ms() - began);
		free(finding.seen);
		free(finding.advice);
	}
	if (!doctor->ctl->json)
		sb_ctl_say("%zu ok, %zu to look at, %zu failed, %zu not checked",
			   counts[SB_HEALTH_OK], counts[SB_HEALTH_WARN], counts[SB_HEALTH_FAIL],
			   counts[SB_HEALTH_NOT_CHECKED]);
	return counts[SB_HEALTH_FAIL] ? SB_EXIT_FAILED : SB_EXIT_DONE;
}

static void fini(struct sb_doctor *doctor)
{
	sb_config_fini(&doctor->config);
	free(doctor->socket);
	free(doctor->credentials);
	json_decref(doctor->status);
	free(doctor->status_why);
	sk_X509_pop_free(doctor->certificates, X509_free);
	PQfinish(doctor->database);
	PQfinish(doctor->admin);
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
static bool read_option(struct sb_doctor *doctor, int option)
{
	switch (option) {
	case OPTION_CONFIG:
		doctor->file = optarg;
		return true;
	case OPTION_NAME:
		doctor->name = optarg;
		return true;
	case OPTION_CA:
		doctor->trusted = optarg;
		return true;
	case OPTION_USER:
		doctor->user_name = optarg;
		return true;
	case OPTION_DAYS:
		if (sb_ctl_number(optarg, 0, 3650, &doctor->expiry_days))
			return true;
		sb_ctl_usage(doctor->ctl, "--expiry-days %s: say a whole number, 0 to 3650",
			     optarg);
		return false;
	default:
		if (read_percent(optarg, &doctor->queue_limit))
			return true;
		sb_ctl_usage(doctor->ctl, "--queue-limit %s: say percent, above 0 and up to 100",
			     optarg);
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
	struct sb_doctor doctor = {.ctl = ctl, .queue_limit = 0.1, .expiry_days = 14};
	enum sb_exit status;
	int option;

	while ((option = sb_ctl_next(ctl, argc, argv, options)) > SB_CTL_STOP) {
		if (!read_option(&doctor, option))
			return ctl->status;
	}
	if (option == SB_CTL_STOP || !sb_ctl_arguments_left(ctl, argc, argv, 0))
		return ctl->status;
	/* glibc's look-ups of names block: they get an end here. */
	(void)setenv("RES_OPTIONS", "timeout:2 attempts:1", 0);
	(void)signal(SIGPIPE, SIG_IGN);
	ctl->patience_ms = SB_DOCTOR_MS;
	/* By our own environment: after the first check it is the daemon's too. */
	sb_doctor_open_admin(&doctor);
	status = examine(&doctor);
	fini(&doctor);
	return status;
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
