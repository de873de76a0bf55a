/* A plug-in without a socket, and a server without one. */
#include "plugin_whole.h"

#include "faults.h"
#include "plugin-stub/client.h"
#include "plugin-stub/ical.h"
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
/* cmocka.h wants those above before it */
#include <cmocka.h>

struct whole {
	struct server *server;
	struct sb_client client;
	struct sb_calendar *calendar;
	struct sb_state *state;
	uint64_t now_ms;
	bool connecting, acked_due;
	int close_code; /* asked for; 0: not */
};

struct server *server_new(void)
{
	void *memory = mmap(NULL, sizeof(struct server), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(memory, MAP_FAILED);
	return memory;
}

void server_free(struct server *server)
{
	munmap(server, sizeof(*server));
}

static void on_connect(void *data)
{
	((struct whole *)data)->connecting = true;
}

static void on_send(void *data, const struct sb_client_message *message)
{
	struct whole *whole = data;
	struct server *server = whole->server;
	const struct sb_cursor *cursor = NULL;

	if (message->type == SB_CLIENT_HELLO && message->hello.has_cursor)
		cursor = &message->hello.cursor;
	if (message->type == SB_CLIENT_ACK) {
		cursor = &message->ack.cursor;
		whole->acked_due = true;
		faults_note("ack %" PRId64, cursor->seq);
		for (size_t i = 0; i < message->ack.failed_count; i++)
			server->failure_known |= message->ack.failed[i].seq == 5;
	}
	if (cursor && cursor->seq > server->acked)
		server->acked = cursor->seq;
}

static void on_close(void *data, int code)
{
	((struct whole *)data)->close_code = code;
}

static void on_drop(void *data)
{
	((struct whole *)data)->close_code = 1006;
}

static int on_write(void *data, const struct sb_server_message *event, enum sb_written *ret_written,
		    char ret_file[PATH_MAX])
{
	return sb_calendar_write(((struct whole *)data)->calendar, event, ret_written, ret_file);
}

static int on_sync(void *data)
{
	return sb_calendar_sync(((struct whole *)data)->calendar);
}

static int on_save(void *data, const struct sb_progress *progress)
{
	return sb_state_save(((struct whole *)data)->state, progress);
}

static void on_tell(void *data, const struct sb_news *news)
{
	if (news->kind == SB_NEWS_BYE)
		((struct whole *)data)->server->done = true;
}

static uint32_t on_random(void *data)
{
	(void)data;
	return 0;
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

/* ---- the server's words ---- */

static void say(struct whole *whole, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(struct whole *whole, const char *format, ...)
{
	char text[2048];
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	assert_in_range(len, 1, sizeof(text) - 1);
	sb_client_on_message(&whole->client, text, (size_t)len, whole->now_ms);
}

static void say_event(struct whole *whole, int seq)
{
	static const char *const changes[] = {"created", "created", "updated", "cancelled",
					      "created"};
	static const char *const uids[] = {"a", "b", "a", "b", "c"};
	const char *start = seq == 5 ? "" : "\"starts_at\":\"2026-11-24T09:00:00Z\",";

	say(whole,
	    "{\"type\":\"booking\",\"seq\":%d,\"cursor\":\"k.%d\",\"change\":\"%s\","
	    "\"published_at\":\"2026-11-23T09:12:44.123456Z\",\"booking\":{\"uid\":\"%s\","
	    "\"version\":%d,%s\"duration_minutes\":30,\"subject\":\"Call %d\"}}",
	    seq, seq, changes[seq - 1], uids[seq - 1], seq, start, seq);
}

static void turn(struct whole *whole)
{
	sb_client_turn(&whole->client, whole->now_ms);
	if (whole->acked_due)
		say(whole, "{\"type\":\"acked\",\"cursor\":\"k.%" PRId64 "\"}",
		    whole->server->acked);
	whole->acked_due = false;
}

static void serve(struct whole *whole)
{
	whole->connecting = false;
	whole->close_code = 0;
	sb_client_on_open(&whole->client, whole->now_ms);
	say(whole,
	    "{\"type\":\"welcome\",\"session\":\"s\",\"mailbox\":\"a@b\",\"cursor\":\"k.%" PRId64
	    "\",\"head\":5,\"window\":32,\"heartbeat_seconds\":25,"
	    "\"server_time\":\"2026-11-23T09:12:44.123456Z\","
	    "\"reconnect\":{\"min_ms\":1,\"max_ms\":1},\"features\":[]}",
	    whole->server->acked);
	for (int seq = (int)whole->server->acked + 1; seq <= WHOLE_HEAD; seq++) {
		say_event(whole, seq);
		if (seq == 2)
			turn(whole);
	}
	say(whole, "{\"type\":\"live\",\"cursor\":\"k.5\"}");
	turn(whole);
	turn(whole);
	if (whole->client.done && !whole->close_code)
		whole->close_code = 1000;
	sb_client_on_gone(&whole->client,
			  &(struct sb_gone){.code = whole->close_code ? whole->close_code : 1006,
					    .words = ""},
			  whole->now_ms);
}

/* ---- a process's life ---- */

static void live(struct whole *whole, const struct sb_progress *progress)
{
	sb_client_init(&whole->client, &ops, whole, SB_MODE_ONCE, "", progress);
	sb_client_start(&whole->client, whole->now_ms);
	for (int i = 0; i < 100 && whole->client.state != SB_CLIENT_ENDED; i++) {
		if (whole->connecting)
			serve(whole);
		whole->now_ms += 1000;
		sb_client_turn(&whole->client, whole->now_ms);
	}
	sb_client_fini(&whole->client);
}

void whole_run(const char *folder, struct server *server)
{
	struct whole *whole = mmap(NULL, sizeof(*whole), PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct sb_progress progress;
	enum sb_state_found found;

	assert_ptr_not_equal(whole, MAP_FAILED);
	whole->server = server;
	whole->now_ms = 1000;
	if (!sb_calendar_open(in_folder(folder, "calendar"), &whole->calendar) &&
	    !sb_state_open(in_folder(folder, "state.json"), 7, &whole->state) &&
	    !sb_state_load(whole->state, &progress, &found))
		live(whole, &progress);
	sb_state_close(whole->state);
	sb_calendar_close(whole->calendar);
	munmap(whole, sizeof(*whole));
}

/* ---- what came of it ---- */

/* The version in the calendar; 0: no such appointment. */
static int64_t version_of(const char *folder, const char *uid)
{
	char name[64];
	int64_t version;
	char *text;

	snprintf(name, sizeof(name), "calendar/%s.ics", uid);
	text = file_get(folder, name);
	if (!text)
		return 0;
	if (sb_ical_version(text, uid, &version) < 0 || !strstr(text, "END:VCALENDAR"))
		fail_msg("torn: %s", text);
	free(text);
	return version;
}

static int64_t newest(const int64_t *seqs, int64_t acked)
{
	int64_t seq = 0;

	for (int i = 0; i < 2; i++)
		seq = seqs[i] <= acked ? seqs[i] : seq;
	return seq;
}

void whole_check(const char *folder, const struct server *server)
{
	static const int64_t a[] = {1, 3}, b[] = {2, 4};

	assert_true(version_of(folder, "a") >= newest(a, server->acked));
	assert_true(version_of(folder, "b") >= newest(b, server->acked));
	assert_int_equal(version_of(folder, "c"), 0);
}

void whole_check_done(const char *folder, const struct server *server)
{
	char *state = file_get(folder, "state.json");

	assert_true(server->done);
	assert_int_equal(server->acked, WHOLE_HEAD);
	assert_true(server->failure_known);
	assert_int_equal(version_of(folder, "a"), 3);
	assert_int_equal(version_of(folder, "b"), 4);
	assert_int_equal(folder_count(in_folder(folder, "calendar")), 2);
	assert_string_equal(state, "{\"device\":7,\"cursor\":\"k.5\",\"failed\":[]}");
	free(state);
}
