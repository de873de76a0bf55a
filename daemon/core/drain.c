/*
 * The drain: goodbye to everybody, one after the other.
 *
 * Who is told comes back elsewhere at a time of its own (admission.h), so the
 * pace of the goodbyes need not be slower than the rate at which clients may
 * return, and is faster only where the spread would not be enough. Few are
 * told in an instant; many as evenly as there is time for. Who is not told yet
 * is served as ever.
 */
#include "daemon/core/hub_private.h"
#include "daemon/core/session_private.h"

void sb_hub_drain(struct sb_hub *hub, uint32_t spread_ms)
{
	hub->draining = true;
	hub->drain.begun_ms = sb_hub_now(hub);
	hub->drain.spread_ms = spread_ms;
	hub->drain.sessions = hub->stats.sessions;
	hub->drain.told = 0;
	if (!spread_ms)
		sb_hub_drain_step(hub);
}

/* How many should have been told by now. */
static uint64_t due(const struct sb_hub *hub)
{
	uint64_t passed_ms = sb_hub_now(hub) - hub->drain.begun_ms;
	uint64_t by_rate = passed_ms * hub->config.return_per_second / 1000;
	uint64_t by_spread;

	if (passed_ms >= hub->drain.spread_ms)
		return UINT64_MAX;
	by_spread = passed_ms * hub->drain.sessions / hub->drain.spread_ms;
	return by_rate > by_spread ? by_rate : by_spread;
}

void sb_hub_drain_step(struct sb_hub *hub)
{
	uint64_t until = due(hub);
	struct sb_session *session;

	/* From the oldest on. Those told before stand in front until their connection is gone. */
	for (session = hub->sessions; session && hub->drain.told < until; session = session->next) {
		if (session->state >= SB_SESSION_LEAVING)
			continue;
		sb_session_close(session, SB_REASON_DRAINING);
		hub->drain.told++;
	}
}
