/* A booking message as the tests of ical and calendar make one: change what is to be different. */
#ifndef SB_TEST_PLUGIN_EVENT_H
#define SB_TEST_PLUGIN_EVENT_H

#include "protocol/message.h"

/* 2026-11-24T09:00:00Z for 30 minutes, published at 2026-11-23T09:12:44.123456Z. */
static inline struct sb_server_message event_of(enum sb_change change, const char *uid,
						int64_t version)
{
	struct sb_server_message message = {.type = SB_SERVER_BOOKING};
	struct sb_booking *booking = &message.event.booking;

	message.event.change = change;
	message.event.published_at_us = 1795425164123456;
	*booking = (struct sb_booking){
		.uid = uid,
		.version = version,
		.has_starts_at = true,
		.starts_at_s = 1795510800,
		.starts_local = "2026-11-24T10:00:00",
		.time_zone = "Europe/Berlin",
		.duration_minutes = 30,
		.subject = "Intro call",
		.organizer = {.name = "", .email = ""},
		.location = "",
		.join_url = "",
		.description = "",
	};
	return message;
}

/* As a cancellation may come: with nothing but its uid. */
static inline struct sb_server_message bare_cancellation(const char *uid, int64_t version)
{
	struct sb_server_message message = event_of(SB_CHANGE_CANCELLED, uid, version);

	message.event.booking = (struct sb_booking){
		.uid = uid,
		.version = version,
		.starts_local = "",
		.time_zone = "",
		.subject = "",
		.organizer = {.name = "", .email = ""},
		.location = "",
		.join_url = "",
		.description = "",
	};
	return message;
}

#endif
