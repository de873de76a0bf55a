/*
 * slotbellctl doctor: what an operator would look at by hand, one small check
 * after the other. doctor.c has the table of them; a check tells what it saw
 * in a finding, and what to do next where that is not plain.
 *
 * Checks run in the table's order, all of them, whatever the ones before found;
 * what a later one needs of an earlier one lies in struct sb_doctor, NULL or
 * false if it is not to be had. Every wait in here has an end: SB_DOCTOR_MS.
 */
#ifndef SB_CTL_DOCTOR_H
#define SB_CTL_DOCTOR_H

#include "daemon/ctl/ctl.h"
#include "daemon/ops/config.h"
#include <jansson.h>
#include <libpq-fe.h>
#include <openssl/x509.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>

/* What a check may wait for one thing, but for the session, which may take three times that in all.
 */
#define SB_DOCTOR_MS 8000

enum sb_health { SB_HEALTH_OK, SB_HEALTH_WARN, SB_HEALTH_FAIL, SB_HEALTH_NOT_CHECKED };

struct sb_finding {
	enum sb_health health;
	char *seen;   /* lines */
	char *advice; /* lines; NULL: nothing is to be done */
};

/* Who slotbelld runs as: files and a database by peer authentication are looked at as that user. */
struct sb_doctor_user {
	bool known;
	char name[64];
	uid_t uid;
	gid_t gid;
	gid_t groups[64];
	size_t group_count;
};

struct sb_doctor {
	struct sb_ctl *ctl;
	char *socket; /* the configuration's, if none was said; ctl->socket is the same */
	/* What was typed; NULL and 0: not said. */
	const char *file, *name, *trusted, *user_name;
	double queue_limit; /* 0 to 1 */
	long long expiry_days;

	struct sb_config config;
	bool configured; /* config is all right, and may be relied on */
	json_t *status;	 /* what the daemon says of itself, or NULL; status_why says why */
	char *status_why;
	struct sb_doctor_user user;
	char *credentials;	       /* the running daemon's folder of them, or NULL */
	STACK_OF(X509) * certificates; /* the daemon's first; NULL: cannot be read */
	PGconn *database;	       /* as the daemon connects */
	bool schema_there, schema_old, rights_lack;
	PGconn *admin; /* what --database named, or NULL: from before the checks, see doctor.c */
	struct sockaddr_storage port; /* where a TLS server answers */
	bool port_answers;
};

/* Connects to the port as a plug-in does, before TLS; where this machine is a trusted proxy, with
 * the header that the daemon then asks for. False: wire->why. To be closed in any case. */
struct sb_wire;
bool sb_doctor_reach(const struct sb_doctor *doctor, struct sb_wire *wire, int64_t deadline_ms);

/* ---- findings (doctor.c) ---- */

/* What was seen. The last word counts. */
void sb_saw(struct sb_finding *finding, enum sb_health health, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* What to do about it. */
void sb_advise(struct sb_finding *finding, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* It cannot be looked at, for another check found what it found. */
void sb_not_checked(struct sb_finding *finding, const char *needed_check);

/* ---- the checks; each fills its finding ---- */

typedef void sb_check(struct sb_doctor *doctor, struct sb_finding *finding);

sb_check sb_check_configuration, sb_check_ticket_keys;			    /* doctor_files.c */
sb_check sb_check_password;						    /* doctor_password.c */
sb_check sb_check_certificate, sb_check_chain, sb_check_name, sb_check_key; /* doctor_identity.c */
sb_check sb_check_database, sb_check_schema, sb_check_clock;		    /* doctor_database.c */
sb_check sb_check_rights;						    /* doctor_rights.c */
sb_check sb_check_listen, sb_check_queue;				    /* doctor_events.c */
sb_check sb_check_daemon, sb_check_descriptors, sb_check_port, sb_check_ready; /* doctor_daemon.c */
sb_check sb_check_session; /* doctor_session.c */

/* ---- time ---- */

/* Of a clock that nobody sets. */
int64_t sb_doctor_now_ms(void);
/* The Unix time, in microseconds. */
int64_t sb_doctor_wall_us(void);

/* ---- who the daemon is (doctor_user.c) ---- */

/* Finds out, from the running process or the name that was typed. */
void sb_doctor_meet_user(struct sb_doctor *doctor);
/*
 * What the running daemon's environment says of configuration and database
 * (SLOTBELL_…, PG…) becomes ours, where it may be read; its credentials' folder is
 * noted. The process may have been taken over and say what it likes: so what it
 * names is opened as its user, and nobody logs in as somebody else by it.
 */
void sb_doctor_take_environment(struct sb_doctor *doctor);
/* From here on we act as that user, if we are root and know it; and back. */
void sb_doctor_become_user(const struct sb_doctor *doctor);
void sb_doctor_become_self(const struct sb_doctor *doctor);
/* Whether the daemon's user may read a file, and what kind it is: 0 or an errno. */
int sb_doctor_look_at(const struct sb_doctor *doctor, const char *file, struct stat *ret_stat);
/* "the daemon's user slotbell", or "us" when that is not known or we may not act as it. */
const char *sb_doctor_reader(const struct sb_doctor *doctor);

/* ---- PostgreSQL, with an end to every wait (doctor_query.c) ---- */

/* A connection, the caller's; NULL with *ret_why, to be freed. `password`: where the URL has none;
 * NULL: none. */
PGconn *sb_doctor_connect(const char *url, const char *password, char **ret_why);
/* To what --database named, if it answers. (doctor_database.c) */
void sb_doctor_open_admin(struct sb_doctor *doctor);
/* The same as the daemon does it: its URL, as its user, with its credential. */
PGconn *sb_doctor_connect_as_daemon(const struct sb_doctor *doctor, char **ret_why);
/* The credential with the database's password, to be given to sb_credential_free(); NULL: none.
 * (doctor_password.c) */
char *sb_doctor_password(const struct sb_doctor *doctor);
/* One statement; a result with rows, the caller's; NULL with *ret_why, to be freed. */
PGresult *sb_doctor_query(PGconn *database, const char *sql, int count, const char *const *values,
			  char **ret_why);
/* Waits until the connection has something to read, or `deadline_ms` is over: false. */
bool sb_doctor_wait(PGconn *database, bool writable, int64_t deadline_ms);

#endif
