/*
 * libwebsockets on the daemon's loop, and the life of a connection.
 *
 * Sessions wake their links at any time; what is woken is served at the end of
 * the same turn of the loop, outside of all callbacks. So core is never
 * entered twice, and one turn's news go out in one write per session.
 */
#include "daemon/edge/server.h"
#include "daemon/edge/exchange.h"
#include "daemon/edge/tickets.h"
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <utlist.h>

/* A socket that took no more, and of which nobody tells us when it does, is tried again after this.
 */
#define RETRY_MS 100

struct sb_server *sb_server_of(struct lws *wsi)
{
	return lws_context_user(lws_get_context(wsi));
}

struct sb_connection *sb_connection_of(struct lws *wsi)
{
	return lws_get_opaque_user_data(wsi);
}

void sb_connection_ready(struct sb_connection *connection)
{
	if (connection->is_ready || connection->deaf)
		return;
	connection->is_ready = true;
	DL_APPEND2(connection->server->ready, connection, ready_prev, ready_next);
}

void sb_connection_wake(struct sb_link *link)
{
	sb_connection_ready((struct sb_connection *)(void *)link);
}

void sb_connection_cut(struct sb_link *link)
{
	struct sb_connection *connection = (struct sb_connection *)(void *)link;

	connection->to_cut = true;
	connection->deaf = false;
	sb_connection_ready(connection);
}

static void not_ready(struct sb_connection *connection)
{
	if (!connection->is_ready)
		return;
	connection->is_ready = false;
	DL_DELETE2(connection->server->ready, connection, ready_prev, ready_next);
}

struct sb_connection *sb_connection_new(struct sb_server *server)
{
	struct sb_connection *connection = calloc(1, sizeof(*connection));

	if (!connection)
		return NULL;
	connection->server = server;
	server->connections++;
	return connection;
}

void sb_connection_shake(struct sb_connection *connection)
{
	struct sb_server *server = connection->server;

	connection->opening = true;
	server->opening++;
	if (server->opening > server->stats.handshakes_peak)
		server->stats.handshakes_peak = server->opening;
	sb_deadline_start(&connection->deadline, &server->slots, uv_now(server->loop));
}

/* Who takes it comes at the end of this turn of the loop. */
static void release_slot(struct sb_connection *connection)
{
	if (!connection->opening)
		return;
	connection->opening = false;
	connection->server->opening--;
}

void sb_connection_adopt(struct sb_connection *connection)
{
	struct sb_server *server = connection->server;
	lws_adopt_desc_t adoption = {
		.vh = server->vhost,
		.fd.sockfd = connection->fd,
		.type = LWS_ADOPT_SOCKET | LWS_ADOPT_HTTP | LWS_ADOPT_ALLOW_SSL,
		.opaque = connection,
	};
	struct lws *wsi;

	connection->adopted = true;
	server->adopting = connection;
	server->adoption_failed = false;
	wsi = lws_adopt_descriptor_vhost_via_info(&adoption);
	server->adopting = NULL;
	/*
	 * The descriptor is libwebsockets' now, whatever came of it: its number may
	 * already be another's. One that failed goes with its own destroy callback,
	 * which may have been already; where lws forgot it for want of memory, its
	 * deadline remembers.
	 */
	if (!server->adoption_failed) {
		connection->wsi = wsi;
		sb_tls_follow(connection, wsi);
	}
}

void sb_connection_opened(struct sb_connection *connection)
{
	release_slot(connection);
	sb_deadline_stop(&connection->deadline);
	sb_keep_end(connection, true);
	sb_guard_open(connection);
}

void sb_connection_gone(struct sb_connection *connection)
{
	struct sb_server *server = connection->server;

	if (connection->adopted && !connection->handshaken)
		server->handshakes[SB_HANDSHAKE_FAILED]++;
	not_ready(connection);
	release_slot(connection);
	sb_deadline_stop(&connection->deadline);
	sb_arrival_drop(connection->arrival);
	sb_keep_end(connection, false);
	sb_guard_leave(connection);
	sb_session_gone(connection->session);
	sb_request_forget_token(connection->token);
	sb_exchange_free(connection->exchange);
	sb_ws_forget_message(connection);
	if (connection == server->adopting)
		server->adoption_failed = true;
	server->connections--;
	free(connection);
}

