-- The checks of what publish() is given. What passes here, every client can read and write down: protocol/limits.h,
-- protocol/schema and the decoders have the same bounds. Errors repeat nothing of what was given.
--
-- Characters are named one by one, never by class: what a class holds depends on the database's locale. E'' says the same
-- whatever the caller's standard_conforming_strings. White space is Unicode's White_Space; controls and what nobody sees
-- are those of protocol/clean.h.

SET LOCAL ROLE slotbell_owner;

-- One e-mail address, and nothing else: NAME@DOMAIN of 3 to 320 characters, without a display name, "mailto:", brackets,
-- quotes or a second address. No white space, no control and no character that nobody sees.
CREATE FUNCTION slotbell.is_address(address text) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp
AS $$
BEGIN
    RETURN coalesce(char_length(address) BETWEEN 3 AND 320 AND address ~ '^[^@]+@[^@]+$' AND address !~
        E'[]["(),:;<>\\\\\u0001-\u0020\u007F-\u00A0\u00AD\u034F\u061C\u115F\u1160\u1680\u17B4\u17B5\u180B-\u180F\u2000-\u200F\u2028-\u202F\u205F-\u206F\u3000\u3164\uFE00-\uFE0D\uFEFF\uFFA0\uFFF0-\uFFFB\U0001BCA0-\U0001BCA3\U0001D173-\U0001D17A\U000E0000-\U000E0FFF]',
        false);
END
$$;

