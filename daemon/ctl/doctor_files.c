/* The files that need no cryptography: configuration and ticket keys. */
#include "daemon/base/ticket_file.h"
#include "daemon/ctl/control.h"
#include "daemon/ctl/doctor.h"
#include "daemon/ctl/output.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- configuration ---- */

static const char *file_of(const struct sb_doctor *doctor)
{
	return doctor->file ? doctor->file : SB_CONFIG_FILE;
}

/* How many problems there are, their lines in *ret_problems, to be freed. */
static int read_config(struct sb_doctor *doctor, char **ret_problems)
{
	size_t size;
	FILE *errors = open_memstream(ret_problems, &size);
	int problems;

	sb_need(errors);
	sb_config_fini(&doctor->config);
	problems = sb_config_read(&doctor->config, doctor->file, NULL, 0, errors);
	sb_need(problems >= 0);
	sb_need(fclose(errors) == 0);
	return problems;
}

/* The daemon may be there though its file is broken: what file and options say of its socket is
 * tried. */
static void meet_daemon(struct sb_doctor *doctor)
{
	struct sb_ctl *ctl = doctor->ctl;

	if (!ctl->socket && !getenv("SLOTBELL_CONTROL_SOCKET") && *doctor->config.control_socket)
		ctl->socket = doctor->socket = strdup(doctor->config.control_socket);
	doctor->status =
		sb_control_try(ctl, json_pack("{s:s}", "command", "status"), &doctor->status_why);
	sb_doctor_meet_user(doctor);
	sb_doctor_take_environment(doctor);
}

/*
 * SLOTBELL_DATABASE_URL in our own environment is for slotbellctl: most often
 * it is another role's than the daemon's. So the daemon's own environment
 * counts, then the file, and ours only where neither says anything.
 */
void sb_check_configuration(struct sb_doctor *doctor, struct sb_finding *finding)
{
	const char *ours = getenv("SLOTBELL_DATABASE_URL");
	char *url = ours ? strdup(ours) : NULL, *problems;
	int count;

	(void)unsetenv("SLOTBELL_DATABASE_URL");
	(void)read_config(doctor, &problems);
	free(problems);
	meet_daemon(doctor);
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
	} else if (doctor->user_name && !doctor->user.known) {
		sb_saw(finding, SB_HEALTH_FAIL, "there is no user %s", doctor->user_name);
		sb_advise(finding, "--user NAME: whom slotbelld runs as");
	} else {
		sb_saw(finding, SB_HEALTH_OK, "%s; files are looked at as %s", file_of(doctor),
		       sb_doctor_reader(doctor));
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
	error = sb_doctor_look_at(doctor, file, &stat_now);
	if (error) {
		sb_saw(finding, SB_HEALTH_FAIL, "%s: cannot be read by %s: %s", file,
		       sb_doctor_reader(doctor), strerror(error));
		sb_advise(finding, "chgrp it to the daemon's group, mode 0640; the folders above "
				   "it must let that group through");
	} else if (stat_now.st_mode & S_IRWXO) {
		sb_saw(finding, SB_HEALTH_FAIL, "%s: mode %04o lets everybody at it", file,
		       (unsigned int)stat_now.st_mode & 07777);
		sb_advise(finding,
			  "chmod o= %s, then make new keys: who has read them can resume "
			  "sessions",
			  file);
	} else if (!stat_now.st_size || stat_now.st_size % SB_TICKET_KEY_BYTES ||
		   stat_now.st_size > SB_TICKET_KEYS_MAX * SB_TICKET_KEY_BYTES) {
		sb_saw(finding, SB_HEALTH_FAIL, "%s: %lld bytes are not 1 to %d keys of %d", file,
		       (long long)stat_now.st_size, SB_TICKET_KEYS_MAX, SB_TICKET_KEY_BYTES);
		sb_advise(finding, "openssl rand -out %s %d", file, SB_TICKET_KEY_BYTES);
	} else {
		sb_saw(finding, SB_HEALTH_OK, "%s: %lld", file,
		       (long long)stat_now.st_size / SB_TICKET_KEY_BYTES);
	}
}
