/*
 * slotbellctl: what an operator types. This file has the table of commands and
 * finds the one that was meant; the commands are in one file per group.
 *
 * It speaks to the database over libpq and to the daemon over its control
 * socket, and waits for them: nothing here runs inside the daemon.
 */
#include "daemon/ctl/ctl.h"
#include "protocol/process.h"
#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct sb_ctl_command *const commands[] = {
	&sb_command_db_init,	   &sb_command_db_upgrade,  &sb_command_db_new_epoch,
	&sb_command_device_enrol,  &sb_command_device_list, &sb_command_device_rotate,
	&sb_command_device_revoke, &sb_command_publish,	    &sb_command_tail,
	&sb_command_trace,	   &sb_command_status,	    &sb_command_top,
	&sb_command_sessions,	   &sb_command_kick,	    &sb_command_drain,
	&sb_command_reload,	   &sb_command_doctor,
};

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static const struct option no_options[] = {SB_CTL_OPTIONS};

static const char common_help[] =
	"\nFor every command:\n"
	"  --database URL   the database: postgresql://USER@HOST/NAME, as libpq reads it\n"
	"                   (or set SLOTBELLCTL_DATABASE_URL)\n"
	"  --socket PATH    the running daemon: its control socket (or set "
	"SLOTBELL_CONTROL_SOCKET)\n"
	"  --instance NAME  the same for slotbelld@NAME.service\n"
	"  --json           JSON on standard output, one object per line\n"
	"  --help           help on the command\n"
	"  --version        the program's version\n";

static void print_list(const char *group)
{
	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		const struct sb_ctl_command *command = commands[i];
		const char *verb = command->verb ? command->verb : "";

		if (!group || strcmp(group, command->group) == 0)
			printf("  %s %-*s %s\n", command->group, 15 - (int)strlen(command->group),
			       verb, command->summary);
	}
}

void sb_ctl_print_help(const struct sb_ctl *ctl)
{
	const struct sb_ctl_command *command = ctl->command;

	if (command) {
		printf("usage: slotbellctl %s%s%s%s%s\n\n%s.\n", command->group,
		       command->verb ? " " : "", command->verb ? command->verb : "",
		       *command->arguments ? " " : "", command->arguments, command->summary);
		printf("%s%s", *command->help ? "\n" : "", command->help);
	} else {
		printf("usage: slotbellctl [--json] [--database URL] [--socket PATH | --instance "
		       "NAME] "
		       "%s%sCOMMAND\n\n",
		       ctl->group ? ctl->group : "", ctl->group ? " " : "");
		print_list(ctl->group);
		puts("\n`slotbellctl COMMAND --help` says more, with examples.");
	}
	fputs(common_help, stdout);
}

static const struct sb_ctl_command *find(const char *group, const char *verb)
{
	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		const struct sb_ctl_command *command = commands[i];

		if (strcmp(command->group, group) != 0)
			continue;
		if (!verb || !command->verb || strcmp(command->verb, verb) == 0)
			return command;
	}
	return NULL;
}

/* The command's words may have options for every command before and between them. */
static enum sb_exit run(struct sb_ctl *ctl, int argc, char **argv)
{
	const struct sb_ctl_command *command;

	if (sb_ctl_next(ctl, argc, argv, no_options) == SB_CTL_STOP)
		return ctl->status;
	if (optind == argc)
		return sb_ctl_usage(ctl, "which command?");
	argc -= optind;
	argv += optind;
	command = find(argv[0], NULL);
	if (!command)
		return sb_ctl_usage(ctl, "there is no command '%.*s'", (int)strcspn(argv[0], "=:"),
				    argv[0]);

	ctl->group = command->group;
	if (command->verb) {
		optind = 0; /* glibc: start afresh */
		if (sb_ctl_next(ctl, argc, argv, no_options) == SB_CTL_STOP)
			return ctl->status;
		if (optind == argc)
			return sb_ctl_usage(ctl, "%s what?", command->group);
		argc -= optind;
		argv += optind;
		command = find(ctl->group, argv[0]);
		if (!command)
			return sb_ctl_usage(ctl, "there is no command '%s %.*s'", ctl->group,
					    (int)strcspn(argv[0], "=:"), argv[0]);
	}
	optind = 0;
	ctl->command = command;
	return command->run(ctl, argc, argv);
}

int main(int argc, char **argv)
{
	struct sb_ctl ctl = {0};
	enum sb_exit status;

	sb_process_hide();
	ctl.database = getenv("SLOTBELLCTL_DATABASE_URL");
	ctl.old_database = ctl.database ? NULL : getenv("SLOTBELL_DATABASE_URL");
	/* Only for the widths of characters: what is printed is UTF-8 in any locale. */
	setlocale(LC_CTYPE, "C.UTF-8");
	status = run(&ctl, argc, argv);
	if (fflush(stdout) != 0 && status == SB_EXIT_DONE)
		status = sb_ctl_fail("cannot write to standard output: %s", strerror(errno));
	return (int)status;
}
