/*
 * slotbellctl publish: books by hand what a backend books by SQL. It calls
 * slotbell.publish() as a backend would, and nothing else, so what rings here
 * rings there.
 */
#include "daemon/ctl/ctl.h"
#include "daemon/ctl/database.h"
#include "daemon/ctl/output.h"
#include "daemon/ctl/when.h"
#include "protocol/booking.h"
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum {
	OPTION_SUBJECT = 1,
	OPTION_STARTS_AT,
	OPTION_MINUTES,
	OPTION_TIME_ZONE,
	OPTION_ATTENDEE,
	OPTION_UID,
	OPTION_CHANGE,
	OPTION_LOCATION,
	OPTION_JOIN_URL,
	OPTION_DESCRIPTION,
	OPTION_ORGANIZER,
};

#define UID_SIZE (36 + sizeof("@slotbell"))

/* What was typed; NULL is "not said". Strings are borrowed from argv. */
struct typed {
	const char *mailbox, *subject, *starts_at, *minutes, *time_zone, *uid;
	enum sb_change change;
	json_t *attendees; /* array, owned */
	json_t *details;   /* object, owned */
	char new_uid[UID_SIZE];
};

/* A random UUID (RFC 9562, version 4) at ours. False: said why there is none. */
static bool make_uid(char uid[UID_SIZE])
{
	uint8_t b[16];

	if (getrandom(b, sizeof(b), 0) != sizeof(b)) {
		sb_ctl_fail("the system gives no randomness for a uid: %s", strerror(errno));
		return false;
	}
	b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
	(void)snprintf(uid, UID_SIZE,
		       "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x"
		       "@slotbell",
		       b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11],
		       b[12], b[13], b[14], b[15]);
	return true;
}

/* Takes blanks, and then one pair of quotes, from both ends of `text`. */
static void trim(const char **text, size_t *length)
{
	while (*length > 0 && isspace((unsigned char)**text)) {
		++*text;
		--*length;
	}
	while (*length > 0 && isspace((unsigned char)(*text)[*length - 1]))
		--*length;
	if (*length >= 2 && **text == '"' && (*text)[*length - 1] == '"') {
		++*text;
		*length -= 2;
	}
}

/*
 * 'Name <mail>', '"Last, First" <mail>' or 'mail' as {name, email}; NULL when it is not UTF-8, has
 * no end or no @. Whether the address is a good one is the database's to say.
 */
static json_t *read_person(const char *text)
{
	const char *open = strrchr(text, '<');
	const char *name = text, *email = text;
	size_t name_length = 0, email_length = strlen(text);

	trim(&email, &email_length);
	if (open) {
		if (email_length == 0 || email[email_length - 1] != '>')
			return NULL;
		name_length = (size_t)(open - text);
		email_length = (size_t)(email + email_length - 1 - (open + 1));
		email = open + 1;
		trim(&name, &name_length);
		trim(&email, &email_length);
	}
	if (!memchr(email, '@', email_length))
		return NULL;
	return json_pack("{s:s%, s:s%}", "name", name, name_length, "email", email, email_length);
}

