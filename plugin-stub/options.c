/* Reads the command line and the token file; main's first step. No environment variable changes
 * anything. */
#include "plugin-stub/options.h"

#include "plugin-stub/file.h"
#include "plugin-stub/report.h"
#include "protocol/version.h"
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#define TOKEN_FILE_MAX		    4096
#define WEBSOCKET_AGAIN_SECONDS	    600
#define WEBSOCKET_AGAIN_MAX_SECONDS 86400

static const char usage[] =
	"Usage: slotbell-plugin --url wss://HOST[:PORT] --token-file FILE --calendar DIR "
	"[OPTION]...\n"
	"Keeps a folder of .ics files as an Outlook plug-in keeps a calendar: what is\n"
	"booked is written at once, and what was missed is made good.\n"
	"\n"
	"  --url URL          the server; the path is " SB_PATH_DEFAULT " if not given\n"
	"  --token-file FILE  the device's token, as `slotbellctl device enrol` printed it\n"
	"  --calendar DIR     the folder of .ics files; made if its parent is there\n"
	"  --state FILE       cursor and unconfirmed failures (DIR/.slotbell-state.json)\n"
	"  --ca FILE          trust these CAs (PEM) instead of the system's\n"
	"  --proxy URL        go through http://[USER:PASSWORD@]HOST:PORT by CONNECT\n"
	"  --transport NAME   auto, websocket, stream or poll (auto: the first that works)\n"
	"  --websocket-again SECONDS\n"
	"                     auto: when to try a websocket that is blocked again (600)\n"
	"  --token-in-hello   websocket: send the token in the first message, as a browser must\n"
	"  --once             catch up, wait until the server has every ack, and leave\n"
	"  --json             one JSON object per line on standard output\n"
	"  --version, --help\n"
	"\n"
	"SIGTERM ends it cleanly; SIGUSR1 makes it come back at once from any waiting.\n"
	"Exit status: 0 done, 1 failed, 2 usage, 3 configuration. See slotbell-plugin(1).\n"
	"\n"
	"  slotbellctl device enrol ada@example.com >token\n"
	"  slotbell-plugin --url wss://bell.example.com:8443 --token-file token --calendar ada\n";

enum option_id {
	OPT_URL = 256,
	OPT_TOKEN_FILE,
	OPT_CALENDAR,
	OPT_STATE,
	OPT_CA,
	OPT_PROXY,
	OPT_TRANSPORT,
	OPT_WEBSOCKET_AGAIN,
	OPT_TOKEN_IN_HELLO,
	OPT_ONCE,
	OPT_JSON,
	OPT_VERSION,
	OPT_HELP,
};

static const struct option long_options[] = {
	{"url", required_argument, NULL, OPT_URL},
	{"token-file", required_argument, NULL, OPT_TOKEN_FILE},
	{"calendar", required_argument, NULL, OPT_CALENDAR},
	{"state", required_argument, NULL, OPT_STATE},
	{"ca", required_argument, NULL, OPT_CA},
	{"proxy", required_argument, NULL, OPT_PROXY},
	{"transport", required_argument, NULL, OPT_TRANSPORT},
	{"websocket-again", required_argument, NULL, OPT_WEBSOCKET_AGAIN},
	{"token-in-hello", no_argument, NULL, OPT_TOKEN_IN_HELLO},
	{"once", no_argument, NULL, OPT_ONCE},
	{"json", no_argument, NULL, OPT_JSON},
	{"version", no_argument, NULL, OPT_VERSION},
	{"help", no_argument, NULL, OPT_HELP},
	{NULL, 0, NULL, 0},
};

static bool complain(FILE *err, const char *option, const char *words)
{
	sb_report_line(err, "slotbell-plugin: %s: %s", option, words);
	return false;
}

static bool check_transport(struct sb_options *options, const char *name, FILE *err)
{
	static const char *const names[] = {
		[SB_USE_AUTO] = "auto",
		[SB_USE_WEBSOCKET] = "websocket",
		[SB_USE_STREAM] = "stream",
		[SB_USE_POLL] = "poll",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!strcmp(name, names[i])) {
			options->transport = (enum sb_way_option)i;
			return true;
		}
	}
	return complain(err, "--transport", "is auto, websocket, stream or poll");
}

static bool set_websocket_again(struct sb_options *options, const char *text, FILE *err)
{
	size_t digits = strspn(text, "0123456789");

	if (digits > 0 && digits <= 5 && !text[digits])
		options->websocket_again_s = (uint32_t)strtoul(text, NULL, 10);
	else
		options->websocket_again_s = 0;
	if (options->websocket_again_s >= 1 &&
	    options->websocket_again_s <= WEBSOCKET_AGAIN_MAX_SECONDS)
		return true;
	return complain(err, "--websocket-again", "is 1 to 86400 seconds");
}

static bool set_state(struct sb_options *options, const char *path, FILE *err)
{
	if (snprintf(options->state, sizeof(options->state), "%s", path) >=
	    (int)sizeof(options->state))
		return complain(err, "--state", "the path is too long");
	return true;
}