void sb_connection_kill(struct sb_connection *connection)
{
	connection->deaf = true;
	/* Else lws would first flush what it holds back, to one that takes nothing, until a timer
	 * of its own rings, which is set from here and so may be late. */
	if (lws_partial_buffered(connection->wsi))
		(void)shutdown(lws_get_socket_fd(connection->wsi), SHUT_RDWR);
	lws_set_timeout(connection->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_SYNC);
}

static void serve_ready(struct sb_server *server)
{
	while (server->ready) {
		struct sb_connection *connection = server->ready;

		not_ready(connection);
		if (connection->to_cut)
			sb_connection_kill(connection);
		else if (connection->flush && !sb_guard_holds(connection))
			connection->flush(connection);
	}
}

static void on_idle(uv_idle_t *handle)
{
	(void)handle; /* while it is active the loop does not wait */
}

static void on_before_poll(uv_prepare_t *handle)
{
	struct sb_server *server = handle->data;

	serve_ready(server);
	sb_room_serve(server);
	if (sb_room_may_serve(server))
		(void)uv_idle_start(&server->more_to_serve, on_idle);
	else
		(void)uv_idle_stop(&server->more_to_serve);
}

static void on_after_poll(uv_check_t *handle)
{
	serve_ready(handle->data);
}

static struct sb_connection *take(struct sb_deadlines *queue, uint64_t now)
{
	struct sb_deadline *due = sb_deadlines_take(queue, now);

	return due ? (struct sb_connection *)(void *)((char *)due -
						      offsetof(struct sb_connection, deadline))
		   : NULL;
}

void sb_server_tick(struct sb_server *server)
{
	uint64_t now = uv_now(server->loop);
	struct sb_connection *connection;

	sb_exchange_retry_full(server);
	/* First its place in the queue, then, when all its time is over, the connection. */
	while ((connection = take(&server->slots, now))) {
		release_slot(connection);
		sb_deadline_start(&connection->deadline, &server->openings, now);
	}
	while ((connection = take(&server->openings, now))) {
		if (connection->stage == SB_STAGE_WAITING && !server->leaving) {
			sb_room_overdue(connection);
			continue;
		}
		if (connection->stage < SB_STAGE_OPEN && !server->leaving)
			sb_guard_count(server, connection->address, SB_TURNED_AWAY_SLOW);
		if (connection->wsi)
			sb_connection_kill(connection);
		else
			sb_connection_gone(connection);
	}
	while ((connection = take(&server->kept, now)))
		sb_connection_kill(connection);
	sb_guard_tick(server);
	sb_room_tick(server);
}

uint64_t sb_server_due_ms(const struct sb_server *server)
{
	const struct sb_deadlines *const queues[] = {
		&server->slots,	   &server->openings, &server->kept,
		&server->patience, &server->holds,    NULL,
	};
	uint64_t first = server->full ? uv_now(server->loop) + RETRY_MS : UINT64_MAX;

	for (const struct sb_deadlines *const *queue = queues; *queue; queue++) {
		uint64_t due = sb_deadlines_due_ms(*queue);

		if (due < first)
			first = due;
	}
	return first;
}

static void init_handles(struct sb_server *server)
{
	(void)uv_prepare_init(server->loop, &server->before_poll);
	(void)uv_check_init(server->loop, &server->after_poll);
	(void)uv_idle_init(server->loop, &server->more_to_serve);
	(void)uv_timer_init(server->loop, &server->destroy_again);
	server->handles = 4;
	server->before_poll.data = server;
	server->after_poll.data = server;
	server->more_to_serve.data = server;
	server->destroy_again.data = server;
	(void)uv_prepare_start(&server->before_poll, on_before_poll);
	(void)uv_check_start(&server->after_poll, on_after_poll);
}

static void ignore_closed(void *data)
{
	(void)data;
}

