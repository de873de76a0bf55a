/*
 * What is measured of sessions: how many are in each state, and how long a
 * booking takes from its commit until it is sent, and until its ack is saved.
 *
 * Of live sessions only: what waited for a client that was away says nothing
 * of us. From sent to acked one event per session is followed at a time, so
 * that a session pays with two numbers and not with a list.
 */
#include "daemon/core/hub_private.h"
#include "daemon/core/session_private.h"

const uint32_t sb_catch_up_bounds[SB_CATCH_UP_BUCKETS] = {0, 1, 2, 5, 10, 20, 50, 100, 1000};

void sb_session_enter(struct sb_session *session, enum sb_session_state state)
{
	session->hub->stats.states[session->state]--;
	session->hub->stats.states[state]++;
	session->state = (uint8_t)state;
}

void sb_session_measure_sent(struct sb_session *session, const struct sb_frame *frame)
{
	struct sb_hub *hub = session->hub;

	hub->stats.events_sent[session->link->ops->transport]++;
	if (session->state != SB_SESSION_LIVE || !frame->published_at_us)
		return;
	sb_histogram_add(&hub->stats.commit_to_sent,
			 hub->clock->wall_us(hub->clock) - frame->published_at_us);
	if (session->followed_seq)
		return;
	session->followed_seq = session->sent;
	session->followed_us = frame->published_at_us;
}

void sb_session_measure_saved(struct sb_session *session)
{
	struct sb_hub *hub = session->hub;

	if (!session->followed_seq || session->saved < session->followed_seq)
		return;
	session->followed_seq = 0;
	sb_histogram_add(&hub->stats.commit_to_acked,
			 hub->clock->wall_us(hub->clock) - session->followed_us);
}

void sb_session_measure_catch_up(const struct sb_session *session, int64_t events)
{
	struct sb_hub_stats *stats = &session->hub->stats;
	int i = 0;

	if (!sb_session_takes_events(session))
		return;
	while (i < SB_CATCH_UP_BUCKETS && events > sb_catch_up_bounds[i])
		i++;
	stats->catch_ups[i]++;
	stats->catch_up_events += (uint64_t)events;
}
