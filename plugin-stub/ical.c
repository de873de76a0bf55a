/*
 * Bookings in iCalendar's words, by libical. Called by calendar, which knows
 * about files; knows none itself.
 *
 * No METHOD but for a cancellation: these are appointments in a calendar, not
 * invitations on their way (RFC 5545 section 3.7.2), and with METHOD:CANCEL
 * the DTSTART may be missing (section 3.6.1).
 */
#include "plugin-stub/ical.h"

#include "plugin-stub/ical_text.h"
#include "protocol/link.h"
#include "protocol/version.h"
#include <ctype.h>
#include <errno.h>
#include <libical/ical.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define X_VERSION      "X-SLOTBELL-VERSION"
#define X_TIME_ZONE    "X-SLOTBELL-TIME-ZONE"
#define X_STARTS_LOCAL "X-SLOTBELL-STARTS-LOCAL"

#define SEQUENCE_BEGINS_S 1577836800 /* 2020-01-01T00:00:00Z */
#define LAST_INSTANT_S \
	253402300799 /* 9999-12-31T23:59:59Z: DATE-TIME has four digits for the year */

void sb_ical_setup(void)
{
	icalerror_set_errors_are_fatal(0);
}

/* Takes `property`, NULL for one that could not be made. */
static int add(icalcomponent *component, icalproperty *property)
{
	if (!property)
		return -ENOMEM;
	icalcomponent_add_property(component, property);
	return 0;
}

static int add_text(icalcomponent *event, icalproperty *(*make)(const char *), const char *text)
{
	char *clean;
	int err;

	if (!text || !*text)
		return 0;
	clean = sb_ical_clean_text(text);
	if (!clean)
		return -ENOMEM;
	err = add(event, make(clean));
	free(clean);
	return err;
}

static int add_x(icalcomponent *event, const char *name, const char *text)
{
	icalproperty *property;
	char *clean;

	if (!text || !*text)
		return 0;
	clean = sb_ical_clean_parameter(text);
	if (!clean)
		return -ENOMEM;
	property = icalproperty_new_x(clean);
	free(clean);
	if (property)
		icalproperty_set_x_name(property, name);
	return add(event, property);
}

static int add_url(icalcomponent *event, const char *url)
{
	char *clean;
	int err;

	/* The client has told that it is left out. */
	if (!url || !*url || sb_link_problem(url))
		return 0;
	clean = sb_ical_clean_uri(url);
	if (!clean)
		return -ENOMEM;
	err = add(event, icalproperty_new_url(clean));
	free(clean);
	return err;
}

/* ORGANIZER or ATTENDEE: a mailto: URI (RFC 6068) with the name as CN. */
static int add_person(icalcomponent *event, icalproperty *(*make)(const char *),
		      const struct sb_attendee *person)
{
	icalproperty *property;
	char *uri, *name;
	int err = -ENOMEM;

	if (!person->email || !*person->email)
		return 0;
	uri = sb_ical_mailto(person->email);
	name = sb_ical_clean_parameter(person->name ? person->name : "");
	property = uri && name ? make(uri) : NULL;
	if (property) {
		if (*name)
			icalproperty_add_parameter(property, icalparameter_new_cn(name));
		err = add(event, property);
	}
	free(uri);
	free(name);
	return err;
}

/*
 * DTSTART and its like, by way of their text: made from a struct icaltimetype
 * libical (3.0.16) silently writes the null time for every year after 3000.
 */
static icalproperty *new_instant(const char *name, int64_t unix_s)
{
	time_t seconds = (time_t)unix_s;
	char text[32], line[64];
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(text, sizeof(text), "%Y%m%dT%H%M%SZ", &tm);
	snprintf(line, sizeof(line), "%s:%s", name, text);
	return icalproperty_new_from_string(line);
}

static bool is_instant(int64_t unix_s)
{
	return unix_s >= 0 && unix_s <= LAST_INSTANT_S;
}

static int add_times(icalcomponent *event, const struct sb_booking *booking)
{
	int err = 0;

	if (booking->has_starts_at)
		err = add(event, new_instant("DTSTART", booking->starts_at_s));
	/* A DURATION without a DTSTART says nothing (RFC 5545 section 3.6.1). */
	if (!err && booking->has_starts_at && booking->duration_minutes > 0)
		err = add(event, icalproperty_new_duration(icaldurationtype_from_int(
					 booking->duration_minutes * 60)));
	if (!err)
		err = add_x(event, X_TIME_ZONE, booking->time_zone);
	if (!err)
		err = add_x(event, X_STARTS_LOCAL, booking->starts_local);
	return err;
}

static int add_people(icalcomponent *event, const struct sb_booking *booking)
{
	int err = add_person(event, icalproperty_new_organizer, &booking->organizer);

	for (size_t i = 0; !err && i < booking->attendee_count; i++)
		err = add_person(event, icalproperty_new_attendee, &booking->attendees[i]);
	return err;
}

