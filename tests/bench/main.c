/*
 * slotbell-bench: many plug-ins in one process, to see what a daemon and its
 * machine can bear.
 */
#include "tests/bench/crowd.h"
#include <getopt.h>
#include <netdb.h>
#include <openssl/err.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#define EXIT_USAGE 2

static const char help[] =
	"Usage: slotbell-bench COMMAND --url wss://HOST:PORT [OPTION]...\n"
	"Many plug-ins in one process, against a slotbelld that you may load.\n"
	"\n"
	"Commands:\n"
	"  idle    sessions that come, are live, and stay, answering pings\n"
	"  storm   the same, acking bookings, and coming back when the connection ends\n"
	"  shake   connections that go through TLS and upgrade, say nothing, and stay\n"
	"  ask     GET /v1/reconnect at --rate, at most --sessions of them open at once\n"
	"  knock   connections that say hello without a token, one after the other\n"
	"\n"
	"Options:\n"
	"  --url URL          where slotbelld is\n"
	"  --ca FILE          the authority of its certificate, instead of the system's\n"
	"  --tokens FILE      one token per line; idle and storm need one for each session,\n"
	"                     ask takes them in turn\n"
	"  --sessions N       how many; by default as many as tokens\n"
	"  --connecting N     on their way in at once (64)\n"
	"  --seconds S        to stay, or to ask, so long; by default until standard input ends\n"
	"  --rate N           ask: requests per second (100)\n"
	"  --keep             ask: more than one question by each connection\n"
	"  --resume           resume the TLS session of the first one\n"
	"  --help             print this, and end\n"
	"\n"
	"What it reached is a line of JSON each on standard output: live, back, stayed,\n"
	"asked, knocked.\n"
	"Exit status: 0 done, 1 some were lost, 2 usage.\n";

struct options {
	const char *url, *ca, *tokens;
	struct sb_crowd_plan plan;
};

static int usage(const char *problem, const char *what)
{
	(void)fprintf(stderr, "slotbell-bench: %s%s\nTry 'slotbell-bench --help'.\n", problem,
		      what);
	return EXIT_USAGE;
}

static bool read_number(const char *text, double *ret_value)
{
	char *end;

	*ret_value = strtod(text, &end);
	return end != text && !*end && *ret_value >= 0 && *ret_value <= 1e7;
}

/* -1: go on; else the exit status. */
static int read_options(int argc, char **argv, struct options *options)
{
	enum { URL = 256, CA, TOKENS, SESSIONS, CONNECTING, SECONDS, RATE, KEEP, RESUME, HELP };
	static const struct option known[] = {
		{"url", required_argument, NULL, URL},
		{"ca", required_argument, NULL, CA},
		{"tokens", required_argument, NULL, TOKENS},
		{"sessions", required_argument, NULL, SESSIONS},
		{"connecting", required_argument, NULL, CONNECTING},
		{"seconds", required_argument, NULL, SECONDS},
		{"rate", required_argument, NULL, RATE},
		{"keep", no_argument, NULL, KEEP},
		{"resume", no_argument, NULL, RESUME},
		{"help", no_argument, NULL, HELP},
		{0},
	};
	double number = 0;
	int option;

	options->plan.connecting = 64;
	options->plan.rate = 100;
	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (option >= SESSIONS && option <= RATE && !read_number(optarg, &number))
			return usage("not a number: ", optarg);
		switch (option) {
		case URL:
			options->url = optarg;
			break;
		case CA:
			options->ca = optarg;
			break;
		case TOKENS:
			options->tokens = optarg;
			break;
		case SESSIONS:
			options->plan.sessions = (size_t)number;
			break;
		case CONNECTING:
			options->plan.connecting = (size_t)number;
			break;
		case SECONDS:
			options->plan.seconds = number;
			break;
		case RATE:
			options->plan.rate = number;
			break;
		case KEEP:
			options->plan.keep = true;
			break;
		case RESUME:
			options->plan.resume = true;
			break;
		case HELP:
			(void)fputs(help, stdout);
			return EXIT_SUCCESS;
		default:
			return usage("", "");
		}
	}
	if (!options->url)
		return usage("where? --url is needed", "");
	return -1;
}

