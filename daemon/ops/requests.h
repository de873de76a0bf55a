/*
 * A small server of requests and answers: what the control socket and the
 * admin listener have in common. For operators and their tools, so its bounds
 * are small and fixed, and whoever is slow is cut.
 *
 * A connection has one request at a time: text up to a terminator. While it is
 * being answered nothing more is read of it.
 */
#ifndef SB_OPS_REQUESTS_H
#define SB_OPS_REQUESTS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <uv.h>

#define SB_REQUESTS_CLIENTS_MAX 16   /* connections at once; further ones are closed */
#define SB_REQUEST_BYTES_MAX	4096 /* of one request, its terminator included */

struct sb_requests;
struct sb_request;

struct sb_requests_config {
	const char *terminator;
	/* From connection or last answer to the end of a request, and for an answer to be taken. */
	uint32_t patience_ms;
	/* The connection stays for more requests. */
	int keep;
	/*
	 * A request, without its terminator, borrowed until return; NULL: it was
	 * longer than SB_REQUEST_BYTES_MAX. Exactly one sb_request_answer() must
	 * follow, now or later, even when its client has gone meanwhile.
	 */
	void (*on_request)(void *data, struct sb_request *request, const char *text, size_t len);
	void *data;
};

/* Listens on an address, or on a path with this mode. Copies config. 0 or a negative errno. */
int sb_requests_listen(uv_loop_t *loop, const struct sockaddr *address,
		       const struct sb_requests_config *config, struct sb_requests **ret_requests);
int sb_requests_listen_path(uv_loop_t *loop, const char *path, mode_t mode,
			    const struct sb_requests_config *config,
			    struct sb_requests **ret_requests);

/* On a socket that listens already, which is taken. Then it has an address. */
int sb_requests_listen_on(uv_loop_t *loop, int fd, const struct sb_requests_config *config,
			  struct sb_requests **ret_requests);

/* Of an address: the port it got. */
uint16_t sb_requests_port(const struct sb_requests *requests);

/* Takes `text`, allocated with malloc(); NULL: closes without an answer. */
void sb_request_answer(struct sb_request *request, char *text, size_t len);

/* Ends all connections; those whose request is not answered yet go when it is. Then on_closed, in a
 * later turn. Accepts NULL: on_closed is not called then. */
void sb_requests_close(struct sb_requests *requests, void (*on_closed)(void *data), void *data);

#endif