/*
 * SEQUENCE (RFC 5545 section 3.8.7.4) counts in 31 bits, and grows with each
 * change that this client writes. It begins with the seconds since 2020 that a
 * version in milliseconds says: other programs that saw the same appointment
 * by another folder see it grow too. `before` is -1 where nothing was written.
 */
static int sequence_after(int64_t version, int before)
{
	int64_t sequence = version / 1000 - SEQUENCE_BEGINS_S;

	if (sequence <= before)
		sequence = (int64_t)before + 1;
	if (sequence < 0)
		sequence = 0;
	return sequence > INT_MAX ? INT_MAX : (int)sequence;
}

/* -1: there is none. */
static int sequence_of(icalcomponent *event)
{
	icalproperty *p =
		event ? icalcomponent_get_first_property(event, ICAL_SEQUENCE_PROPERTY) : NULL;
	int sequence = p ? icalproperty_get_sequence(p) : -1;

	return sequence < 0 ? -1 : sequence;
}

/* What every state of an appointment has. */
static int add_identity(icalcomponent *event, const struct sb_server_message *message,
			icalcomponent *old)
{
	const struct sb_booking *booking = &message->event.booking;
	int64_t published_s = message->event.published_at_us / 1000000;
	bool cancelled = message->event.change == SB_CHANGE_CANCELLED;
	char version[24];
	int err;

	snprintf(version, sizeof(version), "%lld", (long long)booking->version);
	err = add_text(event, icalproperty_new_uid, booking->uid);
	if (!err)
		err = add(event, icalproperty_new_sequence(
					 sequence_after(booking->version, sequence_of(old))));
	if (!err)
		err = add_x(event, X_VERSION, version);
	if (!err)
		err = add(event, new_instant("DTSTAMP", published_s));
	if (!err)
		err = add(event, new_instant("LAST-MODIFIED", published_s));
	if (!err)
		err = add(event, icalproperty_new_status(cancelled ? ICAL_STATUS_CANCELLED
								   : ICAL_STATUS_CONFIRMED));
	return err;
}

static int fill(icalcomponent *event, const struct sb_server_message *message, icalcomponent *old)
{
	const struct sb_booking *booking = &message->event.booking;
	int err = add_identity(event, message, old);

	if (!err)
		err = add_times(event, booking);
	if (!err)
		err = add_text(event, icalproperty_new_summary, booking->subject);
	if (!err)
		err = add_people(event, booking);
	if (!err)
		err = add_text(event, icalproperty_new_location, booking->location);
	if (!err)
		err = add_url(event, booking->join_url);
	if (!err)
		err = add_text(event, icalproperty_new_description, booking->description);
	return err;
}

static bool has_property(icalcomponent *component, icalproperty *like)
{
	icalproperty_kind kind = icalproperty_isa(like);
	icalproperty *p;

	for (p = icalcomponent_get_first_property(component, kind); p;
	     p = icalcomponent_get_next_property(component, kind)) {
		if (kind != ICAL_X_PROPERTY ||
		    !strcmp(icalproperty_get_x_name(p), icalproperty_get_x_name(like)))
			return true;
	}
	return false;
}

/* Written before links were judged. */
static bool is_bad_link(icalproperty *property)
{
	const char *url = icalproperty_isa(property) == ICAL_URL_PROPERTY
				  ? icalproperty_get_url(property)
				  : NULL;

	return url && sb_link_problem(url);
}

/* Everything that `old` says of what `event` says nothing of. */
static int keep_from(icalcomponent *event, icalcomponent *old)
{
	icalcomponent *kept = icalcomponent_new_vevent();
	icalproperty *p;
	int err = kept ? 0 : -ENOMEM;

	/* Gathered apart first: several ATTENDEEs are all kept or none. */
	for (p = icalcomponent_get_first_property(old, ICAL_ANY_PROPERTY); p && !err;
	     p = icalcomponent_get_next_property(old, ICAL_ANY_PROPERTY)) {
		if (!has_property(event, p) && !is_bad_link(p))
			err = add(kept, icalproperty_new_clone(p));
	}
	while (!err && (p = icalcomponent_get_first_property(kept, ICAL_ANY_PROPERTY))) {
		icalcomponent_remove_property(kept, p);
		err = add(event, p);
	}
	icalcomponent_free(kept);
	return err;
}

/* The calendar in `text`, to be freed, with its one appointment borrowed from it; or NULL. */
static icalcomponent *parse_any(const char *text, icalcomponent **ret_event)
{
	icalcomponent *calendar = icalparser_parse_string(text);
	icalcomponent *event;

	if (!calendar)
		return NULL;
	event = icalcomponent_get_first_component(calendar, ICAL_VEVENT_COMPONENT);
	if (!event || !icalcomponent_get_uid(event)) {
		icalcomponent_free(calendar);
		return NULL;
	}
	*ret_event = event;
	return calendar;
}

