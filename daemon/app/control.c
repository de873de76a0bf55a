/* What operators may ask of a running daemon, and tell it, over the control socket. */
#include "daemon/app/app_private.h"
#include "daemon/base/log.h"
#include "daemon/core/roster.h"
#include "daemon/edge/tls/identity.h"
#include "daemon/edge/tls/setup.h"
#include "daemon/ops/descriptors.h"
#include "protocol/version.h"
#include <stdio.h>
#include <time.h>
#include <unistd.h>

/* Sessions in one answer; whoever wants more asks again with `after`. */
#define PAGE 256

/* ---- status ---- */

static const char *state_of(const struct sb_app *app)
{
	if (app->drain_until_ms)
		return "draining";
	return sb_pg_is_up(app->pg) ? "ready" : "degraded";
}

static json_t *by_state(const struct sb_hub_stats *stats)
{
	json_t *counts = json_object();

	for (enum sb_session_state i = 0; i < SB_SESSION_STATE_COUNT; i++)
		(void)json_object_set_new(counts, sb_session_state_word(i),
					  json_integer((json_int_t)stats->states[i]));
	return counts;
}

static json_t *by_transport(const struct sb_hub_stats *stats)
{
	json_t *counts = json_object();

	for (enum sb_transport i = 0; i < SB_TRANSPORT_COUNT; i++)
		(void)json_object_set_new(counts, sb_transport_word(i),
					  json_integer((json_int_t)stats->events_sent[i]));
	return counts;
}

static json_t *by_handshake(const struct sb_server_stats *stats)
{
	json_t *counts = json_object();

	for (enum sb_handshake i = 0; i < SB_HANDSHAKE_COUNT; i++)
		(void)json_object_set_new(counts, sb_handshake_word(i),
					  json_integer((json_int_t)stats->handshakes[i]));
	return counts;
}

static json_t *at_the_door(const struct sb_app *app)
{
	json_t *turned_away = json_object();
	struct sb_door_stats door;

	sb_server_get_door_stats(app->server, &door);
	for (enum sb_turned_away i = 0; i < SB_TURNED_AWAY_COUNT; i++)
		(void)json_object_set_new(turned_away, sb_turned_away_word(i),
					  json_integer((json_int_t)door.turned_away[i]));
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "shaking_hands",
			 (json_int_t)door.handshakes, "waiting", (json_int_t)door.queued,
			 "addresses", (json_int_t)door.addresses, "accepted",
			 (json_int_t)door.accepted, "tokens_refused",
			 (json_int_t)door.tokens_refused, "tokens_held",
			 (json_int_t)door.tokens_held, "turned_away", turned_away);
}

static json_t *instant(int64_t unix_seconds)
{
	time_t seconds = unix_seconds;
	struct tm utc;
	char text[32];

	(void)gmtime_r(&seconds, &utc);
	(void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc);
	return json_string(text);
}

static void on_status(void *data, struct sb_request *request, const json_t *arguments)
{
	struct sb_app *app = data;
	const struct sb_settings *settings = app->settings;
	struct sb_hub_stats hub;
	struct sb_server_stats server;
	int64_t not_before, not_after;
	char instance[9];

	(void)arguments;
	sb_hub_get_stats(app->hub, &hub);
	sb_server_get_stats(app->server, &server);
	sb_tls_identity_validity(settings->identity, &not_before, &not_after);
	(void)snprintf(instance, sizeof(instance), "%08x", settings->hub.instance);
	sb_control_answer(
		request,
		json_pack("{s:s, s:s, s:i, s:s, s:o, s:i, s:{s:b, s:s}, s:I, s:I, s:o, s:I, s:I, "
			  "s:o, s:I, s:o, s:o, s:o, s:{s:I}, s:i}",
			  "state", state_of(app), "version", SB_VERSION, "pid", (int)getpid(),
			  "instance", instance, "started_at", instant(app->started_us / 1000000),
			  "port", (int)app->port, "database", "up", (int)sb_pg_is_up(app->pg),
			  "problem", sb_pg_problem(app->pg), "connections",
			  (json_int_t)server.connections, "sessions", (json_int_t)hub.sessions,
			  "states", by_state(&hub), "sessions_max",
			  (json_int_t)settings->hub.max_sessions, "mailboxes",
			  (json_int_t)hub.mailboxes, "events_sent", by_transport(&hub),
			  "acks_saved", (json_int_t)hub.acks_saved, "handshakes",
			  by_handshake(&server), "door", at_the_door(app), "certificate_expires_at",
			  instant(not_after), "descriptors", "limit",
			  (json_int_t)sb_descriptors_now(), "admin_port",
			  app->admin ? (int)sb_admin_port(app->admin) : 0));
}

/* ---- sessions ---- */

static json_t *session_json(const struct sb_session_info *info)
{
	return json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I}", "session", info->name, "state",
			 info->state, "transport", info->transport, "device",
			 (json_int_t)info->device_id, "mailbox", (json_int_t)info->mailbox_id,
			 "sent", (json_int_t)info->sent, "acked", (json_int_t)info->saved, "head",
			 (json_int_t)info->head);
}

static void on_sessions(void *data, struct sb_request *request, const json_t *arguments)
{
	struct sb_app *app = data;
	struct sb_session_info infos[PAGE];
	json_int_t after = json_integer_value(json_object_get(arguments, "after"));
	size_t count = sb_hub_list(app->hub, (uint64_t)after, infos, PAGE);
	json_t *list = json_array();

	for (size_t i = 0; i < count; i++)
		(void)json_array_append_new(list, session_json(&infos[i]));
	/* 0: these were the last. */
	sb_control_answer(
		request, json_pack("{s:o, s:I}", "sessions", list, "next",
				   count == PAGE ? (json_int_t)infos[PAGE - 1].id : (json_int_t)0));
}

static void on_kick(void *data, struct sb_request *request, const json_t *arguments)
{
	struct sb_app *app = data;
	const char *name = json_string_value(json_object_get(arguments, "session"));

	if (!name) {
		sb_control_refuse(request, "kick needs \"session\", a name");
	} else if (sb_hub_kick(app->hub, name) != 0) {
		sb_control_refuse(request, "no such session here");
	} else {
		sb_log(SB_LOG_NOTICE, "kicked", "session=%s", name);
		sb_control_answer(request, json_pack("{s:s}", "session", name));
	}
}

/* ---- the whole ---- */

static void on_drain(void *data, struct sb_request *request, const json_t *arguments)
{
	struct sb_app *app = data;

	(void)arguments;
	sb_app_drain(app);
	sb_control_answer(request,
			  json_pack("{s:I, s:I}", "connections",
				    (json_int_t)sb_server_connections(app->server), "seconds",
				    (json_int_t)app->settings->config.drain_seconds));
}

static void on_reload(void *data, struct sb_request *request, const json_t *arguments)
{
	(void)arguments;
	sb_app_reload(data, request);
}

const struct sb_control_command sb_app_commands[] = {
	{"status", on_status}, {"sessions", on_sessions}, {"kick", on_kick},
	{"drain", on_drain},   {"reload", on_reload},	  {0},
};
