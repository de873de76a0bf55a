/*
 * All that the daemon was told: the configuration, and what was made of the
 * files that it names. Tried as a whole, const once made; a reload makes
 * another one and swaps the pointer.
 */
#ifndef SB_APP_SETTINGS_H
#define SB_APP_SETTINGS_H

#include "daemon/core/hub.h"
#include "daemon/edge/server.h"
#include "daemon/ops/config.h"
#include <stddef.h>
#include <stdio.h>

struct sb_settings {
	struct sb_config config;
	struct sb_tls_identity *identity;
	struct sb_ticket_keys *ticket_keys; /* NULL: of the process' own */
	struct sb_networks trusted_proxies;
	struct sb_server_config server; /* points into all above */
	struct sb_hub_config hub;
};

/* Where settings come from: borrowed for as long as there may be a reload. */
struct sb_settings_source {
	const char *file;	      /* NULL: the usual one, if it is there */
	const char *const *overrides; /* "section.key=value" */
	size_t override_count;
};

/*
 * Reads and tries everything; touches nothing outside, so it may run in any
 * thread. Each problem becomes a line on `errors`. Returns how many there were,
 * with *ret_settings NULL unless there were none; -ENOMEM when out of memory.
 */
int sb_settings_read(const struct sb_settings_source *source, FILE *errors,
		     struct sb_settings **ret_settings);

/* See sb_config_print(). */
void sb_settings_print(const struct sb_settings *settings, FILE *out);

/* Whether the certificate is valid now: 0, or 1 with a line on `errors`. For a reload a reason to
 * refuse, at the start one to warn: there is no better one to keep. */
int sb_settings_check_time(const struct sb_settings *settings, FILE *errors);

/* Of a reload: keys that need a restart go back to what runs. See sb_config_follow(). */
void sb_settings_follow(struct sb_settings *next, const struct sb_settings *running, FILE *changed,
			FILE *restart);

/* Accepts NULL. */
void sb_settings_free(struct sb_settings *settings);

#endif
