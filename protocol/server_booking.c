/*
 * A booking as a client reads it.
 *
 * What is there must be right; what is missing is left to the client, which
 * acks what it cannot write as failed, as it does what is refused here. null is
 * as good as missing: publish() took it once.
 */
#include "protocol/server_booking.h"
#include "protocol/instant.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define INSTANT_CHARS 20 /* "2026-11-24T09:00:00Z": bookings begin on whole seconds */

static int decode_times(const json_t *object, struct sb_booking *booking,
			struct sb_refusal *ret_refusal)
{
	const char *starts_at = NULL;
	int64_t us = 0, minutes = 0;
	int result = sb_json_string(object, "booking.booking.starts_at", SB_JSON_NULLABLE, 0,
				    SIZE_MAX, &starts_at, ret_refusal);

	if (result < 0)
		return result;
	if (starts_at) {
		if (strlen(starts_at) != INSTANT_CHARS ||
		    sb_instant_parse(starts_at, INSTANT_CHARS, &us) < 0)
			return sb_json_refuse(ret_refusal,
					      "booking.booking.starts_at is not an instant");
		booking->has_starts_at = true;
		booking->starts_at_s = us / 1000000;
	}
	result = sb_json_string(object, "booking.booking.starts_local", SB_JSON_NULLABLE, 0,
				SIZE_MAX, &booking->starts_local, ret_refusal);
	if (result < 0)
		return result;
	if (*booking->starts_local &&
	    !sb_local_time_valid(booking->starts_local, strlen(booking->starts_local)))
		return sb_json_refuse(ret_refusal,
				      "booking.booking.starts_local is not a local time");
	result = sb_json_string(object, "booking.booking.time_zone", SB_JSON_NULLABLE, 1,
				SB_TIME_ZONE_MAX, &booking->time_zone, ret_refusal);
	if (result == 0)
		result = sb_json_int(object, "booking.booking.duration_minutes", SB_JSON_NULLABLE,
				     SB_DURATION_MINUTES_MIN, SB_DURATION_MINUTES_MAX, &minutes,
				     ret_refusal);
	booking->duration_minutes = (int)minutes;
	return result;
}

/* Somebody with an address. `path` ends where their fields begin. */
static int decode_person(const json_t *object, const char *path, struct sb_attendee *person,
			 struct sb_refusal *ret_refusal)
{
	char field[64];
	int result;

	(void)snprintf(field, sizeof(field), "%s.name", path);
	result = sb_json_string(object, field, SB_JSON_NULLABLE, 0, SB_NAME_MAX, &person->name,
				ret_refusal);
	if (result < 0)
		return result;
	(void)snprintf(field, sizeof(field), "%s.email", path);
	return sb_json_string(object, field, SB_JSON_REQUIRED, 1, SB_EMAIL_MAX, &person->email,
			      ret_refusal);
}

static int decode_attendees(struct sb_json *json, const json_t *object, struct sb_booking *booking,
			    struct sb_refusal *ret_refusal)
{
	const json_t *list = NULL, *item;
	size_t i;
	int result = sb_json_list(object, "booking.booking.attendees", SB_JSON_NULLABLE,
				  SB_ATTENDEES_MAX, &list, ret_refusal);

	if (result < 0 || !list || json_array_size(list) == 0)
		return result;
	booking->attendees =
		sb_json_alloc(json, json_array_size(list), sizeof(*booking->attendees));
	if (!booking->attendees)
		return -ENOMEM;
	json_array_foreach(list, i, item)
	{
		char path[48];

		(void)snprintf(path, sizeof(path), "booking.booking.attendees[%zu]", i);
		if (!json_is_object(item))
			return sb_json_refuse(ret_refusal, "%s is not an object", path);
		booking->attendees[i].name = "";
		result = decode_person(item, path, &booking->attendees[i], ret_refusal);
		if (result < 0)
			return result;
		booking->attendee_count = i + 1;
	}
	return 0;
}

static int decode_details(const json_t *object, struct sb_booking *booking,
			  struct sb_refusal *ret_refusal)
{
	const json_t *organizer = NULL;
	int result = sb_json_object(object, "booking.booking.organizer", SB_JSON_NULLABLE,
				    &organizer, ret_refusal);

	if (result == 0 && organizer)
		result = decode_person(organizer, "booking.booking.organizer", &booking->organizer,
				       ret_refusal);
	if (result == 0)
		result = sb_json_string(object, "booking.booking.location", SB_JSON_NULLABLE, 0,
					SB_LOCATION_MAX, &booking->location, ret_refusal);
	if (result == 0)
		result = sb_json_string(object, "booking.booking.join_url", SB_JSON_NULLABLE, 0,
					SB_JOIN_URL_MAX, &booking->join_url, ret_refusal);
	if (result == 0)
		result = sb_json_string(object, "booking.booking.description", SB_JSON_NULLABLE, 0,
					SB_DESCRIPTION_MAX, &booking->description, ret_refusal);
	return result;
}

int sb_booking_decode(struct sb_json *json, const json_t *object, struct sb_booking *ret_booking,
		      struct sb_refusal *ret_refusal)
{
	int result;

	*ret_booking = (struct sb_booking){
		.uid = "",
		.starts_local = "",
		.time_zone = "",
		.subject = "",
		.organizer = {.name = "", .email = ""},
		.location = "",
		.join_url = "",
		.description = "",
	};
	result = sb_json_string(object, "booking.booking.uid", SB_JSON_REQUIRED, 1, SB_UID_MAX,
				&ret_booking->uid, ret_refusal);
	if (result == 0)
		result = sb_json_int(object, "booking.booking.version", SB_JSON_REQUIRED, 1,
				     INT64_MAX, &ret_booking->version, ret_refusal);
	if (result == 0)
		result = sb_json_string(object, "booking.booking.subject", SB_JSON_NULLABLE, 0,
					SB_SUBJECT_MAX, &ret_booking->subject, ret_refusal);
	if (result == 0)
		result = decode_times(object, ret_booking, ret_refusal);
	if (result == 0)
		result = decode_attendees(json, object, ret_booking, ret_refusal);
	if (result == 0)
		result = decode_details(object, ret_booking, ret_refusal);
	return result;
}
