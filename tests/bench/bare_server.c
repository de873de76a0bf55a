/*
 * The floor that figures are held against: an epoll, OpenSSL, the answer to an
 * upgrade, and a ping now and then. No library for websockets, no database, no
 * session. TLS is set up as slotbelld does it.
 *
 *     bare-server CERTIFICATE KEY [PING_SECONDS]
 *
 * Prints its port, serves until SIGTERM or the end of its stdin.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define PEERS_MAX  20000
#define EVENTS_MAX 256

struct peer {
	SSL *tls;
	uint64_t ping_ms; /* when the next one is due; 0: not open yet */
	int fd;
	bool shaken;
};

static struct {
	SSL_CTX *tls;
	int listener, epoll;
	uint64_t ping_every_ms;
	struct peer peers[PEERS_MAX]; /* by descriptor */
	int first, last;	      /* that are in use */
} server;

static const char answer[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
			     "Connection: Upgrade\r\nSec-WebSocket-Protocol: slotbell.v1\r\n\r\n";
static const unsigned char ping[] = {0x89, 1, 'b'};

static uint64_t now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void drop(struct peer *peer)
{
	SSL_free(peer->tls);
	(void)close(peer->fd);
	*peer = (struct peer){0};
}

static void accept_all(void)
{
	struct epoll_event event = {.events = EPOLLIN};
	int fd, on = 1;

	while ((fd = accept4(server.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct peer *peer = &server.peers[fd];

		if (fd >= PEERS_MAX) {
			(void)close(fd);
			continue;
		}
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		*peer = (struct peer){.tls = SSL_new(server.tls), .fd = fd};
		(void)SSL_set_fd(peer->tls, fd);
		SSL_set_accept_state(peer->tls);
		event.data.fd = fd;
		(void)epoll_ctl(server.epoll, EPOLL_CTL_ADD, fd, &event);
		if (!server.first || fd < server.first)
			server.first = fd;
		if (fd >= server.last)
			server.last = fd + 1;
	}
}

/* Requests of this bench's clients come whole. */
static void serve(struct peer *peer)
{
	static char bytes[16384];
	int len = 1;

	ERR_clear_error();
	if (!peer->shaken) {
		len = SSL_do_handshake(peer->tls);
		peer->shaken = len == 1;
	}
	while (peer->shaken && (len = SSL_read(peer->tls, bytes, sizeof(bytes))) > 0) {
		if (peer->ping_ms)
			continue;
		if (SSL_write(peer->tls, answer, sizeof(answer) - 1) <= 0)
			break;
		peer->ping_ms = now_ms() + server.ping_every_ms;
	}
	if (len <= 0 && SSL_get_error(peer->tls, len) != SSL_ERROR_WANT_READ)
		drop(peer);
}

/* Once a second, those that are due in it: as slotbelld bundles them. */
static void ping_all(uint64_t now)
{
	static uint64_t next_ms;

	if (!server.ping_every_ms || now < next_ms)
		return;
	next_ms = now + 1000;
	for (int fd = server.first; fd < server.last; fd++) {
		struct peer *peer = &server.peers[fd];

		if (!peer->ping_ms || peer->ping_ms > next_ms)
			continue;
		peer->ping_ms = now + server.ping_every_ms;
		if (SSL_write(peer->tls, ping, sizeof(ping)) <= 0)
			drop(peer);
	}
}

static int listen_anywhere(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);

	server.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (server.listener < 0 || bind(server.listener, (struct sockaddr *)&address, len) != 0 ||
	    listen(server.listener, 4096) != 0 ||
	    getsockname(server.listener, (struct sockaddr *)&address, &len) != 0)
		return -1;
	return ntohs(address.sin_port);
}

static int set_up_tls(const char *certificate, const char *key)
{
	server.tls = SSL_CTX_new(TLS_server_method());
	if (!server.tls || SSL_CTX_use_certificate_chain_file(server.tls, certificate) != 1 ||
	    SSL_CTX_use_PrivateKey_file(server.tls, key, SSL_FILETYPE_PEM) != 1)
		return -1;
	(void)SSL_CTX_set_min_proto_version(server.tls, TLS1_2_VERSION);
	(void)SSL_CTX_set_mode(server.tls, SSL_MODE_RELEASE_BUFFERS);
	(void)SSL_CTX_set_session_cache_mode(server.tls, SSL_SESS_CACHE_OFF);
	(void)SSL_CTX_set_num_tickets(server.tls, 1);
	return 0;
}

static void watch(int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	(void)epoll_ctl(server.epoll, EPOLL_CTL_ADD, fd, &event);
}

static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	(void)getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv)
{
	struct epoll_event events[EVENTS_MAX];
	int port;

	if (argc < 3 || argc > 4) {
		(void)fputs("Usage: bare-server CERTIFICATE KEY [PING_SECONDS]\n", stderr);
		return 2;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	raise_descriptor_limit();
	server.ping_every_ms = argc == 4 ? strtoull(argv[3], NULL, 10) * 1000 : 0;
	port = listen_anywhere();
	if (port < 0 || set_up_tls(argv[1], argv[2]) != 0) {
		(void)fputs("bare-server: cannot use the certificate and key, or a port\n", stderr);
		return 1;
	}
	server.epoll = epoll_create1(EPOLL_CLOEXEC);
	watch(server.listener);
	watch(STDIN_FILENO);
	(void)printf("%d\n", port);
	(void)fflush(stdout);
	for (;;) {
		int count = epoll_wait(server.epoll, events, EVENTS_MAX, 1000);

		for (int i = 0; i < count; i++) {
			if (events[i].data.fd == STDIN_FILENO)
				return 0;
			if (events[i].data.fd == server.listener)
				accept_all();
			else
				serve(&server.peers[events[i].data.fd]);
		}
		ping_all(now_ms());
	}
}
