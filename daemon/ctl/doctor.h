/*
 * slotbellctl doctor: what an operator would look at by hand, one small check
 * after the other. A check tells what it saw in a finding, and what to do next
 * where that is not plain.
 *
 * Two processes do it. The *examiner* is what was typed: it holds what is the
 * administrator's, his rights, his terminal and his connection to the database;
 * it never parses or uses anything that the daemon said. The *worker* does all
 * that: it is slotbellctl once more, started afresh (so that its memory, its
 * environment and its descriptors have nothing of the administrator's), and as
 * the daemon's user for good. The examiner hands it bytes and asks for one
 * finding after the other; what comes back is text, cleaned before it is shown.
 * doctor.c has the table of checks, and says who runs which.
 *
 * Checks run in the table's order, all of them, whatever the ones before found;
 * what a later one needs of an earlier one lies in struct sb_doctor, NULL or
 * false if it is not to be had. Every wait in here has an end: SB_DOCTOR_MS.
 */
#ifndef SB_CTL_DOCTOR_H
#define SB_CTL_DOCTOR_H

#include "daemon/ctl/channel.h"
#include "daemon/ctl/ctl.h"
#include "daemon/ctl/shed.h"
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

/* ---- what the examiner hands to the worker ---- */

/* Bytes; whoever wrote them, only the worker looks into them. */
enum sb_paper {
	SB_PAPER_FILE,	     /* --config */
	SB_PAPER_NAME,	     /* --name */
	SB_PAPER_CA_FILE,    /* --ca */
	SB_PAPER_CA,	     /* its certificates */
	SB_PAPER_USER,	     /* --user, where there is no such user */
	SB_PAPER_CONFIG,     /* the configuration, where only we may read it */
	SB_PAPER_CREDENTIAL, /* the database's password, where no daemon has been given it */
	SB_PAPER_ANSWER,     /* what the daemon says of itself */
	SB_PAPER_WHY,	     /* why it does not */
	SB_PAPER_SOCKET,     /* where it was asked */
	SB_PAPERS
};

struct sb_papers {
	struct {
		char *bytes; /* with a terminator; NULL: there are none */
		size_t len;
		int error; /* a negative errno: they cannot be had */
	} of[SB_PAPERS];
};

/* The rest. It is the examiner's own, and comes before anything else. */
struct sb_brief {
	bool becomes; /* the worker is to become this one; else it stays who it is */
	struct sb_identity identity;
	char reader[96];	/* "the daemon's user slotbell", or "us" */
	pid_t daemon_pid;	/* by the kernel; 0: none answers */
	bool has_environment;	/* SB_DOCTOR_ENVIRONMENT is the daemon's */
	mode_t credential_mode; /* of its file */
	double queue_limit;	/* 0 to 1 */
	long long expiry_days;
	bool admin_said, admin_there; /* --database, and that it connects */
	int admin_schema;	      /* the schema's version as that one sees it; 0: it does not */
};

/* The worker's only descriptor besides the channel. */
#define SB_DOCTOR_ENVIRONMENT 3

struct sb_doctor {
	struct sb_brief brief;
	struct sb_papers papers;

	/* ---- the examiner's ---- */
	PGconn *admin; /* what --database named, or NULL */

	/* ---- the worker's ---- */
	struct sb_channel channel; /* to the examiner */
	struct sb_config config;
	bool configured; /* config is all right, and may be relied on */
	json_t *status;	 /* what the daemon says of itself, or NULL; status_why says why */
	char *status_why;
	char *credentials;	       /* the running daemon's folder of them, or NULL */
	STACK_OF(X509) * certificates; /* the daemon's first; NULL: cannot be read */
	PGconn *database;	       /* as the daemon connects */
	bool schema_there, schema_old, rights_lack;
	struct sockaddr_storage port; /* where a TLS server answers */
	bool port_answers;
};

/* (doctor_papers.c) A paper's text; NULL: it is not there. */
const char *sb_doctor_paper(const struct sb_doctor *doctor, enum sb_paper paper);
/* Takes over `bytes`, which have a terminator at `len`. */
void sb_papers_put(struct sb_papers *papers, enum sb_paper paper, char *bytes, size_t len);
void sb_papers_put_text(struct sb_papers *papers, enum sb_paper paper, const char *text);
/* The certificates of a file, and nothing else that is in it: it may be anything that we may read.
 */
void sb_papers_put_certificates(struct sb_papers *papers, enum sb_paper paper, const char *path);
void sb_papers_fini(struct sb_papers *papers);

/* ---- what the worker and the examiner say to each other ---- */

