/*
 * One client of slotbell.v1 in a crowd of thousands: TLS, the upgrade, frames
 * in and out, on an epoll that it shares with the others. It keeps as little as
 * it can, so that a process has room for fifteen thousand.
 *
 * It answers pings by itself; messages are its crowd's affair.
 */
#ifndef SB_BENCH_CALLER_H
#define SB_BENCH_CALLER_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* Where all of a crowd call, and with what. */
struct sb_line {
	struct sockaddr_storage address;
	socklen_t address_len;
	char name[256]; /* of the host, as in the URL */
	SSL_CTX *tls;
	/* For resumption, a copy, as OpenSSL spoils that of a connection which ends without a
	 * word; NULL: full handshakes. */
	SSL_SESSION *ticket;
	const char *path; /* a plain GET of this instead of the upgrade, with the token; or NULL */
	bool keep;	  /* then asks for more than one by each connection */
	int epoll;
};

enum sb_caller_state {
	SB_CALLER_IDLE,
	SB_CALLER_TCP,
	SB_CALLER_TLS,
	SB_CALLER_UPGRADE,
	SB_CALLER_OPEN,
	SB_CALLER_ANSWERED /* a plain request: another may follow, or the server ends it */
};

struct sb_caller;

/* What a crowd hears of its callers; never from inside sb_caller_call(). */
struct sb_caller_ops {
	void (*opened)(struct sb_caller *caller); /* 101; or a plain request's answer, see status */
	/* A text message, whole; borrowed until return. */
	void (*message)(struct sb_caller *caller, const char *bytes, size_t len);
	/* It ended: a close code, or 0 when there was none, and then why. May call again. */
	void (*ended)(struct sb_caller *caller, int code, const char *why);
};

struct sb_caller {
	struct sb_line *line;
	const struct sb_caller_ops *ops;
	const char *token;
	SSL *tls;
	unsigned char *part; /* of what is not whole yet: an HTTP answer, a frame; owned */
	size_t part_len;
	uint64_t pings;
	int fd;
	uint16_t close_code;
	uint16_t status; /* of a plain request's answer */
	uint8_t state;	 /* enum sb_caller_state */
	uint8_t out_len;
	bool live;		/* its crowd's own mark */
	bool resumed;		/* the TLS session was */
	unsigned char out[186]; /* frames that the socket did not take yet */
};

/* Begins a connection: 0, or -errno. The caller is zeroed but for line, ops and token, or has
 * ended. */
int sb_caller_call(struct sb_caller *caller);

/* One more plain request, by the connection of one that is ANSWERED: 0, or -EPIPE. */
int sb_caller_ask(struct sb_caller *caller);

/* Its socket is ready. May end it. */
void sb_caller_serve(struct sb_caller *caller, uint32_t events);

/* A text message of at most 120 bytes: 0, or -ENOBUFS. */
int sb_caller_say(struct sb_caller *caller, const char *text, size_t len);

/* Ends it without a word. `ended` is not called. */
void sb_caller_hang_up(struct sb_caller *caller);

#endif
