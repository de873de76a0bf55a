/*
 * The database's password: in the URL, in a file that libpq looks into, or a
 * credential of the service manager's, for a URL that has none.
 */
#include "daemon/ctl/doctor.h"
#include "daemon/ctl/doctor_user.h"
#include "daemon/ctl/output.h"
#include "daemon/ops/credential.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the credential ---- */

/*
 * The running daemon's, or the one that it would get; to be freed by
 * sb_credential_free(). A daemon that runs without has none.
 */
static int read_credential(const struct sb_doctor *doctor, char **ret_password)
{
	*ret_password = NULL;
	if (doctor->credentials)
		return sb_credential_read(doctor->credentials, SB_CREDENTIAL_PASSWORD,
					  ret_password);
	if (doctor->papers.of[SB_PAPER_CREDENTIAL].bytes)
		return sb_credential_take(doctor->papers.of[SB_PAPER_CREDENTIAL].bytes,
					  doctor->papers.of[SB_PAPER_CREDENTIAL].len, ret_password);
	return doctor->papers.of[SB_PAPER_CREDENTIAL].error;
}

char *sb_doctor_password(const struct sb_doctor *doctor)
{
	char *password = NULL;

	return read_credential(doctor, &password) == 0 ? password : NULL;
}

/* False: there is none, and nothing is wrong with that. */
static bool judge_credential(const struct sb_doctor *doctor, struct sb_finding *finding)
{
	static const char file[] = SB_DOCTOR_CREDENTIAL_FILE;
	char *password = NULL;
	int result = read_credential(doctor, &password);
	unsigned int mode = (unsigned int)doctor->brief.credential_mode;

	if (result != 0) {
		sb_saw(finding, SB_HEALTH_FAIL, "the credential " SB_CREDENTIAL_PASSWORD ": %s",
		       sb_credential_problem(result));
		sb_advise(finding,
			  "the password alone into %s, root's and mode 0600; then "
			  "systemctl restart slotbelld",
			  file);
	} else if (password && mode & (S_IRWXG | S_IRWXO)) {
		sb_saw(finding, SB_HEALTH_FAIL, "%s: mode %04o lets others at it", file,
		       mode & 07777);
		sb_advise(finding, "chmod 600 %s, and think of a new password", file);
	} else if (password) {
		sb_saw(finding, SB_HEALTH_OK, "the credential " SB_CREDENTIAL_PASSWORD);
	}
	result = result != 0 || password;
	sb_credential_free(password);
	return result;
}

/* ---- libpq's engines ---- */

bool sb_doctor_loads_library(PGconn *database)
{
	PQconninfoOption *options = PQconninfo(database);
	bool loads = false;

	sb_need(options);
	/* Of this, libpq takes what stands before a colon for the name of an engine, or its path.
	 */
	for (const PQconninfoOption *option = options; option->keyword; option++) {
		if (strcmp(option->keyword, "sslkey") == 0 && option->val)
			loads = strchr(option->val, ':') != NULL;
	}
	PQconninfoFree(options);
	return loads;
}

/* ---- libpq's file ---- */

/* The file that libpq would look into, or NULL; to be freed. */
static char *password_file(const struct sb_doctor *doctor)
{
	PQconninfoOption *options = PQconninfoParse(doctor->config.database_url, NULL);
	const char *found = getenv("PGPASSFILE");
	char *copy = NULL;

	for (const PQconninfoOption *option = options; option && option->keyword; option++) {
		if (strcmp(option->keyword, "passfile") == 0 && option->val)
			found = option->val;
	}
	if (found && *found) {
		copy = strdup(found);
		sb_need(copy);
	}
	PQconninfoFree(options);
	return copy;
}

/* libpq passes over a file that others may read, and over one that it cannot read, without an
 * error. */
static void judge_file(const struct sb_doctor *doctor, struct sb_finding *finding, const char *file)
{
	struct stat stat_now;
	int error;

	error = sb_doctor_look_at(file, &stat_now);
	if (error) {
		sb_saw(finding, SB_HEALTH_FAIL, "%s: cannot be read by %s: %s", file,
		       doctor->brief.reader, strerror(error));
		sb_advise(finding, "it must belong to the daemon's user; or let the password be a "
				   "credential: LoadCredential=");
	} else if (stat_now.st_mode & (S_IRWXG | S_IRWXO)) {
		sb_saw(finding, SB_HEALTH_FAIL,
		       "%s: mode %04o: libpq takes no password from a file that others may read",
		       file, (unsigned int)stat_now.st_mode & 07777);
		sb_advise(finding, "chmod 600 %s", sb_doctor_plain(file));
	} else {
		sb_saw(finding, SB_HEALTH_OK, "%s", file);
	}
}

void sb_check_password(struct sb_doctor *doctor, struct sb_finding *finding)
{
	char *file;

	if (!doctor->configured) {
		sb_not_checked(finding, "configuration");
		return;
	}
	file = password_file(doctor);
	if (file)
		judge_file(doctor, finding, file);
	else if (!judge_credential(doctor, finding))
		sb_saw(finding, SB_HEALTH_OK, "neither file nor credential is named");
	free(file);
}