/* False: said why, and ctl->status is set. */
static bool read_option(struct sb_ctl *ctl, int option, struct typed *typed)
{
	static const char *const detail_keys[] = {
		[OPTION_LOCATION] = "location",
		[OPTION_JOIN_URL] = "join_url",
		[OPTION_DESCRIPTION] = "description",
		[OPTION_ORGANIZER] = "organizer",
	};
	json_t *value = NULL;
	long long minutes;

	switch (option) {
	case OPTION_SUBJECT:
		typed->subject = optarg;
		return true;
	case OPTION_TIME_ZONE:
		typed->time_zone = optarg;
		return true;
	case OPTION_UID:
		typed->uid = optarg;
		return true;
	case OPTION_STARTS_AT:
		typed->starts_at = optarg;
		if (sb_time_form(optarg) != SB_TIME_BAD)
			return true;
		sb_ctl_usage(ctl,
			     "--starts-at %s: say a time as in RFC 3339, like"
			     " 2026-11-24T10:00+01:00, or without an offset for that time in"
			     " --time-zone",
			     optarg);
		return false;
	case OPTION_MINUTES:
		typed->minutes = optarg;
		if (sb_ctl_number(optarg, 0, INT_MAX, &minutes))
			return true;
		sb_ctl_usage(ctl, "--minutes %s: say a whole number", optarg);
		return false;
	case OPTION_CHANGE:
		if (sb_change_parse(optarg, &typed->change) == 0)
			return true;
		sb_ctl_usage(ctl, "--change %s: say created, updated or cancelled", optarg);
		return false;
	case OPTION_ATTENDEE:
	case OPTION_ORGANIZER:
		value = read_person(optarg);
		if (!value) {
			sb_ctl_usage(ctl, "'%s' is nobody: say 'Name <mail>', or the mail address",
				     optarg);
			return false;
		}
		break;
	default:
		value = json_string(optarg);
		if (!value) {
			sb_ctl_usage(ctl, "--%s: '%s' is not UTF-8", detail_keys[option], optarg);
			return false;
		}
	}
	if (option == OPTION_ATTENDEE)
		sb_need(json_array_append_new(typed->attendees, value) == 0);
	else
		sb_need(json_object_set_new(typed->details, detail_keys[option], value) == 0);
	return true;
}

/* Whether what the change needs was said; and fills in what goes without saying. */
static bool complete(struct sb_ctl *ctl, struct typed *typed)
{
	const char *change = sb_change_word(typed->change);

	if (typed->change != SB_CHANGE_CREATED && !typed->uid) {
		sb_ctl_usage(ctl, "--change %s needs --uid: which booking?", change);
		return false;
	}
	if (typed->change != SB_CHANGE_CANCELLED &&
	    (!typed->subject || !typed->starts_at || !typed->minutes)) {
		sb_ctl_usage(ctl, "a booking %s needs --subject, --starts-at and --minutes",
			     change);
		return false;
	}
	if (!typed->time_zone && typed->starts_at)
		typed->time_zone = sb_system_time_zone();
	if (!typed->uid) {
		if (!make_uid(typed->new_uid)) {
			ctl->status = SB_EXIT_FAILED;
			return false;
		}
		typed->uid = typed->new_uid;
	}
	return true;
}

/* The object as text for a parameter, the caller's to free(); NULL when it is empty. */
static char *as_parameter(const json_t *value)
{
	char *text;

	if (json_is_array(value) ? json_array_size(value) == 0 : json_object_size(value) == 0)
		return NULL;
	text = json_dumps(value, JSON_COMPACT);
	sb_need(text);
	return text;
}

static enum sb_exit report(const struct sb_ctl *ctl, const struct typed *typed, const char *event)
{
	char *uid;

	if (ctl->json) {
		json_t *number = event ? json_integer(strtoll(event, NULL, 10)) : json_null();

		sb_print_json(json_pack("{s:o, s:s}", "event", number, "uid", typed->uid));
	} else if (event) {
		uid = sb_clean(typed->uid, false);
		printf("%s %s\n", event, uid);
		free(uid);
	}
	if (!event)
		sb_ctl_say("Nothing rings. Either no plug-in is enrolled for %s (`slotbellctl"
			   " device list`),\nor this is what the booking with this uid is"
			   " already, or it was cancelled before.",
			   typed->mailbox);
	return SB_EXIT_DONE;
}

static enum sb_exit publish(struct sb_ctl *ctl, const struct typed *typed)
{
	PGconn *database = sb_database_open(ctl);
	bool is_local = typed->starts_at && sb_time_form(typed->starts_at) == SB_TIME_LOCAL;
	char *attendees, *details;
	PGresult *result;

