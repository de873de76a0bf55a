/*
 * slotbelld: puts the parts together, and takes them apart in reverse.
 *
 *   configuration → log → loop → store → hub → server → signals → run
 */
#include "daemon/core/hub.h"
#include "daemon/edge/server.h"
#include "daemon/ops/config.h"
#include "daemon/ops/descriptors.h"
#include "daemon/ops/log_sink.h"
#include "daemon/store/pg.h"
#include <getopt.h>
#include <inttypes.h>
#include <malloc.h>
#include <openssl/rand.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <uv.h>

#define EXIT_USAGE	   2
#define EXIT_CONFIGURATION 3
/* How often deadlines are looked at. */
#define TICK_MS	     100
#define MAX_SETTINGS 64

struct daemon {
	struct sb_clock clock; /* first: the clock's functions find the rest */
	uv_loop_t loop;
	struct sb_config config;
	struct sb_server_config server_config;
	struct sb_pg *pg;
	struct sb_hub *hub;
	struct sb_server *server;
	uv_timer_t tick;
	uv_signal_t on_term, on_int;
	uint64_t drain_until_ms; /* 0: not draining */
	bool ending;
};

/* ---- the clock ---- */

static uint64_t now_ms(struct sb_clock *clock)
{
	return uv_now(&((struct daemon *)(void *)clock)->loop);
}

static int64_t wall_us(struct sb_clock *clock)
{
	struct timespec now;

	(void)clock;
	(void)clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
}

static uint32_t random_u32(struct sb_clock *clock)
{
	uint32_t value = 0;

	(void)clock;
	(void)RAND_bytes((unsigned char *)&value,
			 sizeof(value)); /* only spreads waits: a 0 does no harm */
	return value;
}

/* ---- the end ---- */

static void on_pg_closed(void *data)
{
	struct daemon *daemon = data;

	daemon->pg = NULL;
	uv_close((uv_handle_t *)&daemon->tick, NULL);
	uv_close((uv_handle_t *)&daemon->on_term, NULL);
	uv_close((uv_handle_t *)&daemon->on_int, NULL);
}

static void on_server_closed(void *data)
{
	struct daemon *daemon = data;

	daemon->server = NULL;
	sb_pg_close(daemon->pg, on_pg_closed, daemon);
}

static void end(struct daemon *daemon)
{
	if (daemon->ending)
		return;
	daemon->ending = true;
	sb_log(SB_LOG_INFO, "ending", "connections=%zu", sb_server_connections(daemon->server));
	sb_server_close(daemon->server, on_server_closed, daemon);
}

static void on_stop_signal(uv_signal_t *handle, int number)
{
	struct daemon *daemon = handle->data;

	if (daemon->drain_until_ms) {
		end(daemon); /* a second signal does not wait */
		return;
	}
	sb_log(SB_LOG_NOTICE, "draining", "signal=%d connections=%zu", number,
	       sb_server_connections(daemon->server));
	(void)sd_notify(0, "STOPPING=1\nSTATUS=Draining");
	daemon->drain_until_ms =
		uv_now(&daemon->loop) + daemon->config.drain_seconds * UINT64_C(1000) + 1;
	sb_server_stop_accepting(daemon->server);
	sb_hub_drain(daemon->hub);
}

static bool is_drained(struct daemon *daemon)
{
	if (uv_now(&daemon->loop) >= daemon->drain_until_ms)
		return true;
	return sb_server_connections(daemon->server) == 0 && !sb_hub_has_unsaved(daemon->hub);
}

static void on_tick(uv_timer_t *timer)
{
	struct daemon *daemon = timer->data;

	if (daemon->ending)
		return;
	sb_hub_tick(daemon->hub);
	sb_server_tick(daemon->server);
	if (daemon->drain_until_ms && is_drained(daemon))
		end(daemon);
}

/* ---- the beginning ---- */

