/*
 * Runs the store alone on a loop, against a real PostgreSQL: the tests'
 * Python asks through standard input and reads what the hub would have been
 * told from standard output, a line each.
 *
 *     store_driver url=postgresql://… [ping_every_ms=300 …]
 *
 * The sb_hub_* functions here stand in for core's; nothing of core is linked.
 */
#include "daemon/core/hub.h"
#include "daemon/store/pg.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#define HELD_MAX 20000

struct sb_hub {
	int64_t held[HELD_MAX]; /* ascending */
	size_t held_count;
};

static struct sb_hub hub;
static struct sb_pg *pg;
static uv_loop_t loop;
static uv_pipe_t input;
static char line[65536];
static size_t line_len;

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vprintf(format, args);
	va_end(args);
	(void)putchar('\n');
}

/* ---- the hub's half ---- */

void sb_hub_look(struct sb_hub *h, int64_t mailbox_id)
{
	(void)h;
	say("look %" PRId64, mailbox_id);
}

void sb_hub_recheck(struct sb_hub *h, int64_t device_id)
{
	(void)h;
	say("recheck %" PRId64, device_id);
}

void sb_hub_authenticated(struct sb_hub *h, uint64_t session_id,
			  const struct sb_authenticated *answer)
{
	(void)h;
	say("authenticated %" PRIu64 " %d %" PRId64 " %s %" PRId64 " %" PRId64 " %" PRId64
	    " %" PRId64 " %s",
	    session_id, (int)answer->outcome, answer->mailbox_id,
	    answer->address ? answer->address : "-", answer->session_no, answer->acked,
	    answer->expires_at_s, answer->numbering.head, answer->numbering.epoch.text);
}

void sb_hub_authenticate_failed(struct sb_hub *h, uint64_t session_id)
{
	(void)h;
	say("authenticate-failed %" PRIu64, session_id);
}

void sb_hub_fetched(struct sb_hub *h, int64_t mailbox_id, const struct sb_fetched *answer)
{
	(void)h;
	(void)printf("fetched %" PRId64 " %" PRId64 " %" PRId64, mailbox_id, answer->after,
		     answer->numbering.head);
	for (size_t i = 0; i < answer->count; i++) {
		const struct sb_event *event = &answer->events[i];

		(void)printf(" %" PRId64 ",%" PRId64 ",%s,%s,%s,%s,%s,%d", event->seq,
			     event->version, sb_change_word(event->change), event->uid,
			     event->has_starts_at ? "at" : "-",
			     event->subject ? event->subject : "-",
			     event->attendees ? event->attendees : "-", event->duration_minutes);
	}
	say("%s", "");
}

void sb_hub_fetch_failed(struct sb_hub *h, int64_t mailbox_id)
{
	(void)h;
	say("fetch-failed %" PRId64, mailbox_id);
}

void sb_hub_ack_saved(struct sb_hub *h, uint64_t session_id, const struct sb_ack_saved *answer)
{
	(void)h;
	say("ack %" PRIu64 " %s %" PRId64, session_id, answer->saved ? "saved" : "stale",
	    answer->acked);
}

void sb_hub_ack_failed(struct sb_hub *h, uint64_t session_id)
{
	(void)h;
	say("ack-failed %" PRIu64, session_id);
}

void sb_hub_device_state(struct sb_hub *h, const struct sb_device_state *state)
{
	(void)h;
	say("state %" PRId64 " %d %" PRId64 " %" PRId64, state->device_id, (int)state->outcome,
	    state->session_no, state->numbering.head);
}

void sb_hub_database(struct sb_hub *h, bool up)
{
	(void)h;
	say("database %s", up ? "up" : "down");
}

size_t sb_hub_held_devices(struct sb_hub *h, int64_t after, int64_t *devices, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < h->held_count && n < max; i++) {
		if (h->held[i] > after)
			devices[n++] = h->held[i];
	}
	return n;
}

uint32_t sb_hub_instance(const struct sb_hub *h)
{
	(void)h;
	return 0xabcd;
}

void sb_hub_tell_presence(struct sb_hub *h)
{
	struct sb_store *store = sb_pg_store(pg);

	say("tell-presence");
	for (size_t i = 0; i < h->held_count; i++)
		(void)store->ops->presence(store,
					   &(struct sb_presence){.session_id = (uint64_t)h->held[i],
								 .device_id = h->held[i],
								 .on = true});
}

/* ---- commands ---- */

