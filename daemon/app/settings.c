/* From keys to what core and edge want to be told. */
#include "daemon/app/settings.h"
#include "daemon/base/address.h"
#include "daemon/edge/tickets.h"
#include "daemon/edge/tls.h"
#include "daemon/store/pg.h"
#include <errno.h>
#include <openssl/rand.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>
#include <time.h>

static uint32_t seconds_to_ms(uint32_t seconds)
{
	return seconds * 1000;
}

/* What core and edge are told, from the keys. */
static void derive(struct sb_settings *settings)
{
	const struct sb_config *config = &settings->config;

	settings->hub.window = config->sessions_window;
	settings->hub.heartbeat_ms = seconds_to_ms(config->sessions_heartbeat_seconds);
	settings->hub.hello_ms = seconds_to_ms(config->sessions_hello_seconds);
	settings->hub.authenticate_ms = 5000;
	settings->hub.stalled_ms = seconds_to_ms(config->sessions_stalled_seconds);
	settings->hub.closing_ms = 5000;
	settings->hub.reconnect_min_ms = 500;
	settings->hub.reconnect_max_ms = 60000;
	settings->hub.return_per_second = config->sessions_return_per_second;
	settings->hub.max_sessions = config->sessions_max;
	settings->server = (struct sb_server_config){
		.address = config->listen_address,
		.identity = settings->identity,
		.ticket_keys = settings->ticket_keys,
		.origins = config->listen_origins,
		.handshakes = config->sessions_handshakes,
		.opening_ms = seconds_to_ms(config->sessions_hello_seconds),
		.max_sessions = config->sessions_max,
		.unauthenticated_per_address = config->sessions_unauthenticated_per_address,
		.per_address = config->sessions_per_address,
		.bad_tokens_per_minute = config->sessions_bad_tokens_per_minute,
		.max_addresses = config->sessions_addresses,
		.return_per_second = config->sessions_return_per_second,
		.trusted_proxies = &settings->trusted_proxies,
	};
}

/* One problem with the key `name`, "section.key": where it was said, and why it is wrong.
 * Returns 1. */
__attribute__((format(printf, 4, 5))) static int wrong(const struct sb_config *config, FILE *errors,
						       const char *name, const char *format, ...)
{
	const char *dot = strchr(name, '.');
	va_list args;

	(void)fprintf(errors, "%s: [%.*s] %s ", sb_config_place(config, name), (int)(dot - name),
		      name, dot + 1);
	va_start(args, format);
	(void)vfprintf(errors, format, args);
	va_end(args);
	(void)fputc('\n', errors);
	return 1;
}

static int check_address(const struct sb_config *config, FILE *errors, const char *name,
			 const char *value)
{
	struct sockaddr_storage address;

	if (sb_address_parse(value, &address) == 0)
		return 0;
	return wrong(config, errors, name,
		     "= %s: not ADDRESS:PORT, as in 127.0.0.1:8443 or [::]:8443", value);
}

/* What every one of a browser's origins looks like. Another one would be there in vain. */
static bool is_origin(const char *word, size_t len)
{
	size_t scheme = !strncasecmp(word, "https://", 8)  ? 8
			: !strncasecmp(word, "http://", 7) ? 7
							   : 0;

	if (len == 4 && !strncasecmp(word, "null", 4))
		return true; /* what a page without an origin says */
	return scheme && len > scheme && !memchr(word + scheme, '/', len - scheme);
}

static int check_origins(const struct sb_config *config, FILE *errors)
{
	const char *list = config->listen_origins;
	int problems = 0;

	for (list += strspn(list, ", "); *list; list += strspn(list, ", ")) {
		size_t len = strcspn(list, ", ");

		if (!is_origin(list, len))
			problems += wrong(config, errors, "listen.origins",
					  "= %.*s: not an origin, as in https://addin.example.com: "
					  "scheme and host, a port if it is not the usual one, "
					  "nothing behind",
					  (int)len, list);
		list += len;
	}
	return problems;
}

static int check_url(const struct sb_config *config, FILE *errors)
{
	char why[256];

	if (!*config->database_url || sb_pg_url_check(config->database_url, why, sizeof(why)) == 0)
		return 0;
	return wrong(config, errors, "database.url", "%s", why); /* may have a password */
}

static int check_socket(const struct sb_config *config, FILE *errors)
{
	const size_t max = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;
	const char *path = config->control_socket;

	if (!*path || (*path == '/' && strlen(path) <= max))
		return 0;
	return wrong(config, errors, "control.socket",
		     "= %s: must be a path that begins with / and has at most %zu characters", path,
		     max);
}

