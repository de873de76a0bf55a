/* The parts of the server, and their end; see server.h. */
#include "daemon/edge/server.h"
#include "daemon/edge/connection.h"
#include "daemon/edge/context.h"
#include "daemon/edge/tls/tickets.h"
#include <stdlib.h>
#include <string.h>

struct sb_server {
	uv_loop_t *loop;
	struct sb_ticket_keys *own_ticket_keys; /* where the configuration has none; owned */
	struct sb_tls tls;
	struct sb_connections connections;
	struct sb_context context;
	struct sb_http http;
	struct sb_door *door;
	uv_prepare_t before_poll;
	uv_check_t after_poll;
	uv_idle_t more_to_serve; /* active: the door has some that may come in */
	uv_timer_t destroy_again;
	int handles; /* of ours, open */
	sb_server_closed *on_closed;
	void *on_closed_data;
};

/* ---- what the door asks ---- */

static void *admit(void *user, struct sb_visitor *visitor, int fd)
{
	struct sb_server *server = user;

	return sb_connection_new(&server->connections, visitor, fd);
}

static void evict(void *owner)
{
	sb_connection_drop(owner);
}

static void release(void *owner)
{
	sb_connection_ready(owner);
}

static const struct sb_door_ops door_ops = {.admit = admit, .evict = evict, .release = release};

/* ---- the loop's turns ---- */

static void on_idle(uv_idle_t *handle)
{
	(void)handle; /* while it is active the loop does not wait */
}

static void on_before_poll(uv_prepare_t *handle)
{
	struct sb_server *server = handle->data;

	sb_connections_serve(&server->connections);
	if (server->door && sb_door_serve(server->door))
		(void)uv_idle_start(&server->more_to_serve, on_idle);
	else
		(void)uv_idle_stop(&server->more_to_serve);
}

static void on_after_poll(uv_check_t *handle)
{
	struct sb_server *server = handle->data;

	sb_connections_serve(&server->connections);
}

void sb_server_tick(struct sb_server *server)
{
	sb_http_tick(&server->http);
	sb_door_tick(server->door);
}

uint64_t sb_server_due_ms(const struct sb_server *server)
{
	uint64_t http = sb_http_due_ms(&server->http), door = sb_door_due_ms(server->door);

	return http < door ? http : door;
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

/* ---- its life ---- */

static void ignore_closed(void *data)
{
	(void)data;
}

static void take_config(struct sb_server *server, const struct sb_server_config *config)
{
	server->tls.identity = config->identity;
	server->tls.ticket_keys =
		config->ticket_keys ? config->ticket_keys : server->own_ticket_keys;
}

static void connect_parts(struct sb_server *server, struct sb_hub *hub)
{
	server->connections = (struct sb_connections){
		.loop = server->loop,
		.hub = hub,
		.tls = &server->tls,
		.begin = sb_http_begin,
		.begin_data = &server->http,
	};
	server->context.connections = &server->connections;
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
	server->own_ticket_keys = sb_ticket_keys_random();
	take_config(server, config);
	connect_parts(server, hub);
	init_handles(server);
	if (server->own_ticket_keys && sb_context_new(&server->context, loop) == 0)
		server->door = sb_door_new(loop, config->address, config->listener, &config->door,
					   &door_ops, server, ret_problem->detail,
					   sizeof(ret_problem->detail));
	if (!server->door) {
		sb_server_close(server, ignore_closed, NULL);
		return NULL;
	}
	sb_http_init(&server->http, loop, hub, server->door, &config->http);
	return server;
}

void sb_server_configure(struct sb_server *server, const struct sb_server_config *config)
{
	take_config(server, config);
	sb_door_configure(server->door, &config->door);
	sb_http_configure(&server->http, &config->http);
}

uint16_t sb_server_port(const struct sb_server *server)
{
	return sb_door_port(server->door);
}

size_t sb_server_connections(const struct sb_server *server)
{
	return sb_door_count(server->door);
}

void sb_server_get_stats(const struct sb_server *server, struct sb_server_stats *ret_stats)
{
	struct sb_door_stats door;

	sb_door_get_stats(server->door, &door);
	*ret_stats = (struct sb_server_stats){.connections = sb_door_count(server->door),
					      .opening = door.handshakes,
					      .kept = server->http.kept_count,
					      .requests_kept = server->http.requests_kept};
	memcpy(ret_stats->handshakes, server->tls.handshakes, sizeof(server->tls.handshakes));
}

void sb_server_get_door_stats(const struct sb_server *server, struct sb_door_stats *ret_stats)
{
	sb_door_get_stats(server->door, ret_stats);
}

void sb_server_stop_accepting(struct sb_server *server)
{
	sb_door_stop_accepting(server->door);
	sb_http_leave(&server->http);
}

/* ---- the end ---- */

static void on_handle_closed(uv_handle_t *handle)
{
	struct sb_server *server = handle->data;

	if (--server->handles)
		return;
	sb_door_free(server->door);
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
	sb_context_destroy_again(&server->context);
	uv_close((uv_handle_t *)&server->before_poll, on_handle_closed);
	uv_close((uv_handle_t *)&server->after_poll, on_handle_closed);
	uv_close((uv_handle_t *)&server->more_to_serve, on_handle_closed);
	uv_close((uv_handle_t *)&server->destroy_again, on_handle_closed);
}

void sb_server_close(struct sb_server *server, sb_server_closed *on_closed, void *data)
{
	server->on_closed = on_closed;
	server->on_closed_data = data;
	if (server->door)
		sb_door_close(server->door);
	sb_context_destroy(&server->context);
	(void)uv_timer_start(&server->destroy_again, on_destroy_again, 1, 1);
}