CREATE FUNCTION slotbell.check_mailbox(function_name text, mailbox text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp
AS $$
BEGIN
    IF NOT slotbell.is_address(mailbox) THEN
        RAISE EXCEPTION USING ERRCODE = 'SB001', MESSAGE = format('slotbell.%s: mailbox is not an address', function_name),
            DETAIL = format('It has %s characters; NAME@DOMAIN with 3 to 320 is possible.', coalesce(char_length(mailbox)::text, 'no')),
            HINT = 'Give the address of the Outlook calendar, as in ''ada@example.com''.';
    END IF;
END
$$;

-- A client finds its appointment by this name, and a calendar file does not keep a control character, nor a blank at an end.
CREATE FUNCTION slotbell.check_uid(uid text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp
AS $$
DECLARE
    problem text := CASE
        WHEN uid IS NULL THEN 'It is NULL.'
        WHEN char_length(uid) NOT BETWEEN 1 AND 255 THEN format('It has %s characters; 1 to 255 is possible.', char_length(uid))
        WHEN uid ~ E'[\u0001-\u001F\u007F-\u009F\u2028\u2029]' THEN 'It has a control character or a line break.'
        WHEN uid ~ E'^[\u0020\u00A0\u1680\u2000-\u200A\u202F\u205F\u3000]|[\u0020\u00A0\u1680\u2000-\u200A\u202F\u205F\u3000]$' THEN 'It begins or ends with white space.'
    END;
BEGIN
    IF problem IS NOT NULL THEN
        PERFORM slotbell.refuse('SB002', 'uid is not a name that a booking can have', problem, 'Give the booking''s own name, the same for all its changes.');
    END IF;
END
$$;

-- A person as {"name": …, "email": …}: what is wrong with it, or NULL. A name that is null is absent.
CREATE OR REPLACE FUNCTION slotbell.person_problem(person jsonb) RETURNS text
    LANGUAGE plpgsql IMMUTABLE SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp
AS $$
BEGIN
    RETURN CASE
        WHEN jsonb_typeof(person) IS DISTINCT FROM 'object' THEN 'is not an object'
        WHEN jsonb_typeof(person -> 'email') IS DISTINCT FROM 'string' THEN 'has no email'
        WHEN NOT slotbell.is_address(person ->> 'email') THEN 'has an email that is not one address of 3 to 320 characters'
        WHEN coalesce(jsonb_typeof(person -> 'name'), 'null') NOT IN ('string', 'null') THEN 'has a name that is no text'
        WHEN char_length(person ->> 'name') > 255 THEN 'has a name over 255 characters'
        WHEN person - 'name' - 'email' <> '{}' THEN 'has a field that is neither name nor email'
    END;
END
$$;

-- Checks attendees and gives them back without a name that is null; a problem is refused with SB007. NULL stays NULL.
CREATE OR REPLACE FUNCTION slotbell.checked_attendees(attendees jsonb) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp
AS $$
DECLARE
    problem record;
BEGIN
    IF jsonb_typeof(attendees) <> 'array' THEN
        PERFORM slotbell.refuse('SB007', 'attendees is not a list', format('It is of JSON type %s.', jsonb_typeof(attendees)),
            'Give a list of {"name": "…", "email": "…"}; the name may be left out.');
    END IF;
    IF jsonb_array_length(attendees) > 500 THEN
        PERFORM slotbell.refuse('SB007', 'too many attendees', format('There are %s, 500 is the limit.', jsonb_array_length(attendees)),
            'A meeting this large is better invited by a distribution list.');
    END IF;
    SELECT judged.nth, judged.what INTO problem
    FROM (SELECT nth, slotbell.person_problem(person) AS what FROM jsonb_array_elements(attendees) WITH ORDINALITY AS list(person, nth)) judged
    WHERE judged.what IS NOT NULL ORDER BY judged.nth LIMIT 1;
    IF FOUND THEN
        PERFORM slotbell.refuse('SB007', 'an attendee is not as it should be', format('Attendee %s %s.', problem.nth, problem.what),
            'Give a list of {"name": "…", "email": "…"} with one plain address each; the name may be left out.');
    END IF;
    RETURN jsonb_strip_nulls(attendees);
END
$$;

-- What is wrong with a link, or NULL. A client hands it to another program, so it is narrower than RFC 3986: https://, a
-- host of ASCII letters, digits, '-', '_' and '.' (other names as punycode) or an IPv6 address in brackets, no user name,
-- printable ASCII without blank and backslash, and nothing percent-encoded that decodes to a control character.
-- protocol/link.h has the rule for clients, which accepts whatever passes here.
CREATE FUNCTION slotbell.link_problem(link text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp
AS $$
DECLARE
    authority text[];
BEGIN
    -- No backslash in these patterns: what one means in a string is a setting of the caller's.
    IF char_length(link) > 2048 THEN
        RETURN 'has more than 2048 characters';
    ELSIF link !~ '^[Hh][Tt][Tt][Pp][Ss]://' THEN
        RETURN 'does not begin with https://';
    ELSIF link !~ '^[]!-[^-~]+$' THEN
        RETURN 'has a blank, a backslash or a character that is not printable ASCII';
    END IF;
    authority := regexp_match(link, '^[^/]*//([0-9A-Za-z][0-9A-Za-z._-]*|[[][0-9A-Fa-f:.]{2,}[]])(:([0-9]{1,5}))?([/?#]|$)');
    RETURN CASE
        WHEN authority IS NULL THEN 'has no plain host name'
        WHEN authority[3]::integer NOT BETWEEN 1 AND 65535 THEN 'has a port that does not exist'
        WHEN link ~ '%([^0-9A-Fa-f]|.[^0-9A-Fa-f]|.?$)' THEN 'has a % without two hexadecimal digits'
        WHEN link ~ '%([01].|7[Ff]|[Cc]2%[89]|[Cc][01]|[Ee]2%80%[Aa][89])' THEN 'has a percent-encoded control character'
    END;
END
$$;

-- Checks details and gives them back without what is null; NULL when nothing is left. A problem is refused with SB009.
CREATE FUNCTION slotbell.checked_details(details jsonb) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp
AS $$
DECLARE
    problem text;
BEGIN
    IF details IS NULL OR details = 'null' THEN
        RETURN NULL;
    ELSIF jsonb_typeof(details) <> 'object' THEN
        problem := format('It is of JSON type %s.', jsonb_typeof(details));
    ELSE
        SELECT CASE
            WHEN key NOT IN ('organizer', 'location', 'join_url', 'description') THEN format('There is a field with another name, of %s characters.', char_length(key))
            WHEN value = 'null' THEN NULL
            WHEN key = 'organizer' THEN 'The organizer ' || slotbell.person_problem(value) || '.'
            WHEN jsonb_typeof(value) <> 'string' THEN format('%s is not a text.', key)
            WHEN key = 'location' AND char_length(value #>> '{}') > 1024 THEN 'location has more than 1024 characters.'
            WHEN key = 'join_url' THEN 'join_url ' || slotbell.link_problem(value #>> '{}') || '.'
            WHEN key = 'description' AND char_length(value #>> '{}') > 32768 THEN 'description has more than 32768 characters.'
        END INTO problem
        FROM jsonb_each(details)
        ORDER BY 1 NULLS LAST LIMIT 1;
    END IF;
    IF problem IS NOT NULL THEN
        PERFORM slotbell.refuse('SB009', 'details is not as it should be', problem,
            'Give an object with any of organizer {name, email}, location, join_url (https://…) and description.');
    END IF;
    RETURN nullif(jsonb_strip_nulls(details), '{}');
END
$$;

-- Checks what a booking says, apart from who and which; each problem has its own SQLSTATE. No value is repeated: what was
-- given for the wrong parameter may be a person's name or address.
CREATE OR REPLACE FUNCTION slotbell.check_booking(change text, starts_at timestamptz, duration_minutes integer, time_zone text, subject text)
    RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp
AS $$
DECLARE
    needed boolean := change <> 'cancelled';
    first_time CONSTANT timestamp := '1970-01-01 00:00';
    last_time CONSTANT timestamp := '9999-12-31 23:59:59';
    lasts interval := make_interval(mins => duration_minutes);
BEGIN
    IF (needed AND starts_at IS NULL) OR starts_at NOT BETWEEN '1970-01-01 00:00+00' AND '9999-12-31 23:59:59+00' THEN
        PERFORM slotbell.refuse('SB003', 'starts_at is not a time a meeting can start at',
            format('It is %s; from 1970 to 9999 is possible.', CASE WHEN starts_at IS NULL THEN 'NULL' WHEN NOT isfinite(starts_at) THEN 'infinite'
                WHEN starts_at < '1970-01-01 00:00+00' THEN 'before 1970' ELSE 'after 9999' END), 'Give a timestamptz, as in ''2026-11-24 09:00+00''.');
    END IF;
    IF (needed AND duration_minutes IS NULL) OR duration_minutes NOT BETWEEN 1 AND 44640 THEN
        PERFORM slotbell.refuse('SB004', 'duration_minutes is not a length a meeting can have',
            format('It is %s; from 1 to 44640 (31 days) is possible.', CASE WHEN duration_minutes IS NULL THEN 'NULL' WHEN duration_minutes < 1 THEN 'less' ELSE 'more' END), 'Give whole minutes.');
    END IF;
    IF (needed AND time_zone IS NULL)
       OR (time_zone IS NOT NULL AND NOT EXISTS (SELECT FROM slotbell.time_zone z WHERE z.name = check_booking.time_zone)) THEN
        PERFORM slotbell.refuse('SB005', 'time_zone is not known', coalesce(format('No zone has the name given, of %s characters.', char_length(time_zone)), 'It is NULL.'),
            'Give an IANA name, as in ''Europe/Berlin''; slotbell.time_zone lists them. Upper and lower case matter.');
    END IF;
    -- Clients say begin and end with four digits for the year, in UTC and in time_zone.
    IF slotbell.local_time(starts_at, time_zone) NOT BETWEEN first_time AND last_time OR slotbell.local_time(starts_at, time_zone) + lasts > last_time
        OR (starts_at AT TIME ZONE 'UTC') + lasts > last_time THEN
        PERFORM slotbell.refuse('SB003', 'starts_at is not a time a meeting can start at',
            format('It %s; from 1970 to 9999 is possible, in time_zone as well.', CASE WHEN starts_at < '1980-01-01 00:00+00' THEN 'is before 1970 in time_zone' ELSE 'is or ends after 9999' END),
            'Give a timestamptz, as in ''2026-11-24 09:00+00''.');
    END IF;
    IF (needed AND subject IS NULL) OR char_length(subject) > 255 THEN
        PERFORM slotbell.refuse('SB006', 'subject is missing or too long',
            format('It has %s characters, 255 is the limit.', coalesce(char_length(subject)::text, 'no')), 'Outlook takes no longer one; put the rest into details.description.');
    END IF;
END
$$;

RESET ROLE;
