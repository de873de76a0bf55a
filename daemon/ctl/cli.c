/*
 * Reading what was typed, and saying what is wrong with it.
 *
 * getopt's own messages are off: they name neither the command nor where its
 * help is.
 */
#include "daemon/ctl/ctl.h"
#include "daemon/ctl/output.h"
#include "protocol/version.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int stop(struct sb_ctl *ctl, enum sb_exit status)
{
	ctl->status = status;
	return SB_CTL_STOP;
}

static int refuse_option(struct sb_ctl *ctl, int found, char **argv)
{
	const char *typed = argv[optind - 1];
	int len = (int)strcspn(typed, "=:"); /* what follows may be a URL with a password */

	if (found == ':')
		sb_ctl_usage(ctl, "%s needs a value", typed);
	else if (optopt >= SB_OPTION_JSON || (optopt == 'h' && strncmp(typed, "--", 2) == 0))
		sb_ctl_usage(ctl, "%.*s takes no value", len, typed);
	else if (optopt > ' ')
		sb_ctl_usage(ctl, "there is no option '-%c'", optopt);
	else if (!ctl->command)
		sb_ctl_usage(ctl, "there is no option '%.*s' here; a command's own stand after it",
			     len, typed);
	else
		sb_ctl_usage(ctl, "there is no option '%.*s' here", len, typed);
	return SB_CTL_STOP;
}

/* As systemd has it after the @, and never a way out of the folder. */
static bool is_instance(const char *name)
{
	size_t len = strlen(name);

	return len >= 1 && len <= SB_INSTANCE_MAX && *name != '.' &&
	       strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
			    "0123456789:_.-") == len;
}

/* Which daemon is meant can be said in one way. False: refused. */
static bool check_daemon(struct sb_ctl *ctl)
{
	if (ctl->instance && ctl->socket)
		sb_ctl_usage(ctl, "either --instance or --socket, not both");
	else if (ctl->instance && !is_instance(ctl->instance))
		sb_ctl_usage(ctl,
			     "an instance is what stands after the @ of slotbelld@1, say; not '%s'",
			     ctl->instance);
	else
		return true;
	return false;
}

int sb_ctl_next(struct sb_ctl *ctl, int argc, char **argv, const struct option *options)
{
	opterr = 0;
	for (;;) {
		int found = getopt_long(argc, argv, ctl->command ? ":h" : "+:h", options, NULL);

		switch (found) {
		case -1:
			return SB_CTL_END;
		case SB_OPTION_JSON:
			ctl->json = true;
			break;
		case SB_OPTION_DATABASE:
			ctl->database = optarg;
			break;
		case SB_OPTION_SOCKET:
			ctl->socket = optarg;
			if (!check_daemon(ctl))
				return SB_CTL_STOP;
			break;
		case SB_OPTION_INSTANCE:
			ctl->instance = optarg;
			if (!check_daemon(ctl))
				return SB_CTL_STOP;
			break;
		case SB_OPTION_VERSION:
			puts("slotbellctl " SB_VERSION);
			return stop(ctl, SB_EXIT_DONE);
		case 'h':
			sb_ctl_print_help(ctl);
			return stop(ctl, SB_EXIT_DONE);
		case ':':
		case '?':
			return refuse_option(ctl, found, argv);
		default:
			return found;
		}
	}
}

bool sb_ctl_arguments_left(struct sb_ctl *ctl, int argc, char **argv, int count)
{
	if (argc - optind > count) {
		const char *typed = argv[optind + count];

		sb_ctl_usage(ctl, "'%.*s' is one argument too many", (int)strcspn(typed, "=:"),
			     typed);
		return false;
	}
	if (argc - optind < count) {
		sb_ctl_usage(ctl, "an argument is missing: %s", ctl->command->arguments);
		return false;
	}
	return true;
}

bool sb_ctl_arguments(struct sb_ctl *ctl, int argc, char **argv, int count)
{
	static const struct option options[] = {SB_CTL_OPTIONS};

	if (sb_ctl_next(ctl, argc, argv, options) == SB_CTL_STOP)
		return false;
	return sb_ctl_arguments_left(ctl, argc, argv, count);
}

const char *sb_ctl_database(struct sb_ctl *ctl)
{
	if (!ctl->database && ctl->old_database && *ctl->old_database) {
		ctl->database = ctl->old_database;
		sb_ctl_say(
			"slotbellctl: warning: SLOTBELL_DATABASE_URL names slotbelld's database; "
			"the next version ignores it here. Set SLOTBELLCTL_DATABASE_URL");
	}
	return ctl->database;
}

bool sb_ctl_number(const char *text, long long min, long long max, long long *ret_number)
{
	char *end;
	long long number;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	number = strtoll(text, &end, 10);
	if (errno != 0 || *end != '\0' || number < min || number > max)
		return false;
	*ret_number = number;
	return true;
}

__attribute__((format(printf, 2, 0))) static void say(const char *prefix, const char *format,
						      va_list args)
{
	char *words, *clean;

	sb_need(vasprintf(&words, format, args) >= 0);
	clean = sb_clean(words, true);
	fprintf(stderr, "%s%s\n", prefix, clean);
	free(clean);
	free(words);
}

void sb_ctl_say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say("", format, args);
	va_end(args);
}

enum sb_exit sb_ctl_fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say("slotbellctl: ", format, args);
	va_end(args);
	return SB_EXIT_FAILED;
}

enum sb_exit sb_ctl_usage(struct sb_ctl *ctl, const char *format, ...)
{
	const struct sb_ctl_command *command = ctl->command;
	va_list args;

	va_start(args, format);
	say("slotbellctl: ", format, args);
	va_end(args);
	if (command)
		sb_ctl_say("Try: slotbellctl %s%s%s --help", command->group,
			   command->verb ? " " : "", command->verb ? command->verb : "");
	else if (ctl->group)
		sb_ctl_say("Try: slotbellctl %s --help", ctl->group);
	else
		sb_ctl_say("Try: slotbellctl --help");
	ctl->status = SB_EXIT_USAGE;
	return SB_EXIT_USAGE;
}