/* What a key's own range cannot say. */
static int check_retention(const struct sb_config *config, FILE *errors)
{
	if (config->retention_receipts_days >= config->retention_days)
		return 0;
	return wrong(config, errors, "retention.receipts_days",
		     "= %u: must not be below days = %u, or a booking would be forgotten while it "
		     "waits",
		     config->retention_receipts_days, config->retention_days);
}

static int load_proxies(struct sb_settings *settings, FILE *errors)
{
	char why[1024];

	if (sb_networks_parse(settings->config.listen_trusted_proxies, &settings->trusted_proxies,
			      why, sizeof(why)) == 0)
		return 0;
	return wrong(&settings->config, errors, "listen.trusted_proxies", "= %s", why);
}

static int load_identity(struct sb_settings *settings, FILE *errors)
{
	const struct sb_config *config = &settings->config;
	struct sb_server_problem problems[2];
	int count = 0;

	if (!*config->tls_certificate || !*config->tls_key)
		return 0; /* said already: they are needed */
	settings->identity =
		sb_tls_identity_new(config->tls_certificate, config->tls_key, problems);
	for (size_t i = 0; i < 2 && !settings->identity; i++) {
		if (problems[i].key)
			count += wrong(config, errors, problems[i].key, "= %s", problems[i].detail);
	}
	return count;
}

static int load_ticket_keys(struct sb_settings *settings, FILE *errors)
{
	const char *file = settings->config.tls_ticket_keys;
	struct sb_server_problem problem;

	if (!*file)
		return 0;
	settings->ticket_keys = sb_ticket_keys_load(file, &problem);
	if (settings->ticket_keys)
		return 0;
	return wrong(&settings->config, errors, problem.key, "= %s", problem.detail);
}

static int check(struct sb_settings *settings, FILE *errors)
{
	const struct sb_config *config = &settings->config;
	int problems = check_address(config, errors, "listen.address", config->listen_address);

	if (*config->listen_admin)
		problems += check_address(config, errors, "listen.admin", config->listen_admin);
	problems += check_origins(config, errors);
	problems += load_proxies(settings, errors);
	problems += load_identity(settings, errors);
	problems += load_ticket_keys(settings, errors);
	problems += check_url(config, errors);
	problems += check_retention(config, errors);
	problems += check_socket(config, errors);
	return problems;
}

int sb_settings_read(const struct sb_settings_source *source, FILE *errors,
		     struct sb_settings **ret_settings)
{
	struct sb_settings *settings = calloc(1, sizeof(*settings));
	int problems;

	*ret_settings = NULL;
	if (!settings)
		return -ENOMEM;
	problems = sb_config_read(&settings->config, source->file, source->overrides,
				  source->override_count, errors);
	if (problems >= 0)
		problems += check(settings, errors);
	if (problems != 0) {
		sb_settings_free(settings);
		return problems;
	}
	/* Of the process, not of the file: names its sessions. */
	(void)RAND_bytes((unsigned char *)&settings->hub.instance, sizeof(settings->hub.instance));
	derive(settings);
	*ret_settings = settings;
	return 0;
}

int sb_settings_check_time(const struct sb_settings *settings, FILE *errors)
{
	int64_t now = time(NULL), not_before, not_after;

	sb_tls_identity_validity(settings->identity, &not_before, &not_after);
	if (now >= not_before && now < not_after)
		return 0;
	return wrong(&settings->config, errors, "tls.certificate",
		     "= %s: %s, by this machine's clock", settings->config.tls_certificate,
		     now < not_before ? "is not valid yet" : "has expired");
}

void sb_settings_follow(struct sb_settings *next, const struct sb_settings *running, FILE *changed,
			FILE *restart)
{
	sb_config_follow(&next->config, &running->config, changed, restart);
	if (!sb_tls_identity_equal(next->identity, running->identity))
		(void)fprintf(changed, " certificate");
	if (!sb_ticket_keys_equal(next->ticket_keys, running->ticket_keys))
		(void)fprintf(changed, " ticket-keys");
	next->hub.instance = running->hub.instance;
	derive(next);
}

void sb_settings_free(struct sb_settings *settings)
{
	if (!settings)
		return;
	sb_tls_identity_free(settings->identity);
	sb_ticket_keys_free(settings->ticket_keys);
	sb_config_fini(&settings->config);
	free(settings);
}