static uint32_t seconds_to_ms(uint32_t seconds)
{
	return seconds * 1000;
}

static int start_store(struct daemon *daemon)
{
	struct sb_pg_config config;

	sb_pg_config_defaults(&config);
	config.url = daemon->config.database_url;
	daemon->pg = sb_pg_new(&daemon->loop, &config, NULL);
	return daemon->pg ? 0 : -1;
}

static int start_hub(struct daemon *daemon)
{
	const struct sb_config *config = &daemon->config;
	struct sb_hub_config hub_config = {
		.window = config->sessions_window,
		.heartbeat_ms = seconds_to_ms(config->sessions_heartbeat_seconds),
		.hello_ms = seconds_to_ms(config->sessions_hello_seconds),
		.authenticate_ms = 5000,
		.stalled_ms = seconds_to_ms(config->sessions_stalled_seconds),
		.closing_ms = 5000,
		.reconnect_min_ms = 500,
		.reconnect_max_ms = 60000,
		.return_per_second = config->sessions_return_per_second,
		.max_sessions = config->sessions_max,
		.instance = random_u32(&daemon->clock),
	};

	daemon->hub = sb_hub_new(&hub_config, sb_pg_store(daemon->pg), &daemon->clock);
	if (!daemon->hub)
		return -1;
	sb_pg_set_hub(daemon->pg, daemon->hub);
	return 0;
}

static int start_server(struct daemon *daemon)
{
	struct sb_server_problem problem;

	daemon->server_config = (struct sb_server_config){
		.address = daemon->config.listen_address,
		.certificate = daemon->config.tls_certificate,
		.key = daemon->config.tls_key,
		.origins = daemon->config.listen_origins,
		.handshakes = daemon->config.sessions_handshakes,
		.opening_ms = seconds_to_ms(daemon->config.sessions_hello_seconds),
	};
	daemon->server =
		sb_server_new(&daemon->loop, daemon->hub, &daemon->server_config, &problem);
	if (daemon->server)
		return 0;
	sb_log(SB_LOG_ERROR, "cannot start", "key=%s problem=\"%s\"", problem.key, problem.detail);
	return -1;
}

static void start_handles(struct daemon *daemon)
{
	(void)uv_timer_init(&daemon->loop, &daemon->tick);
	(void)uv_signal_init(&daemon->loop, &daemon->on_term);
	(void)uv_signal_init(&daemon->loop, &daemon->on_int);
	daemon->tick.data = daemon;
	daemon->on_term.data = daemon;
	daemon->on_int.data = daemon;
	(void)uv_timer_start(&daemon->tick, on_tick, TICK_MS, TICK_MS);
	(void)uv_signal_start(&daemon->on_term, on_stop_signal, SIGTERM);
	(void)uv_signal_start(&daemon->on_int, on_stop_signal, SIGINT);
}

/* One arena and an early trim: memory that a storm took goes back when it is over. */
static void set_up_process(void)
{
	(void)mallopt(M_ARENA_MAX, 1);
	(void)mallopt(M_TRIM_THRESHOLD, 128 * 1024);
	(void)signal(SIGPIPE, SIG_IGN);
}

/* Before the server starts, which takes the limit as it finds it. */
static void set_up_descriptors(const struct sb_config *config)
{
	uint64_t wanted = sb_descriptors_wanted(config->sessions_max, config->sessions_handshakes);
	uint64_t limit = sb_descriptors_limit(wanted);

	if (limit < wanted)
		sb_log(SB_LOG_WARNING, "too few descriptors",
		       "limit=%" PRIu64 " wanted=%" PRIu64
		       " problem=\"sessions.max cannot be reached; raise the limit "
		       "(LimitNOFILE=, ulimit -n)\"",
		       limit, wanted);
}

