/* The small world of the plug-in's client: what is asked of it is written down, and nothing else.
 */
#include "plugin_world.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define BEGIN_MS 1000000

static void note(char *list, size_t size, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void note(char *list, size_t size, const char *format, ...)
{
	size_t len = strlen(list);
	va_list args;

	va_start(args, format);
	if (len > 0 && len < size)
		len += (size_t)snprintf(list + len, size - len, "; ");
	assert_true(len < size);
	(void)vsnprintf(list + len, size - len, format, args);
	va_end(args);
	assert_true(strlen(list) < size - 1);
}

static const char *text_of(const struct sb_cursor *cursor)
{
	static char text[SB_CURSOR_MAX + 1];

	sb_cursor_format(cursor, text);
	return text;
}

#define DID(world, ...)	 note((world)->did, sizeof((world)->did), __VA_ARGS__)
#define TOLD(world, ...) note((world)->told, sizeof((world)->told), __VA_ARGS__)

/* ---- what the client asks ---- */

static void on_connect(void *data)
{
	DID((struct world *)data, "connect");
}

static void note_failures(struct world *world, const struct sb_ack *ack)
{
	for (size_t i = 0; i < ack->failed_count; i++)
		DID(world, "failed %" PRId64 " %s", ack->failed[i].seq,
		    sb_failure_word(ack->failed[i].reason));
}

static void on_send(void *data, const struct sb_client_message *message)
{
	struct world *world = data;

	switch (message->type) {
	case SB_CLIENT_HELLO:
		DID(world, "hello %s%s",
		    message->hello.has_cursor ? text_of(&message->hello.cursor) : "anew",
		    message->hello.mode == SB_MODE_ONCE ? " once" : "");
		break;
	case SB_CLIENT_ACK:
		DID(world, "ack %s", text_of(&message->ack.cursor));
		note_failures(world, &message->ack);
		break;
	case SB_CLIENT_PING:
		DID(world, "ping");
		break;
	}
}

static void on_close(void *data, int code)
{
	DID((struct world *)data, "close %d", code);
}

static void on_drop(void *data)
{
	DID((struct world *)data, "drop");
}

static int on_write(void *data, const struct sb_server_message *event, enum sb_written *ret_written,
		    char ret_file[PATH_MAX])
{
	struct world *world = data;

	DID(world, "%s %s %" PRId64, world->write_err ? "cannot write" : "write",
	    event->event.booking.uid, event->cursor.seq);
	*ret_written = world->written;
	snprintf(ret_file, PATH_MAX, "/calendar/%s.ics", event->event.booking.uid);
	return world->write_err;
}

static int on_sync(void *data)
{
	struct world *world = data;

	DID(world, world->sync_err ? "cannot sync" : "sync");
	return world->sync_err;
}

static int on_save(void *data, const struct sb_progress *progress)
{
	struct world *world = data;

	DID(world, "%s %s", world->save_err ? "cannot save" : "save", text_of(&progress->cursor));
	for (size_t i = 0; i < progress->failed_count; i++)
		DID(world, "with failed %s", text_of(&progress->failed[i].cursor));
	if (world->save_err)
		return world->save_err;
	world->disk = *progress;
	world->on_disk = true;
	return 0;
}

static void on_tell(void *data, const struct sb_news *news)
{
	static const char *const words[] = {
		[SB_NEWS_CONNECTING] = "connecting",
		[SB_NEWS_WELCOME] = "welcome",
		[SB_NEWS_WRITTEN] = "written",
		[SB_NEWS_FAILED] = "failed",
		[SB_NEWS_ACKED] = "acked",
		[SB_NEWS_LIVE] = "live",
		[SB_NEWS_RESET] = "reset",
		[SB_NEWS_GOODBYE] = "goodbye",
		[SB_NEWS_CLOSED] = "closed",
		[SB_NEWS_WAITING] = "waiting",
		[SB_NEWS_BYE] = "bye",
	};
	struct world *world = data;

	if (news->kind == SB_NEWS_TROUBLE) {
		note(world->trouble, sizeof(world->trouble), "%s", news->words);
		return;
	}
	TOLD(world, "%s", words[news->kind]);
	if (news->kind == SB_NEWS_CLOSED)
		world->code = news->code;
	if (news->kind == SB_NEWS_WAITING) {
		world->wait_ms = news->wait_ms;
		world->for_user = news->for_user;
	}
}

static uint32_t on_random(void *data)
{
	return ((struct world *)data)->random;
}

static const struct sb_client_ops ops = {
	.connect = on_connect,
	.send = on_send,
	.close = on_close,
	.drop = on_drop,
	.write = on_write,
	.sync = on_sync,
	.save = on_save,
	.tell = on_tell,
	.random = on_random,
};

/* ---- its beginning and end ---- */

static void begin(struct world *world, enum sb_mode mode)
{
	sb_client_init(&world->client, &ops, world, mode, "", &world->disk);
	sb_client_start(&world->client, world->now_ms);
}

struct world *world_new(enum sb_mode mode)
{
	struct world *world = calloc(1, sizeof(*world));

	assert_non_null(world);
	world->now_ms = BEGIN_MS;
	world->random = UINT32_MAX;
	begin(world, mode);
	return world;
}

void world_restart(struct world *world, enum sb_mode mode)
{
	sb_client_fini(&world->client);
	world_forget(world);
	begin(world, mode);
}

void world_free(struct world *world)
{
	sb_client_fini(&world->client);
	free(world);
}

/* ---- what happens ---- */

void world_open(struct world *world)
{
	sb_client_on_open(&world->client, world->now_ms);
}

void world_say(struct world *world, const char *format, ...)
{
	char text[2048];
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	assert_in_range(len, 1, sizeof(text) - 1);
	sb_client_on_message(&world->client, text, (size_t)len, world->now_ms);
}

void world_say_welcome(struct world *world, const char *cursor)
{
	world_say(world,
		  "{\"type\":\"welcome\",\"session\":\"s\",\"mailbox\":\"ada@example.com\","
		  "\"cursor\":\"%s\",\"head\":9,\"window\":32,\"heartbeat_seconds\":25,"
		  "\"server_time\":\"2026-11-23T09:12:44.123456Z\","
		  "\"reconnect\":{\"min_ms\":500,\"max_ms\":60000},\"features\":[]}",
		  cursor);
}

void world_say_booking(struct world *world, const char *cursor, const char *uid)
{
	const char *seq = strchr(cursor, '.') + 1;

	world_say(world,
		  "{\"type\":\"booking\",\"seq\":%s,\"cursor\":\"%s\",\"change\":\"created\","
		  "\"published_at\":\"2026-11-23T09:12:44.123456Z\",\"booking\":{\"uid\":\"%s\","
		  "\"version\":%s,\"starts_at\":\"2026-11-24T09:00:00Z\",\"duration_minutes\":30,"
		  "\"subject\":\"Intro call\",\"attendees\":[]}}",
		  seq, cursor, uid, seq);
}

void world_say_live(struct world *world, const char *cursor)
{
	world_say(world, "{\"type\":\"live\",\"cursor\":\"%s\"}", cursor);
}

void world_say_acked(struct world *world, const char *cursor)
{
	world_say(world, "{\"type\":\"acked\",\"cursor\":\"%s\"}", cursor);
}

void world_arrive(struct world *world, const char *cursor)
{
	world_open(world);
	world_say_welcome(world, cursor);
	world_say_live(world, cursor);
	world_turn(world);
	world_forget(world);
}

void world_turn(struct world *world)
{
	sb_client_turn(&world->client, world->now_ms);
}

void world_pass(struct world *world, uint64_t ms)
{
	uint64_t end = world->now_ms + ms;
	uint64_t due;

	for (int turns = 0; (due = sb_client_deadline(&world->client)) != 0 && due <= end;
	     turns++) {
		assert_true(turns < 1000); /* a deadline that stays due would spin the loop */
		if (due > world->now_ms)
			world->now_ms = due;
		world_turn(world);
	}
	world->now_ms = end;
}

void world_gone(struct world *world, int code, const char *words)
{
	sb_client_on_gone(&world->client, &(struct sb_gone){.code = code, .words = words},
			  world->now_ms);
	world_turn(world);
}

void world_come_back(struct world *world)
{
	assert_int_equal(world->client.state, SB_CLIENT_WAITING);
	world_pass(world, sb_client_deadline(&world->client) - world->now_ms);
	assert_int_equal(world->client.state, SB_CLIENT_CONNECTING);
	world_open(world);
}

/* ---- what came of it ---- */

void assert_did(struct world *world, const char *expected)
{
	assert_string_equal(world->did, expected);
	world->did[0] = '\0';
}

void assert_told(struct world *world, const char *expected)
{
	assert_string_equal(world->told, expected);
	world->told[0] = '\0';
}

void assert_trouble(struct world *world, const char *part)
{
	if (!part)
		assert_string_equal(world->trouble, "");
	else if (!strstr(world->trouble, part))
		fail_msg("\"%s\" is not in \"%s\"", part, world->trouble);
	world->trouble[0] = '\0';
}

void world_forget(struct world *world)
{
	world->did[0] = world->told[0] = world->trouble[0] = '\0';
}