enum {
	SB_WORD_PAPER = 'p',   /* examiner: error, number, bytes */
	SB_WORD_SCOUT = 's',   /* examiner: where is the control socket? */
	SB_WORD_CHECK = 'c',   /* examiner: this one, by its number */
	SB_WORD_READY = 'r',   /* worker: an int, 0 or why it did not become who it should */
	SB_WORD_FOUND = 'f',   /* worker: health, what was seen, and advice if there is any */
	SB_WORD_ENROL = 'e',   /* worker: a canary, please. The answers are of the same kind */
	SB_WORD_PUBLISH = 'b', /* worker: a booking for it */
	SB_WORD_WRITTEN = 'w', /* worker: wait until it is known to be delivered */
};

/* The longest of what a worker may say. */
#define SB_WORD_MAX 65536

/* The worker; started by the examiner alone. (doctor_worker.c) */
#define SB_DOCTOR_WORKER "--worker"
enum sb_exit sb_doctor_work(struct sb_ctl *ctl);
/* Runs one, as the worker or as the examiner. (doctor.c) */
void sb_doctor_check(struct sb_doctor *doctor, size_t number, struct sb_finding *finding);
/* Whether what it looks at is anybody's who has the port, so that not even a daemon of root's is
 * trusted with it. */
bool sb_doctor_is_foreign(size_t number);

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

/* ---- the examiner's means ---- */

/*
 * Finds the control socket where nobody said where it is, asks the daemon how it
 * is, and finds out whom the worker has to become. Fills brief and papers. Returns
 * a descriptor of the daemon's environment, or -1. (doctor_meet.c)
 */
int sb_doctor_meet(struct sb_doctor *doctor, struct sb_ctl *ctl, const char *file,
		   const char *user_name);
/* A process of ours that has nothing of ours. (doctor_spawn.c) */
struct sb_worker {
	pid_t pid; /* 0: there is none */
	struct sb_channel channel;
};
/* Starts it, and waits until it is who the brief says. `environment`: the daemon's, or -1. False:
 * *ret_why, to be freed. To be ended in any case. */
bool sb_worker_start(struct sb_worker *worker, const struct sb_brief *brief, int environment,
		     char **ret_why);
bool sb_worker_hand(const struct sb_worker *worker, const struct sb_papers *papers);
/* How it ended, in words to be freed; it is ended if it has not. */
char *sb_worker_end(struct sb_worker *worker);

/* The canary of the session's check. (doctor_canary.c) */
#define SB_CANARY_UID "doctor@slotbell"
struct sb_canary {
	char mailbox[64];
	char device[24];  /* "": there is none */
	int asked;	  /* how far the worker came: each word once, and in order */
	int64_t until_ms; /* by then it is over */
};
/* Does what the worker asks for, and answers it. False: it asks for what it must not, or is gone.
 */
bool sb_canary_serve(struct sb_canary *canary, PGconn *admin, const struct sb_worker *worker,
		     char word, int64_t deadline_ms);
/* Takes it away, and says in the finding if that fails. */
void sb_canary_forget(const struct sb_canary *canary, PGconn *admin, struct sb_finding *finding);

/* Several steps, each of which a daemon that catches up after an outage may be slow at. */
#define SB_DOCTOR_SESSION_MS (3 * SB_DOCTOR_MS)

/* ---- files ---- */

/* A regular file, not longer than `max`, with a terminator; to be freed. 0 or a negative errno;
 * ret_stat may be NULL. It waits for nothing. (doctor_papers.c) */
int sb_doctor_read_file(const char *path, size_t max, char **ret_bytes, size_t *ret_len,
			struct stat *ret_stat);
/* Whether we may read a file, and what kind it is: 0 or an errno. */
int sb_doctor_look_at(const char *file, struct stat *ret_stat);
/* For a command that somebody may copy from an advice: the path, or FILE where a shell would see
 * more than a path in it. */
const char *sb_doctor_plain(const char *path);

/* ---- PostgreSQL, with an end to every wait (doctor_query.c) ---- */

/* A connection, the caller's; NULL with *ret_why, to be freed. `password`: where the URL has none;
 * NULL: none. `is_daemons`: the daemon named it, so it may not name a library. */
PGconn *sb_doctor_connect(const char *url, const char *password, bool is_daemons, char **ret_why);
/* Whether libpq would load a library for this connection, from where its URL, a service file or the
 * environment says. (doctor_password.c) */
bool sb_doctor_loads_library(PGconn *database);
/* To what --database named, if it answers; and how the schema looks to it. (doctor_database.c) */
/* What an administrator sees in a schema that was found to be right; it adds to that finding. */
void sb_check_content(struct sb_doctor *doctor, struct sb_finding *finding);

void sb_doctor_open_admin(struct sb_doctor *doctor, const char *url);
/* The same as the daemon does it: its URL, with its credential. */
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