	if (!database)
		return ctl->status;
	attendees = as_parameter(typed->attendees);
	details = as_parameter(typed->details);
	result = sb_database_query(
		database,
		"SELECT slotbell.publish(mailbox => $1::pg_catalog.text, uid => "
		"$2::pg_catalog.text,"
		" starts_at => coalesce($3::timestamp with time zone,"
		"  $4::timestamp AT TIME ZONE $6::pg_catalog.text),"
		" duration_minutes => $5::int, time_zone => $6::pg_catalog.text,"
		" subject => $7::pg_catalog.text, attendees => $8::pg_catalog.jsonb,"
		" change => $9::pg_catalog.text, details => $10::pg_catalog.jsonb)",
		10,
		(const char *const[]){
			typed->mailbox, typed->uid, is_local ? NULL : typed->starts_at,
			is_local ? typed->starts_at : NULL, typed->minutes, typed->time_zone,
			typed->subject, attendees, sb_change_word(typed->change), details});
	ctl->status = SB_EXIT_FAILED;
	if (result)
		ctl->status = report(ctl, typed, sb_database_value(result, 0, 0));
	free(attendees);
	free(details);
	PQclear(result);
	PQfinish(database);
	return ctl->status;
}

static enum sb_exit run(struct sb_ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
		{"subject", required_argument, NULL, OPTION_SUBJECT},
		{"starts-at", required_argument, NULL, OPTION_STARTS_AT},
		{"minutes", required_argument, NULL, OPTION_MINUTES},
		{"time-zone", required_argument, NULL, OPTION_TIME_ZONE},
		{"attendee", required_argument, NULL, OPTION_ATTENDEE},
		{"uid", required_argument, NULL, OPTION_UID},
		{"change", required_argument, NULL, OPTION_CHANGE},
		{"location", required_argument, NULL, OPTION_LOCATION},
		{"join-url", required_argument, NULL, OPTION_JOIN_URL},
		{"description", required_argument, NULL, OPTION_DESCRIPTION},
		{"organizer", required_argument, NULL, OPTION_ORGANIZER},
		SB_CTL_OPTIONS,
	};
	struct typed typed = {.attendees = json_array(), .details = json_object()};
	bool good = true;
	int option;

	sb_need(typed.attendees && typed.details);
	while (good && (option = sb_ctl_next(ctl, argc, argv, options)) != SB_CTL_END)
		good = option != SB_CTL_STOP && read_option(ctl, option, &typed);
	if (good && sb_ctl_arguments_left(ctl, argc, argv, 1) && complete(ctl, &typed)) {
		typed.mailbox = argv[optind];
		ctl->status = publish(ctl, &typed);
	}
	json_decref(typed.attendees);
	json_decref(typed.details);
	return ctl->status;
}

const struct sb_ctl_command sb_command_publish = {
	.group = "publish",
	.arguments = "MAILBOX --subject S --starts-at T --minutes N [OPTION]…",
	.summary = "Books a meeting by hand, as a booking backend would",
	.help = "  --subject S        the appointment's subject\n"
		"  --starts-at T      2026-11-24T10:00:00+01:00, as in RFC 3339; without an offset "
		"it\n"
		"                     is that time in --time-zone\n"
		"  --minutes N        how long it is\n"
		"  --time-zone Z      its zone, like Europe/Berlin (without it: this system's, or "
		"UTC)\n"
		"  --attendee WHO     'Name <mail>', or a mail address; once for each\n"
		"  --uid U            the booking's name for good (without it: a new one)\n"
		"  --change C         created (without it), updated or cancelled; the last two "
		"need\n"
		"                     --uid, and cancelled needs nothing more\n"
		"  --organizer WHO, --location L, --join-url U, --description D\n"
		"\n"
		"Prints the event's number and the uid. When nothing rings it says so on standard\n"
		"error, and prints no number; that is no failure.\n"
		"\n"
		"Examples:\n"
		"  slotbellctl publish ada@example.com --subject 'Intro call' \\\n"
		"    --starts-at 2026-11-24T10:00 --time-zone Europe/Berlin --minutes 30 \\\n"
		"    --attendee 'Grace Hopper <grace@example.com>'\n"
		"  slotbellctl publish ada@example.com --uid 42@shop --change cancelled\n",
	.run = run,
};
