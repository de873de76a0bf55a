/*
 * The configuration: one INI file, an environment variable for every key, and
 * the command line. Default < file < environment < command line.
 *
 * All keys stand in one table, from which come parsing, --print-config, the
 * environment's names and the checks; all that is wrong is told at once.
 */
#ifndef SB_OPS_CONFIG_H
#define SB_OPS_CONFIG_H

#include <stdint.h>
#include <stdio.h>

#define SB_CONFIG_FILE "/etc/slotbell/slotbelld.conf"

/*
 * Kinds: TEXT (may be empty), NEEDED (a text that must be given), NUMBER (whole,
 * from min to max), LEVEL and FORMAT (words).
 *
 * Changes: RELOAD (a reload is enough) or START (only a restart brings it, as
 * with what every session was told in its welcome).
 *
 * Columns: section, key, kind, changes, the field below, default, min, max, the
 * unit of a number, what it is.
 */
#define SB_CONFIG_KEYS(X)                                                                          \
	X(listen, address, TEXT, START, listen_address, "[::]:8443", 0, 0, "",                     \
	  "where plug-ins connect: ADDRESS:PORT")                                                  \
	X(listen, admin, TEXT, START, listen_admin, "127.0.0.1:9464", 0, 0, "",                    \
	  "where monitoring looks, by plain HTTP: ADDRESS:PORT; none: nowhere")                    \
	X(listen, origins, TEXT, RELOAD, listen_origins, "", 0, 0, "",                             \
	  "browser origins that may connect, separated by spaces; none: no browser")               \
	X(listen, trusted_proxies, TEXT, RELOAD, listen_trusted_proxies, "", 0, 0, "",             \
	  "proxies that send a PROXY header: addresses and networks, as 10.0.0.0/8")               \
	X(listen, keep_alive_seconds, NUMBER, RELOAD, listen_keep_alive_seconds, "15", 0, 300,     \
	  "seconds", "plain HTTP: an idle connection is kept for its next request; 0: never")      \
	X(tls, certificate, NEEDED, RELOAD, tls_certificate, "", 0, 0, "",                         \
	  "PEM file: the certificate and its chain")                                               \
	X(tls, key, NEEDED, RELOAD, tls_key, "", 0, 0, "",                                         \
	  "PEM file: the certificate's private key")                                               \
	X(tls, ticket_keys, TEXT, RELOAD, tls_ticket_keys, "", 0, 0, "",                           \
	  "file: 80 random bytes for each ticket key, newest first; none: a key of this process")  \
	X(database, url, NEEDED, START, database_url, "", 0, 0, "",                                \
	  "PostgreSQL connection URL; several hosts are tried in turn")                            \
	X(sessions, window, NUMBER, START, sessions_window, "32", 1, 256, "events",                \
	  "unacked events in flight per session")                                                  \
	X(sessions, heartbeat_seconds, NUMBER, START, sessions_heartbeat_seconds, "25", 1, 3600,   \
	  "seconds", "a ping this often; silence for twice as long ends the session")              \
	X(sessions, hello_seconds, NUMBER, RELOAD, sessions_hello_seconds, "10", 1, 300,           \
	  "seconds", "from connection to hello")                                                   \
	X(sessions, stalled_seconds, NUMBER, RELOAD, sessions_stalled_seconds, "300", 5, 86400,    \
	  "seconds", "events sent and none acked for so long: the session ends")                   \
	X(sessions, max, NUMBER, RELOAD, sessions_max, "15000", 1, 1000000, "sessions",            \
	  "sessions at once")                                                                      \
	X(sessions, handshakes, NUMBER, RELOAD, sessions_handshakes, "64", 1, 100000,              \
	  "connections", "connections that shake hands at once; others wait their turn")           \
	X(sessions, unauthenticated_per_address, NUMBER, RELOAD,                                   \
	  sessions_unauthenticated_per_address, "64", 0, 1000000, "connections",                   \
	  "connections of one address that do not say who they are; 0: any")                       \
	X(sessions, per_address, NUMBER, RELOAD, sessions_per_address, "0", 0, 1000000,            \
	  "connections", "connections of one address; 0: any")                                     \
	X(sessions, addresses, NUMBER, RELOAD, sessions_addresses, "65536", 1, 10000000,           \
	  "addresses", "addresses that have connections")                                          \
	X(sessions, bad_tokens_per_minute, NUMBER, RELOAD, sessions_bad_tokens_per_minute, "30",   \
	  0, 1000000, "tokens", "of one address, answered at once; 0: any")                        \
	X(sessions, return_per_second, NUMBER, RELOAD, sessions_return_per_second, "500", 1,       \
	  100000, "sessions", "those who are sent away come back at this rate")                    \
	X(drain, seconds, NUMBER, RELOAD, drain_seconds, "20", 0, 3600, "seconds",                 \
	  "at most so long from SIGTERM to exit")                                                  \
	X(retention, days, NUMBER, START, retention_days, "14", 1, 3650, "days",                   \
	  "a booking that no plug-in came for is kept so long")                                    \
	X(retention, receipts_days, NUMBER, START, retention_receipts_days, "90", 1, 3650, "days", \
	  "what became of a booking, and that it was there, is kept so long")                      \
	X(retention, devices_stale_days, NUMBER, START, retention_devices_stale_days, "90", 2,     \
	  3650, "days", "for a device that was not seen for so long nothing is kept")              \
	X(control, socket, TEXT, START, control_socket, "", 0, 0, "",                              \
	  "path of the unix socket for slotbellctl's status, drain and the like; none: no such "   \
	  "socket")                                                                                \
	X(log, level, LEVEL, RELOAD, log_level, "info", 0, 0, "",                                  \
	  "error, warning, notice, info or debug")                                                 \
	X(log, format, FORMAT, RELOAD, log_format, "auto", 0, 0, "",                               \
	  "text, json or auto (what suits where the log goes)")

