/* Lists and names; see roster.h. */
#include "daemon/core/roster.h"
#include "daemon/core/hub_private.h"
#include "daemon/core/mailbox.h"
#include "daemon/core/session_private.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

const char *sb_session_state_word(enum sb_session_state state)
{
	static const char *const words[] = {
#define STATE_WORD(name, word) word,
		SB_SESSION_STATES(STATE_WORD)
#undef STATE_WORD
	};

	return words[state];
}

const char *sb_transport_word(enum sb_transport transport)
{
	static const char *const words[] = {
#define TRANSPORT_WORD(name, word) word,
		SB_TRANSPORTS(TRANSPORT_WORD)
#undef TRANSPORT_WORD
	};

	return words[transport];
}

static void tell(const struct sb_session *session, struct sb_session_info *ret_info)
{
	const struct sb_mailbox *mailbox = session->mailbox;

	*ret_info = (struct sb_session_info){
		.id = session->id,
		.device_id = session->device_id,
		.mailbox_id = mailbox ? mailbox->id : 0,
		.sent = session->sent,
		.saved = session->saved,
		.head = mailbox ? mailbox->numbering.head : 0,
		.state = sb_session_state_word(session->state),
		.transport = sb_transport_word(session->link->ops->transport),
	};
	sb_session_name(session, ret_info->name);
}

static struct sb_session *find(struct sb_hub *hub, uint64_t id)
{
	return sb_table_find(&hub->by_id, id);
}

static struct sb_session *next_after(struct sb_hub *hub, uint64_t id)
{
	struct sb_session *session = find(hub, id);

	if (session)
		return session->next;
	for (session = hub->sessions; session && session->id <= id; session = session->next)
		;
	return session;
}

size_t sb_hub_list(struct sb_hub *hub, uint64_t after, struct sb_session_info *infos, size_t max)
{
	struct sb_session *session = after ? next_after(hub, after) : hub->sessions;
	size_t count = 0;

	for (; session && count < max; session = session->next)
		tell(session, &infos[count++]);
	return count;
}

static bool is_slow(const struct sb_session *session)
{
	if (session->state != SB_SESSION_CATCHING_UP && session->state != SB_SESSION_LIVE)
		return false;
	return sb_session_takes_events(session) && session->role != SB_ROLE_POLL &&
	       !sb_session_has_room(session);
}

size_t sb_hub_count_slow(const struct sb_hub *hub)
{
	size_t count = 0;

	for (const struct sb_session *session = hub->sessions; session; session = session->next)
		count += is_slow(session);
	return count;
}

int sb_hub_kick(struct sb_hub *hub, const char *name)
{
	const char *dash = strchr(name, '-');
	struct sb_session *session = dash ? find(hub, strtoull(dash + 1, NULL, 10)) : NULL;
	char full[SB_SESSION_NAME_MAX + 1];

	if (!session)
		return -ENOENT;
	/* A name of another process, or something that only begins like a number, is none of ours.
	 */
	sb_session_name(session, full);
	if (strcmp(full, name))
		return -ENOENT;
	sb_session_close(session, SB_REASON_DRAINING);
	return 0;
}
