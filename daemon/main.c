/*
 * slotbelld: reads the command line and the settings, and runs the app.
 *
 *   options → settings (configuration and the files it names) → app/app.c
 */
#include "daemon/app/app.h"
#include "daemon/app/settings.h"
#include "protocol/process.h"
#include "protocol/version.h"
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define EXIT_USAGE	   2
#define EXIT_CONFIGURATION 3
#define MAX_SETTINGS	   64

/* ---- the command line ---- */

static const char help[] =
	"Usage: slotbelld [OPTION]...\n"
	"Holds the sessions of Outlook plug-ins and rings them when a meeting is booked.\n"
	"\n"
	"  -c, --config FILE            read this file instead of " SB_CONFIG_FILE "\n"
	"  -s, --set SECTION.KEY=VALUE  a setting that wins over file and environment\n"
	"      --check-config           check the configuration, say what is wrong, and end\n"
	"      --print-config           print the configuration in effect, and end\n"
	"      --version                print the version, and end\n"
	"      --help                   print this, and end\n"
	"\n"
	"Every key has an environment variable, as SLOTBELL_DATABASE_URL for [database] url.\n"
	"SIGTERM says goodbye to every session, saves their acks and ends; a second one hurries.\n"
	"SIGHUP reads the configuration anew; no session notices.\n"
	"Exit status: 0 done, 1 failed, 2 usage, 3 configuration. See slotbelld(8), "
	"slotbelld.conf(5).\n";

struct options {
	const char *file;
	const char *settings[MAX_SETTINGS];
	size_t setting_count;
	bool check, print;
};

/* As much of a word as cannot be a value: in the wrong place it may have a password too. */
static void complain_of_word(const char *complaint, const char *word)
{
	(void)fprintf(stderr, "slotbelld: %s '%.*s'. Try 'slotbelld --help'.\n", complaint,
		      (int)strcspn(word, "=: "), word);
}

/* -1: go on; else the exit status. */
static int read_options(int argc, char **argv, struct options *options)
{
	enum { CHECK = 256, PRINT, VERSION, HELP };
	static const struct option known[] = {
		{"config", required_argument, NULL, 'c'},
		{"set", required_argument, NULL, 's'},
		{"check-config", no_argument, NULL, CHECK},
		{"print-config", no_argument, NULL, PRINT},
		{"version", no_argument, NULL, VERSION},
		{"help", no_argument, NULL, HELP},
		{0},
	};
	int option;

	opterr = 0; /* getopt's own words repeat values, and these may have a password */
	while ((option = getopt_long(argc, argv, ":c:s:", known, NULL)) != -1) {
		switch (option) {
		case 'c':
			options->file = optarg;
			break;
		case 's':
			if (options->setting_count == MAX_SETTINGS) {
				(void)fprintf(stderr, "slotbelld: more than %d --set\n",
					      MAX_SETTINGS);
				return EXIT_USAGE;
			}
			options->settings[options->setting_count++] = optarg;
			break;
		case CHECK:
			options->check = true;
			break;
		case PRINT:
			options->print = true;
			break;
		case VERSION:
			(void)puts("slotbelld " SB_VERSION);
			return EXIT_SUCCESS;
		case HELP:
			(void)fputs(help, stdout);
			return EXIT_SUCCESS;
		default:
			complain_of_word(option == ':' ? "it needs a value:"
						       : "what is this option?",
					 argv[optind - 1]);
			return EXIT_USAGE;
		}
	}
	if (optind < argc) {
		complain_of_word("what is this?", argv[optind]);
		return EXIT_USAGE;
	}
	return -1;
}

/* One arena and an early trim: memory that a storm took goes back when it is over. */
static void set_up_process(void)
{
	(void)mallopt(M_ARENA_MAX, 1);
	(void)mallopt(M_TRIM_THRESHOLD, 128 * 1024);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN); /* until there is something to reload */
}

int main(int argc, char **argv)
{
	struct options options = {0};
	struct sb_settings_source source;
	struct sb_settings *settings;
	int status, problems;

	sb_process_hide();
	status = read_options(argc, argv, &options);
	if (status >= 0)
		return status;
	set_up_process();
	source = (struct sb_settings_source){.file = options.file,
					     .overrides = options.settings,
					     .override_count = options.setting_count};
	problems = sb_settings_read(&source, stderr, &settings);
	if (problems < 0) {
		(void)fputs("slotbelld: out of memory\n", stderr);
		return EXIT_FAILURE;
	}
	if (problems > 0) {
		(void)fprintf(stderr, "slotbelld: the configuration has %d problem%s\n", problems,
			      problems == 1 ? "" : "s");
		return EXIT_CONFIGURATION;
	}
	if (!options.print && !options.check)
		return sb_app_run(&source, settings);
	status = EXIT_SUCCESS;
	if (options.print)
		sb_settings_print(settings, stdout);
	else if (sb_settings_check_time(settings, stderr) == 0)
		(void)puts("The configuration is good.");
	else
		status = EXIT_CONFIGURATION; /* as at a reload; a start only warns of it */
	sb_settings_free(settings);
	return status;
}