/* The same if the appointment has this uid. */
static icalcomponent *parse(const char *text, const char *uid, icalcomponent **ret_event)
{
	icalcomponent *calendar = parse_any(text, ret_event);

	if (!calendar || !strcmp(icalcomponent_get_uid(*ret_event), uid))
		return calendar;
	icalcomponent_free(calendar);
	return NULL;
}

enum sb_ical_holds sb_ical_holds(const char *text, const char *uid)
{
	icalcomponent *event, *calendar = parse_any(text, &event);
	enum sb_ical_holds holds;

	if (!calendar)
		return SB_ICAL_NOTHING;
	holds = strcmp(icalcomponent_get_uid(event), uid) != 0 ? SB_ICAL_ANOTHER : SB_ICAL_THIS;
	icalcomponent_free(calendar);
	return holds;
}

static int print_calendar(icalcomponent *calendar, char **ret_text)
{
	char *text = icalcomponent_as_ical_string_r(calendar);

	if (!text)
		return -ENOMEM;
	*ret_text = strdup(text);
	icalmemory_free_buffer(text);
	return *ret_text ? 0 : -ENOMEM;
}

static int write_calendar(icalcomponent *calendar, const struct sb_server_message *message,
			  const char *old, char **ret_text)
{
	bool cancelled = message->event.change == SB_CHANGE_CANCELLED;
	icalcomponent *event, *old_event = NULL, *old_calendar;
	int err;

	err = add(calendar,
		  icalproperty_new_prodid("-//Slotbell//slotbell-plugin " SB_VERSION "//EN"));
	if (!err)
		err = add(calendar, icalproperty_new_version("2.0"));
	if (!err && cancelled)
		err = add(calendar, icalproperty_new_method(ICAL_METHOD_CANCEL));
	if (err)
		return err;
	event = icalcomponent_new_vevent();
	if (!event)
		return -ENOMEM;
	icalcomponent_add_component(calendar, event);
	old_calendar = old ? parse(old, message->event.booking.uid, &old_event) : NULL;
	err = fill(event, message, old_calendar ? old_event : NULL);
	if (!err && cancelled && old_calendar)
		err = keep_from(event, old_event);
	if (old_calendar)
		icalcomponent_free(old_calendar);
	return err ? err : print_calendar(calendar, ret_text);
}

static bool is_appointment(const struct sb_server_message *message)
{
	const struct sb_booking *booking = &message->event.booking;

	if (!booking->uid || !*booking->uid || booking->version < 1)
		return false;
	if (!is_instant(message->event.published_at_us / 1000000))
		return false;
	if (booking->has_starts_at && !is_instant(booking->starts_at_s))
		return false;
	if (booking->duration_minutes < 0 || booking->duration_minutes > SB_DURATION_MINUTES_MAX)
		return false;
	if (message->event.change == SB_CHANGE_CANCELLED)
		return true;
	return booking->has_starts_at && booking->duration_minutes > 0;
}

int sb_ical_write(const struct sb_server_message *message, const char *old, char **ret_text)
{
	icalcomponent *calendar;
	int64_t version;
	char *text = NULL;
	int err;

	if (!is_appointment(message))
		return -ENOTSUP;
	calendar = icalcomponent_new_vcalendar();
	if (!calendar)
		return -ENOMEM;
	err = write_calendar(calendar, message, old, &text);
	icalcomponent_free(calendar);
	if (err)
		return err;
	/* What we could not find again ourselves would be written anew for ever, or never. */
	if (sb_ical_version(text, message->event.booking.uid, &version) < 0 ||
	    version != message->event.booking.version) {
		free(text);
		return -ENOTSUP;
	}
	*ret_text = text;
	return 0;
}

static bool read_number(const char *text, int64_t *ret_number)
{
	char *end;
	long long number;

	if (!text || !isdigit((unsigned char)*text))
		return false;
	errno = 0;
	number = strtoll(text, &end, 10);
	if (errno || *end)
		return false;
	*ret_number = number;
	return true;
}

static int event_version(icalcomponent *event, int64_t *ret_version)
{
	icalproperty *p;

	for (p = icalcomponent_get_first_property(event, ICAL_X_PROPERTY); p;
	     p = icalcomponent_get_next_property(event, ICAL_X_PROPERTY)) {
		if (!strcmp(icalproperty_get_x_name(p), X_VERSION) &&
		    read_number(icalproperty_get_x(p), ret_version))
			return 0;
	}
	p = icalcomponent_get_first_property(event, ICAL_SEQUENCE_PROPERTY);
	if (!p)
		return -EBADMSG;
	*ret_version = icalproperty_get_sequence(p);
	return 0;
}

int sb_ical_version(const char *text, const char *uid, int64_t *ret_version)
{
	icalcomponent *event, *calendar = parse(text, uid, &event);
	int err;

	if (!calendar)
		return -EBADMSG;
	err = event_version(event, ret_version);
	icalcomponent_free(calendar);
	return err;
}
