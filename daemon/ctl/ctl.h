/*
 * slotbellctl's own frame: what a command is, how it reads its options, how it
 * talks to the person and to the script that called it.
 *
 * Machine-readable output goes to standard output, people's words to standard
 * error. One file per group of commands; main.c has the table of them all.
 */
#ifndef SB_CTL_CTL_H
#define SB_CTL_CTL_H

#include <getopt.h>
#include <stdbool.h>

enum sb_exit {
	SB_EXIT_DONE = 0,
	SB_EXIT_FAILED = 1,
	SB_EXIT_USAGE = 2, /* what was typed cannot be meant */
};

struct sb_ctl;

struct sb_ctl_command {
	const char *group;     /* "device"; or the whole command, if it has no verb */
	const char *verb;      /* "enrol", or NULL */
	const char *arguments; /* as the usage line shows them */
	const char *summary;   /* one line, for the list of commands */
	const char *help;      /* its options and examples; ends with a newline */
	/*
	 * argv[0] is the command's last word; what follows are its options and
	 * arguments, in any order.
	 */
	enum sb_exit (*run)(struct sb_ctl *ctl, int argc, char **argv);
};

/* What was said before or after the command, and holds for every one. */
struct sb_ctl {
	bool json;	      /* --json */
	const char *database; /* --database, or SLOTBELLCTL_DATABASE_URL; NULL: not said */
	/* SLOTBELL_DATABASE_URL, which is the daemon's, and was ours up to 0.1.0; NULL: not said,
	 * or not needed. See sb_ctl_database(). */
	const char *old_database;
	const char *socket;   /* --socket: the daemon's control socket; NULL: not said */
	const char *instance; /* --instance: of slotbelld@.service; NULL: not said */
	int patience_ms;      /* with the daemon's answers; 0: as long as they may take */
	const struct sb_ctl_command *command; /* NULL until it is known */
	const char *group;		      /* its first word; NULL until it is known */
	enum sb_exit status;		      /* why sb_ctl_next() said SB_CTL_STOP */
};

/* Every command's options end with these. A command's own have values from 1 on. */
enum {
	SB_OPTION_JSON = 1000,
	SB_OPTION_DATABASE,
	SB_OPTION_SOCKET,
	SB_OPTION_INSTANCE,
	SB_OPTION_VERSION
};
#define SB_CTL_OPTIONS                                                     \
	{"json", no_argument, NULL, SB_OPTION_JSON},                       \
		{"database", required_argument, NULL, SB_OPTION_DATABASE}, \
		{"socket", required_argument, NULL, SB_OPTION_SOCKET},     \
		{"instance", required_argument, NULL, SB_OPTION_INSTANCE}, \
		{"version", no_argument, NULL, SB_OPTION_VERSION},         \
		{"help", no_argument, NULL, 'h'},                          \
	{                                                                  \
		NULL, 0, NULL, 0                                           \
	}

#define SB_INSTANCE_MAX 64

enum { SB_CTL_STOP = 0, SB_CTL_END = -1 };

/*
 * The next of the command's own options: its value, with `optarg`; or
 * SB_CTL_END, when what remains from `optind` on are arguments; or SB_CTL_STOP:
 * all is said, leave with ctl->status. Options for every command are dealt
 * with in here. Until a command is known it stops at the first word.
 */
int sb_ctl_next(struct sb_ctl *ctl, int argc, char **argv, const struct option *options);

/*
 * Reads a command line that has no options of its own and exactly `count`
 * arguments, which then begin at argv[optind]. False: leave with ctl->status.
 */
bool sb_ctl_arguments(struct sb_ctl *ctl, int argc, char **argv, int count);

/* The same check, for commands that have read their options with sb_ctl_next(). */
bool sb_ctl_arguments_left(struct sb_ctl *ctl, int argc, char **argv, int count);

/* A whole number from min to max, with nothing around it. False: it is not. */
bool sb_ctl_number(const char *text, long long min, long long max, long long *ret_number);

/*
 * The database that was named; NULL or "": none. Falls back on the variable of
 * 0.1.0, with a warning, the first time. Goes with 0.3.0.
 */
const char *sb_ctl_database(struct sb_ctl *ctl);

/* Prints help on standard output: for the command, its group, or the program. (main.c) */
void sb_ctl_print_help(const struct sb_ctl *ctl);

/* ---- words for people, on standard error; control characters are escaped ---- */

/* One line as it is: progress, or what was done. */
void sb_ctl_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* "slotbellctl: …"; returns SB_EXIT_FAILED. */
enum sb_exit sb_ctl_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* "slotbellctl: …", and where help is; returns SB_EXIT_USAGE, and puts it into ctl->status. */
enum sb_exit sb_ctl_usage(struct sb_ctl *ctl, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* ---- the commands ---- */

extern const struct sb_ctl_command sb_command_db_init, sb_command_db_upgrade,
	sb_command_db_new_epoch;
extern const struct sb_ctl_command sb_command_device_enrol, sb_command_device_list,
	sb_command_device_rotate, sb_command_device_revoke;
extern const struct sb_ctl_command sb_command_publish, sb_command_tail, sb_command_trace;
extern const struct sb_ctl_command sb_command_status, sb_command_sessions, sb_command_top,
	sb_command_kick, sb_command_drain, sb_command_reload, sb_command_doctor;

#endif