static void on_problem(void *data, const char *text)
{
	(void)data;
	say("problem %s", text);
}

static void on_flushed(void *data)
{
	(void)data;
	say("flushed %zu", sb_pg_open_acks(pg));
}

static void on_closed(void *data)
{
	(void)data;
	pg = NULL;
	say("closed");
}

static void finish(void)
{
	if (!uv_is_closing((uv_handle_t *)&input))
		uv_close((uv_handle_t *)&input, NULL);
	sb_pg_close(pg, on_closed, NULL);
}

static void say_counters(void)
{
	const struct sb_pg_counters *counters = sb_pg_counters(pg);

	for (enum sb_pg_kind kind = 0; kind < SB_PG_KIND_COUNT; kind++) {
		const struct sb_pg_kind_counters *k = &counters->kinds[kind];

		say("kind %s asked=%" PRIu64 " answered=%" PRIu64 " failed=%" PRIu64
		    " statements=%" PRIu64 " items=%" PRIu64 " errors=%" PRIu64 " busy_us=%" PRIu64,
		    sb_pg_kind_word(kind), k->asked, k->answered, k->failed, k->statements,
		    k->items, k->errors, k->busy_us);
	}
	say("counters notifications=%" PRIu64 " bad=%" PRIu64 " pings=%" PRIu64 " lost=%" PRIu64
	    " ups=%" PRIu64 " sweeps=%" PRIu64 " sweeping=%d events=%" PRIu64 " removed=%" PRIu64,
	    counters->notifications, counters->bad_notifications, counters->pings,
	    counters->lost_pings, counters->ups, counters->sweeps, counters->sweeping,
	    counters->swept[SB_PG_SWEPT_EVENTS], counters->swept[SB_PG_SWEPT_REMOVED]);
}

/* One each of session and device FROM … FROM + COUNT - 1. */
static void authenticate(int64_t from, int64_t count)
{
	struct sb_store *store = sb_pg_store(pg);

	for (int64_t i = from; i < from + count; i++) {
		struct sb_authenticate question = {
			.session_id = (uint64_t)i, .device_id = i, .takes_over = true};

		memset(question.proof, (int)(i % 251), sizeof(question.proof));
		if (store->ops->authenticate(store, &question) < 0)
			say("refused %" PRId64, i);
	}
}

static void ack(int64_t from, int64_t count, const char *epoch, int64_t seq, int64_t failed_seq)
{
	struct sb_store *store = sb_pg_store(pg);
	const struct sb_failure failure = {.seq = failed_seq, .reason = SB_FAILURE_CONFLICT};

	for (int64_t i = from; i < from + count; i++) {
		struct sb_save_ack question = {.session_id = (uint64_t)i, .device_id = i};

		question.cursor.seq = seq;
		(void)snprintf(question.cursor.epoch.text, sizeof(question.cursor.epoch.text), "%s",
			       epoch);
		question.failed_count = failed_seq != 0;
		question.failed = &failure;
		if (store->ops->save_ack(store, &question) < 0)
			say("refused %" PRId64, i);
	}
}

static void fetch(int64_t from, int64_t count, int64_t after)
{
	struct sb_store *store = sb_pg_store(pg);

	for (int64_t i = from; i < from + count; i++) {
		const struct sb_fetch question = {.mailbox_id = i, .after = after};

		if (store->ops->fetch(store, &question) < 0)
			say("refused %" PRId64, i);
	}
}

static void presence(int64_t from, int64_t count, bool on)
{
	struct sb_store *store = sb_pg_store(pg);

	for (int64_t i = from; i < from + count; i++) {
		const struct sb_presence news = {
			.session_id = (uint64_t)i, .device_id = i, .on = on};

		if (store->ops->presence(store, &news) < 0)
			say("refused %" PRId64, i);
	}
}

/* As many events as the device's number says, in steps of a second from 1970 on. */
static void sent(int64_t from, int64_t count)
{
	struct sb_store *store = sb_pg_store(pg);
	int64_t us[16];

	for (int64_t i = 0; i < 16; i++)
		us[i] = (i + 1) * 1000000;
	for (int64_t i = from; i < from + count; i++) {
		const struct sb_sent news = {
			.device_id = i, .first = 100, .count = (size_t)i % 16, .us = us};

		if (store->ops->sent(store, &news) < 0)
			say("refused %" PRId64, i);
	}
}