/* How many keys there are. */
#define SB_CONFIG_ONE(section, key, kind, changes, field, fallback, min, max, unit, what) +1
enum { SB_CONFIG_KEY_COUNT = SB_CONFIG_KEYS(SB_CONFIG_ONE) };
#undef SB_CONFIG_ONE

struct sb_config {
#define SB_CONFIG_TEXT	 char *
#define SB_CONFIG_NEEDED char *
#define SB_CONFIG_NUMBER uint32_t
#define SB_CONFIG_LEVEL	 uint32_t /* enum sb_log_level */
#define SB_CONFIG_FORMAT uint32_t /* enum sb_log_format */
#define SB_CONFIG_FIELD(section, key, kind, changes, field, fallback, min, max, unit, what) \
	SB_CONFIG_##kind field;
	SB_CONFIG_KEYS(SB_CONFIG_FIELD)
#undef SB_CONFIG_FIELD
	char *places[SB_CONFIG_KEY_COUNT]; /* see sb_config_place(); NULL: the default */
};

/*
 * Reads defaults, `file` (NULL: SB_CONFIG_FILE if there is one), the
 * environment and `settings` ("section.key=value", `count` of them). Every
 * problem becomes a line on `errors`, with file and line, key and what would
 * be right. Returns how many there were; -ENOMEM when out of memory.
 * The result is to be freed in any case.
 */
int sb_config_read(struct sb_config *ret_config, const char *file, const char *const *settings,
		   size_t count, FILE *errors);

/* The same of the text of `file`, which somebody else has read. */
int sb_config_read_copy(struct sb_config *ret_config, const char *file, const char *text,
			FILE *errors);

/*
 * A problem with a key's value, for who knows more of it than is known here:
 * where it was said, the key, and then the words. Returns 1.
 */
int sb_config_wrong(const struct sb_config *config, FILE *errors, const char *name,
		    const char *format, ...) __attribute__((format(printf, 4, 5)));

/* The configuration in effect, as a file that could be read again. `print_url` prints the
 * database's URL without its secrets, on one line without its end. */
void sb_config_print(const struct sb_config *config, void (*print_url)(const char *url, FILE *out),
		     FILE *out);

/*
 * A reload: `next` was read while `running` is in effect. Keys that only a
 * restart changes are taken back to what runs. Writes the names of those to
 * `restart`, and of the others that differ to `changed`, each as " section.key".
 */
void sb_config_follow(struct sb_config *next, const struct sb_config *running, FILE *changed,
		      FILE *restart);

/* Accepts NULL. */
void sb_config_fini(struct sb_config *config);

#endif