struct sb_server *sb_server_new(uv_loop_t *loop, struct sb_hub *hub,
				const struct sb_server_config *config,
				struct sb_server_problem *ret_problem)
{
	struct sb_server *server = calloc(1, sizeof(*server));

	*ret_problem = (struct sb_server_problem){.key = "listen.address",
						  .detail = "libwebsockets did not start"};
	if (!server)
		return NULL;
	server->loop = loop;
	server->hub = hub;
	server->config = config;
	server->problem = ret_problem;
	server->openings.wait_ms = config->opening_ms;
	server->slots.wait_ms = SB_SLOT_MS;
	sb_keep_configure(server);
	sb_room_init(server);
	sb_guard_init(server);
	init_handles(server);
	server->own_ticket_keys = sb_ticket_keys_random();
	if (!server->own_ticket_keys || sb_context_new(server) != 0 || sb_door_open(server) != 0) {
		sb_server_close(server, ignore_closed, NULL);
		return NULL;
	}
	server->problem = NULL;
	return server;
}

void sb_server_configure(struct sb_server *server, const struct sb_server_config *config)
{
	server->config = config;
	if (!server->leaving)
		sb_deadlines_set_wait(&server->openings, config->opening_ms, uv_now(server->loop));
	sb_keep_configure(server);
}

uint16_t sb_server_port(const struct sb_server *server)
{
	return sb_door_port(server->door);
}

size_t sb_server_connections(const struct sb_server *server)
{
	return server->connections;
}

void sb_server_get_stats(const struct sb_server *server, struct sb_server_stats *ret_stats)
{
	*ret_stats = (struct sb_server_stats){.connections = server->connections,
					      .opening = server->opening};
	memcpy(ret_stats->handshakes, server->handshakes, sizeof(server->handshakes));
}

void sb_server_get_door_stats(const struct sb_server *server, struct sb_door_stats *ret_stats)
{
	*ret_stats = server->stats;
	ret_stats->handshakes = server->opening;
	ret_stats->queued = server->queued;
	ret_stats->addresses = sb_addresses_count(&server->addresses);
}

void sb_server_stop_accepting(struct sb_server *server)
{
	sb_door_close(server);
	server->leaving = true;
	sb_deadlines_set_wait(&server->openings, SB_LEAVING_MS, uv_now(server->loop));
	sb_keep_configure(server);
}

/* ---- the end ---- */

static void on_handle_closed(uv_handle_t *handle)
{
	struct sb_server *server = handle->data;

	if (--server->handles)
		return;
	sb_guard_fini(server);
	server->on_closed(server->on_closed_data);
	sb_ticket_keys_free(server->own_ticket_keys);
	free(server);
}

static void note_closing(uv_handle_t *handle, void *is_closing)
{
	if (uv_is_closing(handle))
		*(bool *)is_closing = true;
}

/*
 * libwebsockets 4.1: destroyed once for its handles to close, and, when the
 * loop has closed them all, once more. Not before: with the context its libuv
 * plug-in is unloaded, and their close callbacks are in there.
 */
static void on_destroy_again(uv_timer_t *timer)
{
	struct sb_server *server = timer->data;
	bool is_closing = false;

	uv_walk(server->loop, note_closing, &is_closing);
	if (is_closing)
		return;
	if (server->context)
		lws_context_destroy(server->context);
	server->context = NULL;
	uv_close((uv_handle_t *)&server->before_poll, on_handle_closed);
	uv_close((uv_handle_t *)&server->after_poll, on_handle_closed);
	uv_close((uv_handle_t *)&server->more_to_serve, on_handle_closed);
	uv_close((uv_handle_t *)&server->destroy_again, on_handle_closed);
}

void sb_server_close(struct sb_server *server, sb_server_closed *on_closed, void *data)
{
	server->on_closed = on_closed;
	server->on_closed_data = data;
	sb_door_close(server);
	sb_arrivals_close(server);
	sb_room_close(server);
	if (!server->problem)
		sb_guard_log(server);
	if (server->context)
		sb_context_destroy(server);
	(void)uv_timer_start(&server->destroy_again, on_destroy_again, 1, 1);
}