/* Others see the command line in /proc, from now on without user and password. */
static void hide_login(char *url)
{
	char *at = strrchr(url, '@'), *login = strstr(url, "://");

	if (!at)
		return;
	for (login = login && login < at ? login + 3 : url; login < at; login++)
		*login = '*';
}

static bool take_option(struct sb_options *options, int id, FILE *err)
{
	const char *words;

	switch (id) {
	case OPT_URL:
		options->url_text = optarg;
		return !sb_url_parse(optarg, &options->url, &words) ||
		       complain(err, "--url", words);
	case OPT_TOKEN_FILE:
		options->token_file = optarg;
		return true;
	case OPT_CALENDAR:
		options->calendar = optarg;
		return true;
	case OPT_STATE:
		return set_state(options, optarg, err);
	case OPT_CA:
		options->ca = optarg;
		return true;
	case OPT_PROXY:
		words = NULL;
		if (sb_proxy_parse(optarg, &options->proxy, &words) < 0)
			complain(err, "--proxy", words);
		hide_login(optarg);
		return !words;
	case OPT_TRANSPORT:
		return check_transport(options, optarg, err);
	case OPT_WEBSOCKET_AGAIN:
		return set_websocket_again(options, optarg, err);
	case OPT_TOKEN_IN_HELLO:
		options->token_in_hello = true;
		return true;
	case OPT_ONCE:
		options->once = true;
		return true;
	case OPT_JSON:
		options->json = true;
		return true;
	default:
		return false;
	}
}

static bool complain_of_option(int id, const char *typed, FILE *err)
{
	if (id == ':')
		return complain(err, typed, "option requires an argument");
	/* A known one that was given a value has its number in optopt. */
	return complain(err, typed,
			optopt >= OPT_URL ? "option takes no argument" : "unrecognized option");
}

static bool check_whole(struct sb_options *options, FILE *err)
{
	if (!options->url_text)
		return complain(err, "--url", "is missing");
	if (!options->token_file)
		return complain(err, "--token-file", "is missing");
	if (!options->calendar || !*options->calendar)
		return complain(err, "--calendar", "is missing");
	/* libwebsockets' CONNECT does not put an IPv6 literal in brackets. */
	if (options->proxy.host[0] && strchr(options->url.host, ':'))
		return complain(err, "--proxy",
				"cannot reach an IPv6 literal; give the server's name in --url");
	if (options->state[0])
		return true;
	if (snprintf(options->state, sizeof(options->state), "%s/.slotbell-state.json",
		     options->calendar) >= (int)sizeof(options->state))
		return complain(err, "--calendar", "the path is too long");
	return true;
}

bool sb_options_parse(int argc, char *argv[], FILE *out, FILE *err, struct sb_options *ret_options,
		      enum sb_exit *ret_exit)
{
	bool good = true;
	int id;

	memset(ret_options, 0, sizeof(*ret_options));
	ret_options->websocket_again_s = WEBSOCKET_AGAIN_SECONDS;
	opterr = 0; /* getopt would print what was typed as it is */
	optind = 0; /* glibc: start anew, so that a test may parse twice */
	while (good && (id = getopt_long(argc, argv, ":", long_options, NULL)) != -1) {
		if (id == OPT_HELP || id == OPT_VERSION) {
			fputs(id == OPT_HELP ? usage : "slotbell-plugin " SB_VERSION "\n", out);
			*ret_exit = SB_EXIT_DONE;
			return false;
		}
		good = id == '?' || id == ':' ? complain_of_option(id, argv[optind - 1], err)
					      : take_option(ret_options, id, err);
	}
	if (good && optind < argc)
		good = complain(err, argv[optind], "there are no arguments but options");
	if (good)
		good = check_whole(ret_options, err);
	if (!good) {
		fputs("Try slotbell-plugin --help.\n", err);
		*ret_exit = SB_EXIT_USAGE;
	}
	return good;
}

int sb_options_read_token(struct sb_options *options, FILE *err)
{
	const char *words = NULL;
	char *bytes;
	size_t len, token_len;
	int error = sb_file_read(AT_FDCWD, options->token_file, TOKEN_FILE_MAX, &bytes, &len);

	if (error) {
		sb_report_line(err, "slotbell-plugin: cannot read the token file %s: %s",
			       options->token_file, strerror(-error));
		return -1;
	}
	token_len = strcspn(bytes, "\r\n");
	if (token_len == 0)
		words = "is empty";
	else if (bytes[token_len + strspn(bytes + token_len, "\r\n")] || strlen(bytes) != len)
		words = "holds more than one line";
	else if (token_len > SB_TOKEN_MAX)
		words = "holds something too long for a token";
	for (size_t i = 0; i < token_len && !words; i++) {
		if ((unsigned char)bytes[i] <= 0x20 || (unsigned char)bytes[i] >= 0x7f)
			words = "holds something that is no token";
	}
	if (words) {
		sb_report_line(err, "slotbell-plugin: the token file %s %s", options->token_file,
			       words);
	} else {
		memcpy(options->token, bytes, token_len);
		options->token[token_len] = '\0';
	}
	explicit_bzero(bytes, len);
	free(bytes);
	return words ? -1 : 0;
}
