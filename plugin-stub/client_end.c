/*
 * After a connection's end: whether the client comes back, and when. The close
 * code says what it was; docs/protocol.md says what a client does then.
 */
#include "plugin-stub/client_private.h"

#include <string.h>

#define REPLACED 4409

/*
 * libwebsockets (4.1 at least) tells us 1002 in place of every code from 1012
 * to 2999. What it was, goodbye has said before, or the close's own word.
 */
static int true_code(const struct sb_client *client, const struct sb_gone *gone)
{
	if (gone->code != 1002)
		return gone->code;
	if (client->goodbye_code != 0)
		return client->goodbye_code;
	for (int i = 0; i < SB_REASON_COUNT; i++) {
		if (!strcmp(gone->words, sb_reason_word((enum sb_reason)i)))
			return sb_reason_close_code((enum sb_reason)i);
	}
	return gone->code;
}

/* Words for what only a person can mend; NULL when coming back is right. */
static const char *final_words(int code)
{
	switch (code) {
	case 4401:
		return "The server does not take this token. Enrol the device anew, or check "
		       "--token-file.";
	case 4403:
		return "This device was revoked, or its token has expired. Ask the administrator "
		       "for a new one.";
	default:
		return NULL;
	}
}

static bool is_our_bug(int code)
{
	return code == 4400 || code == 1009;
}

/* Whether there is any sense in another try; says why not. */
static bool may_come_back(struct sb_client *client, int code)
{
	const char *words = final_words(code);

	if (words) {
		sb_client_trouble(client, "%s", words);
		return false;
	}
	if (is_our_bug(code))
		sb_client_trouble(client,
				  "Server and plug-in do not understand each other (close %d): "
				  "this is a bug, please report it",
				  code);
	if (client->mode != SB_MODE_ONCE)
		return true;
	if (is_our_bug(code))
		return false;
	if (code == REPLACED) {
		sb_client_trouble(client, "Another session of this device took over");
		return false;
	}
	if (client->disk_trouble && client->disk_failures >= SB_CLIENT_DISK_TRIES) {
		sb_client_trouble(client, "The disk has refused %d times in a row; giving up",
				  client->disk_failures);
		return false;
	}
	if (++client->tries >= SB_CLIENT_ONCE_TRIES) {
		sb_client_trouble(client, "Not caught up after %d connections; giving up",
				  client->tries);
		return false;
	}
	return true;
}

/* Where the server is fine and the disk is not, welcomes do not shorten the waits. */
static uint32_t wait_for_disk(const struct sb_client *client)
{
	struct sb_backoff backoff = client->backoff;

	backoff.failures = (uint32_t)client->disk_failures - 1;
	return sb_backoff_next(&backoff, client->ops->random(client->world));
}

static uint32_t wait_for(struct sb_client *client, const struct sb_gone *gone, int code)
{
	uint32_t backoff_ms = sb_backoff_next(&client->backoff, client->ops->random(client->world));
	uint32_t hint_ms;

	if (client->hurry) {
		sb_backoff_reset(&client->backoff);
		return 0;
	}
	if (is_our_bug(code))
		return client->backoff.max_ms;
	if (client->has_hint || gone->has_hint) {
		hint_ms = client->has_hint ? client->hint_ms : gone->hint_ms;
		return hint_ms < SB_CLIENT_HINT_MAX_MS ? hint_ms : SB_CLIENT_HINT_MAX_MS;
	}
	return client->disk_trouble ? wait_for_disk(client) : backoff_ms;
}

/*
 * A server decides how soon we are back: by what it says, and by a welcome, which
 * sets the tries back. One that goes on to end each session at once must not keep
 * us busy. A few in a row may be right, where it ends or a proxy stands between.
 */
static uint32_t paced(struct sb_client *client, const struct sb_gone *gone, uint32_t wait_ms,
		      uint64_t now_ms)
{
	uint64_t due = client->began_ms + SB_CLIENT_PACE_MS;
	bool is_theirs = client->welcomed || client->has_hint || gone->has_hint;

	if (!is_theirs || client->hurry || now_ms + wait_ms >= due) {
		client->quick = 0;
		return wait_ms;
	}
	return ++client->quick <= SB_CLIENT_QUICK_MAX ? wait_ms : (uint32_t)(due - now_ms);
}

static void come_back(struct sb_client *client, const struct sb_gone *gone, int code,
		      uint64_t now_ms)
{
	struct sb_news waiting = {.kind = SB_NEWS_WAITING};

	if (code == REPLACED) {
		/* Two that came back by themselves would take turns for ever. */
		sb_client_trouble(client, "Another session of this device took over. This one "
					  "waits; SIGUSR1 makes it take over again.");
		waiting.for_user = true;
		client->state = SB_CLIENT_REPLACED;
		client->deadline_ms = 0;
	} else {
		waiting.wait_ms = paced(client, gone, wait_for(client, gone, code), now_ms);
		client->state = SB_CLIENT_WAITING;
		client->deadline_ms = now_ms + waiting.wait_ms;
	}
	sb_client_tell(client, &waiting);
}

void sb_client_on_gone(struct sb_client *client, const struct sb_gone *gone, uint64_t now_ms)
{
	int code = true_code(client, gone);
	bool in_session;

	if (client->state == SB_CLIENT_ENDED || client->state == SB_CLIENT_WAITING ||
	    client->state == SB_CLIENT_REPLACED)
		return;
	in_session = client->state == SB_CLIENT_IN_SESSION;
	client->state = SB_CLIENT_CLOSING;
	/* Not acked any more, but hello's cursor will be. */
	sb_client_settle(client);
	if (in_session)
		sb_client_look_whether_done(client, now_ms);
	if (client->disk_trouble)
		client->disk_failures++;
	sb_client_tell(client, &(struct sb_news){
				       .kind = SB_NEWS_CLOSED, .code = code, .words = gone->words});
	if (client->stopping || client->done)
		sb_client_end(client, 0);
	else if (!may_come_back(client, code))
		sb_client_end(client, 1);
	else
		come_back(client, gone, code, now_ms);
}