static int run(struct daemon *daemon)
{
	set_up_descriptors(&daemon->config);
	daemon->clock =
		(struct sb_clock){.now_ms = now_ms, .wall_us = wall_us, .random = random_u32};
	if (uv_loop_init(&daemon->loop) != 0 || start_store(daemon) != 0 ||
	    start_hub(daemon) != 0) {
		sb_log(SB_LOG_ERROR, "cannot start", "problem=\"out of memory\"");
		return EXIT_FAILURE;
	}
	start_handles(daemon);
	if (start_server(daemon) == 0) {
		sb_pg_start(daemon->pg);
		sb_log(SB_LOG_NOTICE, "ready", "version=%s port=%u", SB_VERSION,
		       sb_server_port(daemon->server));
		(void)sd_notifyf(0, "READY=1\nSTATUS=Listening on port %u",
				 sb_server_port(daemon->server));
		(void)uv_run(&daemon->loop, UV_RUN_DEFAULT);
		sb_log(SB_LOG_NOTICE, "ended", "version=%s", SB_VERSION);
		sb_hub_free(daemon->hub);
		return uv_loop_close(&daemon->loop) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
	}
	sb_pg_close(daemon->pg, on_pg_closed, daemon);
	(void)uv_run(&daemon->loop, UV_RUN_DEFAULT);
	sb_hub_free(daemon->hub);
	return EXIT_FAILURE;
}

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
	"SIGTERM says goodbye to every session, saves their acks and ends; a second one ends at "
	"once.\n"
	"Exit status: 0 done, 1 failed, 2 usage, 3 configuration. See slotbelld(8), "
	"slotbelld.conf(5).\n";

struct options {
	const char *file;
	const char *settings[MAX_SETTINGS];
	size_t setting_count;
	bool check, print;
};

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

	while ((option = getopt_long(argc, argv, "c:s:", known, NULL)) != -1) {
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
			(void)fputs("Try 'slotbelld --help'.\n", stderr);
			return EXIT_USAGE;
		}
	}
	if (optind < argc) {
		(void)fprintf(stderr, "slotbelld: what is '%s'? Try 'slotbelld --help'.\n",
			      argv[optind]);
		return EXIT_USAGE;
	}
	return -1;
}

/* Files that cannot be read and a URL that is none are problems of the configuration too. */
static int check_values(const struct sb_config *config)
{
	const struct {
		const char *key, *file;
	} files[] = {{"[tls] certificate", config->tls_certificate},
		     {"[tls] key", config->tls_key}};
	char why[256];
	int problems = 0;

	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		FILE *file = *files[i].file ? fopen(files[i].file, "re") : NULL;

		if (file) {
			(void)fclose(file);
		} else if (*files[i].file) {
			problems++;
			(void)fprintf(stderr, "%s = %s: cannot be read: %m\n", files[i].key,
				      files[i].file);
		}
	}
	if (*config->database_url && sb_pg_url_check(config->database_url, why, sizeof(why)) != 0) {
		problems++;
		(void)fprintf(stderr, "[database] url %s\n", why);
	}
	return problems;
}

int main(int argc, char **argv)
{
	struct daemon daemon = {0};
	struct options options = {0};
	int status = read_options(argc, argv, &options), problems;

	if (status >= 0)
		return status;
	set_up_process();
	problems = sb_config_read(&daemon.config, options.file, options.settings,
				  options.setting_count, stderr);
	if (problems >= 0)
		problems += check_values(&daemon.config);
	if (problems != 0) {
		(void)fprintf(stderr, "slotbelld: the configuration has %d problem%s\n", problems,
			      problems == 1 ? "" : "s");
		status = EXIT_CONFIGURATION;
	} else if (options.print) {
		sb_config_print(&daemon.config, stdout);
		status = EXIT_SUCCESS;
	} else if (options.check) {
		(void)puts("The configuration is good.");
		status = EXIT_SUCCESS;
	} else {
		sb_log_start(daemon.config.log_level, daemon.config.log_format);
		status = run(&daemon);
	}
	sb_config_fini(&daemon.config);
	return status;
}
