/*
 * The pump's invariant, looked at after every step of every story: no session
 * waits for events with nothing on its way that will bring them. See mailbox.h.
 */
#include "daemon/core/hub_private.h"
#include "daemon/core/mailbox.h"
#include "daemon/core/session_private.h"
#include "world.h"
#include <setjmp.h>
#include <stdarg.h>
#include <utlist.h>
/* after its standard headers */
#include <cmocka.h>

static void check_session(const struct world *world, const struct sb_session *session)
{
	const struct sb_mailbox *mailbox = session->mailbox;
	bool lacks = !session->settled || session->sent < mailbox->numbering.head || mailbox->stale;
	bool comes = mailbox->fetching || mailbox->deadline.queue;

	if (!client_of(session->link))
		return; /* another test's link: whether it is woken is not known here */
	if (session->on_run) {
		assert_non_null(mailbox->run);
		assert_non_null(mailbox->deadline.queue);
	}
	/* Room comes by an ack, which wakes it. */
	if (!sb_session_has_room(session) || !lacks || session->on_run)
		return;
	if (session->asleep) {
		assert_true(client_of(session->link)->woken);
		return;
	}
	/* A session that is settled asks by itself when it pulls. */
	if (client_of(session->link)->woken && session->settled)
		return;
	if (!comes)
		print_error("session of device %ld waits for ever at %ld: head %ld\n",
			    (long)session->device_id, (long)session->sent,
			    (long)mailbox->numbering.head);
	assert_true(comes);
	(void)world;
}

static void check_mailbox(const struct world *world, const struct sb_mailbox *mailbox)
{
	const struct sb_session *session;
	uint32_t takers = 0;

	assert_int_equal(mailbox->fetching, world_is_fetching(world, mailbox->id));
	DL_FOREACH2(mailbox->sessions, session, mailbox_next) {
		takers += session->on_run;
		check_session(world, session);
	}
	assert_int_equal(takers, mailbox->run ? mailbox->run->takers : 0);
	assert_int_equal(mailbox->run != NULL, takers != 0);
}

void world_check(const struct world *world)
{
	const struct sb_mailbox *mailbox = NULL;

	while ((mailbox = sb_table_next(&world->hub->mailboxes, mailbox)))
		check_mailbox(world, mailbox);
}
