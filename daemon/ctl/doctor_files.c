/* The files that need no cryptography: configuration and ticket keys. */
#include "daemon/base/ticket_file.h"
#include "daemon/ctl/doctor.h"
#include "daemon/ctl/output.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* As much of the daemon's environment is read. */
#define ENVIRONMENT_MAX 131072

/* ---- configuration ---- */

/* How many problems there are, their lines in *ret_problems, to be freed. */
static int read_config(struct sb_doctor *doctor, char **ret_problems)
{
	const char *file = sb_doctor_paper(doctor, SB_PAPER_FILE);
	const char *copy = sb_doctor_paper(doctor, SB_PAPER_CONFIG);
	size_t size;
	FILE *errors = open_memstream(ret_problems, &size);
	int problems;

	sb_need(errors);
	sb_config_fini(&doctor->config);
	/* The copy is for what root may read and the daemon's user may not. */
	if (copy && access(file ? file : SB_CONFIG_FILE, R_OK) != 0)
		problems = sb_config_read_copy(&doctor->config, file ? file : SB_CONFIG_FILE, copy,
					       errors);
	else
		problems = sb_config_read(&doctor->config, file, NULL, 0, errors);
	sb_need(problems >= 0);
	sb_need(fclose(errors) == 0);
	return problems;
}

static bool is_taken(const char *variable)
{
	return strncmp(variable, "PG", 2) == 0 || strncmp(variable, "SLOTBELL_", 9) == 0;
}

static void take_variable(struct sb_doctor *doctor, char *variable)
{
	static const char credentials[] = "CREDENTIALS_DIRECTORY=";
	char *equals = strchr(variable, '=');

	if (strncmp(variable, credentials, strlen(credentials)) == 0 && !doctor->credentials) {
		doctor->credentials = strdup(equals + 1);
		sb_need(doctor->credentials);
	}
	if (!equals || !is_taken(variable))
		return;
	*equals = '\0';
	(void)setenv(variable, equals + 1, 1);
	*equals = '=';
}

/*
 * What the running daemon's environment says of configuration and database
 * becomes ours; its credentials' folder is noted. Reading it may wait for as long
 * as the daemon likes: its pages are its own.
 */
static void take_environment(struct sb_doctor *doctor)
{
	static char text[ENVIRONMENT_MAX + 1];
	size_t len = 0;
	ssize_t count;

	if (!doctor->brief.has_environment)
		return;
	while (len < ENVIRONMENT_MAX &&
	       (count = read(SB_DOCTOR_ENVIRONMENT, text + len, ENVIRONMENT_MAX - len)) > 0)
		len += (size_t)count;
	(void)close(SB_DOCTOR_ENVIRONMENT);
	text[len] = '\0';
	for (char *variable = text; variable < text + len; variable += strlen(variable) + 1)
		take_variable(doctor, variable);
	explicit_bzero(text, len); /* there may be a password */
}

/*
 * SLOTBELL_DATABASE_URL in our own environment was for slotbellctl up to 0.1.0:
 * it may be another role's than the daemon's. So the daemon's own environment
 * counts, then the file, and ours only where neither says anything.
 */
void sb_check_configuration(struct sb_doctor *doctor, struct sb_finding *finding)
{
	const char *ours = getenv("SLOTBELL_DATABASE_URL");
	const char *file = sb_doctor_paper(doctor, SB_PAPER_FILE);
	char *url = ours ? strdup(ours) : NULL, *problems;
	int count;

	(void)unsetenv("SLOTBELL_DATABASE_URL");
	take_environment(doctor);
	count = read_config(doctor, &problems);
	if (url && !*doctor->config.database_url) {
		free(problems);
		(void)setenv("SLOTBELL_DATABASE_URL", url, 1);
		count = read_config(doctor, &problems);
	}
	doctor->configured = count == 0;
	if (count > 0) {
		sb_saw(finding, SB_HEALTH_FAIL, "%s", problems);
		sb_advise(finding,
			  "put it right; a running slotbelld keeps what it has until then. "
			  "slotbelld.conf(5) has every key");
	} else if (sb_doctor_paper(doctor, SB_PAPER_USER)) {
		sb_saw(finding, SB_HEALTH_FAIL, "there is no user %s",
		       sb_doctor_paper(doctor, SB_PAPER_USER));
		sb_advise(finding, "--user NAME: whom slotbelld runs as");
	} else {
		sb_saw(finding, SB_HEALTH_OK, "%s; files are looked at as %s",
		       file ? file : SB_CONFIG_FILE, doctor->brief.reader);
	}
	free(problems);
	free(url);
}

/* ---- ticket keys ---- */

void sb_check_ticket_keys(struct sb_doctor *doctor, struct sb_finding *finding)
{
	const char *file = doctor->config.tls_ticket_keys;
	struct stat stat_now;
	int error;

	if (!doctor->configured) {
		sb_not_checked(finding, "configuration");
		return;
	}
	if (!*file) {
		sb_saw(finding, SB_HEALTH_OK,
		       "none: after a restart every client shakes hands in full");
		return;
	}
	error = sb_doctor_look_at(file, &stat_now);
	if (error) {
		sb_saw(finding, SB_HEALTH_FAIL, "%s: cannot be read by %s: %s", file,
		       doctor->brief.reader, strerror(error));
		sb_advise(finding, "chgrp it to the daemon's group, mode 0640; the folders above "
				   "it must let that group through");
	} else if (stat_now.st_mode & S_IRWXO) {
		sb_saw(finding, SB_HEALTH_FAIL, "%s: mode %04o lets everybody at it", file,
		       (unsigned int)stat_now.st_mode & 07777);
		sb_advise(finding,
			  "chmod o= %s, then make new keys: who has read them can resume "
			  "sessions",
			  sb_doctor_plain(file));
	} else if (!stat_now.st_size || stat_now.st_size % SB_TICKET_KEY_BYTES ||
		   stat_now.st_size > SB_TICKET_KEYS_MAX * SB_TICKET_KEY_BYTES) {
		sb_saw(finding, SB_HEALTH_FAIL, "%s: %lld bytes are not 1 to %d keys of %d", file,
		       (long long)stat_now.st_size, SB_TICKET_KEYS_MAX, SB_TICKET_KEY_BYTES);
		sb_advise(finding, "openssl rand -out %s %d", sb_doctor_plain(file),
			  SB_TICKET_KEY_BYTES);
	} else {
		sb_saw(finding, SB_HEALTH_OK, "%s: %lld", file,
		       (long long)stat_now.st_size / SB_TICKET_KEY_BYTES);
	}
}
