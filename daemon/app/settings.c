/* From keys to what core and edge want to be told. */
#include "daemon/app/settings.h"
#include "daemon/edge/tls/identity.h"
#include "daemon/edge/tls/tickets.h"
#include "daemon/store/conninfo.h"
#include "daemon/store/pg.h"
#include <errno.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint32_t seconds_to_ms(uint32_t seconds)
{
	return seconds * 1000;
}

/* What core and edge are told, from the keys. */
static void derive(struct sb_settings *settings)
{
	const struct sb_config *config = &settings->config;

	/* Good: the configuration's own checks have read it. */
	(void)sb_networks_parse(config->listen_trusted_proxies, &settings->trusted_proxies, NULL,
				0);
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
		.door = {.handshakes = config->sessions_handshakes,
			 .opening_ms = seconds_to_ms(config->sessions_hello_seconds),
			 .max_sessions = config->sessions_max,
			 .unauthenticated_per_address =
				 config->sessions_unauthenticated_per_address,
			 .per_address = config->sessions_per_address,
			 .bad_tokens_per_minute = config->sessions_bad_tokens_per_minute,
			 .max_addresses = config->sessions_addresses,
			 .return_per_second = config->sessions_return_per_second,
			 .trusted_proxies = &settings->trusted_proxies},
		.http = {.origins = config->listen_origins,
			 .keep_alive_ms = seconds_to_ms(config->listen_keep_alive_seconds),
			 .opening_ms = seconds_to_ms(config->sessions_hello_seconds),
			 .max_sessions = config->sessions_max},
	};
}

static int check_url(const struct sb_config *config, FILE *errors)
{
	char why[256];

	if (!*config->database_url || sb_pg_url_check(config->database_url, why, sizeof(why)) == 0)
		return 0;
	return sb_config_wrong(config, errors, "database.url", "%s", why); /* may have a password */
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
			count += sb_config_wrong(config, errors, problems[i].key, "= %s",
						 problems[i].detail);
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
	return sb_config_wrong(&settings->config, errors, problem.key, "= %s", problem.detail);
}

/* What the configuration's own checks cannot know of. */
static int load(struct sb_settings *settings, FILE *errors)
{
	return load_identity(settings, errors) + load_ticket_keys(settings, errors) +
	       check_url(&settings->config, errors);
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
		problems += load(settings, errors);
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

void sb_settings_print(const struct sb_settings *settings, FILE *out)
{
	sb_config_print(&settings->config, sb_conninfo_print, out);
}

int sb_settings_check_time(const struct sb_settings *settings, FILE *errors)
{
	int64_t now = time(NULL), not_before, not_after;

	sb_tls_identity_validity(settings->identity, &not_before, &not_after);
	if (now >= not_before && now < not_after)
		return 0;
	return sb_config_wrong(&settings->config, errors, "tls.certificate",
			       "= %s: %s, by this machine's clock",
			       settings->config.tls_certificate,
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