static void hold(int64_t from, int64_t count)
{
	for (int64_t i = from; i < from + count && hub.held_count < HELD_MAX; i++)
		hub.held[hub.held_count++] = i;
}

#define WORDS_MAX 6

static int64_t number(const char *word)
{
	return strtoll(word, NULL, 10);
}

/* A word, then numbers; what is not given is "0". */
static void obey(char *text)
{
	const char *words[WORDS_MAX] = {"", "0", "0", "0", "0", "0"};
	char *rest = text, *word;
	size_t count = 0;

	while (count < WORDS_MAX && (word = strsep(&rest, " ")) != NULL)
		words[count++] = word;
	if (strcmp(words[0], "authenticate") == 0)
		authenticate(number(words[1]), number(words[2]));
	else if (strcmp(words[0], "fetch") == 0)
		fetch(number(words[1]), number(words[2]), number(words[3]));
	else if (strcmp(words[0], "ack") == 0)
		ack(number(words[1]), number(words[2]), words[3], number(words[4]),
		    number(words[5]));
	else if (strcmp(words[0], "recheck") == 0)
		for (int64_t i = 0; i < number(words[2]); i++)
			(void)sb_pg_reconcile(pg, number(words[1]) + i);
	else if (strcmp(words[0], "hold") == 0)
		hold(number(words[1]), number(words[2]));
	else if (strcmp(words[0], "presence") == 0)
		presence(number(words[1]), number(words[2]), number(words[3]) != 0);
	else if (strcmp(words[0], "sent") == 0)
		sent(number(words[1]), number(words[2]));
	else if (strcmp(words[0], "reconcile-all") == 0)
		sb_pg_reconcile_all(pg);
	else if (strcmp(words[0], "flush") == 0)
		sb_pg_flush_then(pg, on_flushed, NULL);
	else if (strcmp(words[0], "counters") == 0)
		say_counters();
	else if (strcmp(words[0], "echo") == 0)
		say("echo %s", words[1]);
	else if (strcmp(words[0], "close") == 0)
		finish();
	else
		say("what? %s", words[0]);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buffer)
{
	(void)handle;
	(void)suggested;
	*ret_buffer = uv_buf_init(line + line_len, (unsigned int)(sizeof(line) - line_len));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer)
{
	char *start = line, *end;

	(void)stream;
	(void)buffer;
	if (n < 0) {
		if (pg)
			finish();
		return;
	}
	line_len += (size_t)n;
	while ((end = memchr(start, '\n', line_len - (size_t)(start - line))) != NULL) {
		*end = '\0';
		if (pg)
			obey(start);
		start = end + 1;
	}
	line_len -= (size_t)(start - line);
	memmove(line, start, line_len);
}

static void configure(struct sb_pg_config *config, char *setting)
{
	const struct {
		const char *name;
		uint32_t *value;
	} names[] = {
		{"connect_ms", &config->connect_ms},
		{"ping_every_ms", &config->ping_every_ms},
		{"ping_deadline_ms", &config->ping_deadline_ms},
		{"reconcile_seconds", &config->reconcile_seconds},
		{"lock_timeout_ms", &config->lock_timeout_ms},
		{"statement_timeout_ms", &config->statement_timeout_ms},
		{"lease_ms", &config->lease_ms},
		{"sweep_every_ms", &config->sweep_every_ms},
	};
	char *value = strchr(setting, '=');

	if (!value)
		return;
	*value++ = '\0';
	if (strcmp(setting, "url") == 0)
		config->url = value;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(setting, names[i].name) == 0)
			*names[i].value = (uint32_t)strtoul(value, NULL, 10);
	}
}

int main(int argc, char **argv)
{
	struct sb_pg_config config;

	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	sb_pg_config_defaults(&config);
	config.on_problem = on_problem;
	for (int i = 1; i < argc; i++)
		configure(&config, argv[i]);
	(void)uv_loop_init(&loop);
	pg = config.url ? sb_pg_new(&loop, &config, NULL) : NULL;
	if (!pg) {
		(void)fprintf(stderr, "store_driver: no usable url=\n");
		return 2;
	}
	sb_pg_set_hub(pg, &hub);
	(void)uv_pipe_init(&loop, &input, 0);
	(void)uv_pipe_open(&input, STDIN_FILENO);
	(void)uv_read_start((uv_stream_t *)&input, on_alloc, on_read);
	sb_pg_start(pg);
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	/* Everything that was opened is closed, or this says so. */
	return uv_loop_close(&loop) == 0 ? 0 : 1;
}