/* One token per line. */
static int read_tokens(const char *path, struct sb_crowd_plan *plan)
{
	FILE *file = fopen(path, "re");
	size_t count = 0, room = 0, size = 0;
	char *line = NULL;

	if (!file)
		return usage("cannot read ", path);
	while (getline(&line, &size, file) > 0) {
		line[strcspn(line, "\r\n")] = '\0';
		if (!*line)
			continue;
		if (count == room) {
			room = room ? 2 * room : 1024;
			plan->tokens = realloc(plan->tokens, room * sizeof(*plan->tokens));
		}
		plan->tokens[count++] = strdup(line);
	}
	plan->token_count = count;
	free(line);
	(void)fclose(file);
	if (!plan->sessions)
		plan->sessions = count;
	return count ? 0 : usage("no token in ", path);
}

/* ---- the line ---- */

/* "wss://HOST:PORT" with a HOST that may be in brackets. */
static int find_address(const char *url, struct sb_line *line)
{
	static const char scheme[] = "wss://";
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *info;
	char port[8];
	const char *host, *colon;
	size_t len;

	if (strncmp(url, scheme, sizeof(scheme) - 1) != 0)
		return usage("not a wss:// URL: ", url);
	host = url + sizeof(scheme) - 1;
	colon = strrchr(host, ':');
	if (!colon || strcspn(colon + 1, "/") >= sizeof(port))
		return usage("no port in ", url);
	(void)snprintf(port, sizeof(port), "%.*s", (int)strcspn(colon + 1, "/"), colon + 1);
	len = (size_t)(colon - host);
	if (len > 2 && host[0] == '[' && host[len - 1] == ']') {
		host++;
		len -= 2;
	}
	(void)snprintf(line->name, sizeof(line->name), "%.*s", (int)len, host);
	if (getaddrinfo(line->name, port, &hints, &info) != 0)
		return usage("no such host: ", line->name);
	memcpy(&line->address, info->ai_addr, info->ai_addrlen);
	line->address_len = info->ai_addrlen;
	freeaddrinfo(info);
	return 0;
}

static int set_up_tls(const char *ca, struct sb_line *line)
{
	line->tls = SSL_CTX_new(TLS_client_method());
	if (!line->tls)
		return usage("no TLS here", "");
	(void)SSL_CTX_set_min_proto_version(line->tls, TLS1_2_VERSION);
	(void)SSL_CTX_set_mode(line->tls,
			       SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_verify(line->tls, SSL_VERIFY_PEER, NULL);
	if (ca ? SSL_CTX_load_verify_locations(line->tls, ca, NULL) != 1
	       : SSL_CTX_set_default_verify_paths(line->tls) != 1)
		return usage("cannot use the authority in ", ca ? ca : "the system");
	return 0;
}

static void forget_tokens(struct sb_crowd_plan *plan)
{
	for (size_t i = 0; plan->tokens && i < plan->token_count; i++)
		free(plan->tokens[i]);
	free(plan->tokens);
}

static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

static const struct command {
	const char *name;
	int (*run)(struct sb_line *line, const struct sb_crowd_plan *plan);
	bool needs_tokens, token_each;
} commands[] = {
	{"idle", sb_crowd_idle, true, true},	 {"storm", sb_crowd_storm, true, true},
	{"shake", sb_crowd_shake, false, false}, {"ask", sb_crowd_ask, true, false},
	{"knock", sb_crowd_knock, false, false},
};

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	}
	return NULL;
}

/* 0, or the exit status of who called it wrongly. */
static int prepare(struct options *options, const struct command *command, struct sb_line *line)
{
	if (command->needs_tokens && !options->tokens)
		return usage(command->name, " needs --tokens");
	if (options->tokens && read_tokens(options->tokens, &options->plan) != 0)
		return EXIT_USAGE;
	if (command->token_each && options->plan.token_count < options->plan.sessions)
		return usage("fewer tokens than sessions in ", options->tokens);
	if (!options->plan.sessions || !options->plan.connecting)
		return usage("--sessions and --connecting must not be 0", "");
	return find_address(options->url, line) ? EXIT_USAGE : set_up_tls(options->ca, line);
}

int main(int argc, char **argv)
{
	struct options options = {0};
	struct sb_line line = {0};
	const struct command *command;
	int status = read_options(argc, argv, &options);

	if (status >= 0)
		return status;
	if (optind + 1 != argc)
		return usage("one command is needed", "");
	command = find_command(argv[optind]);
	if (!command)
		return usage("no such command: ", argv[optind]);
	status = prepare(&options, command, &line);
	if (status == 0) {
		raise_descriptor_limit();
		(void)signal(SIGPIPE, SIG_IGN);
		line.epoll = epoll_create1(EPOLL_CLOEXEC);
		status = command->run(&line, &options.plan);
	}
	SSL_CTX_free(line.tls);
	forget_tokens(&options.plan);
	return status;
}
