-- publish(): what the booking backend calls, and the numbering at its commit.
--
-- What it calls is in PL/pgSQL: an SQL function that cannot be inlined is planned anew at each call, and one such, for an
-- attendee, was half of publish().
--
-- Both without sequential scans: a backend's connection keeps their plans for
-- as long as it lives, and the event table, which is near empty when all is
-- delivered, may be large an hour later.

SET LOCAL ROLE slotbell_owner;

-- A new epoch's name: 8 random characters of [0-9a-f].
CREATE FUNCTION slotbell.new_epoch_name() RETURNS text
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp
    AS $$ SELECT substr(md5(gen_random_uuid()::text), 1, 8) $$;

-- Which cluster on which timeline is writing. A standby that was promoted has
-- another timeline at once (pg_control_checkpoint() would tell it only after
-- its next checkpoint), a restored dump another system identifier. Where a
-- hosted PostgreSQL does not offer these functions, zeros: then an epoch
-- is opened by hand, see new_epoch().
DO $detect$
BEGIN
    PERFORM system_identifier FROM pg_control_system();
    PERFORM pg_walfile_name(pg_current_wal_lsn());
    CREATE FUNCTION slotbell.history(OUT system_id bigint, OUT timeline integer)
        LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp
        AS $$ BEGIN
            SELECT system_identifier, ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::integer
            INTO history.system_id, history.timeline FROM pg_control_system();
        END $$;
EXCEPTION
    WHEN insufficient_privilege OR undefined_function OR feature_not_supported THEN
        RAISE WARNING 'failovers cannot be detected here: pg_control_system() or pg_walfile_name() is not offered'
            USING HINT = 'After a failover or a restore run: slotbellctl db new-epoch';
        CREATE FUNCTION slotbell.history(OUT system_id bigint, OUT timeline integer)
            LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp
            AS $$ SELECT 0::bigint, 0 $$;
END
$detect$;

-- Numbers are given at commit: a deferred trigger, so it runs when all else of
-- the transaction is done. It locks the mailboxes of this transaction in id
-- order, so two transactions cannot deadlock here whatever order they published
-- in, and it holds them for the rest of the commit only. Per mailbox, seq
-- order is commit order, without a hole, and nobody sees 43 before 42.
CREATE FUNCTION slotbell.number_events() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp SET enable_seqscan = off
AS $$
DECLARE
    pending record;
    here record;
    numbered record;
BEGIN
    -- The first firing numbers all events of the transaction. The others see by one look that theirs has its number: to look
    -- for all that are left would pass over all that were numbered just now.
    IF NOT EXISTS (SELECT FROM slotbell.event e WHERE e.xact = pg_current_xact_id() AND e.uid = NEW.uid AND e.id = NEW.id AND e.seq IS NULL) THEN
        RETURN NULL;
    END IF;
    FOR pending IN
        SELECT mailbox_id, count(*) AS events FROM slotbell.event
        WHERE xact = pg_current_xact_id() AND seq IS NULL GROUP BY mailbox_id ORDER BY mailbox_id
    LOOP
        IF here IS NULL THEN
            SELECT * INTO here FROM slotbell.history();
        END IF;
        -- No number is ever used twice: on another cluster or timeline than the last time, a new epoch
        -- that begins far beyond anything which may have been given and lost.
        UPDATE slotbell.mailbox m SET
            previous_epoch = CASE WHEN same THEN m.previous_epoch ELSE m.epoch END,
            epoch = CASE WHEN same THEN m.epoch ELSE slotbell.new_epoch_name() END,
            base = CASE WHEN same THEN m.base ELSE m.head END,
            head = m.head + CASE WHEN same THEN 0 ELSE 1000000 END
                   + CASE WHEN m.device_count > 0 THEN pending.events ELSE 0 END,
            system_id = here.system_id,
            timeline = here.timeline
        FROM (SELECT id, (system_id, timeline) IS NOT DISTINCT FROM (here.system_id, here.timeline) AS same
              FROM slotbell.mailbox WHERE id = pending.mailbox_id FOR UPDATE) locked
        WHERE m.id = locked.id
        RETURNING m.head, m.device_count INTO numbered;
        IF NOT FOUND THEN
            RAISE EXCEPTION USING ERRCODE = 'serialization_failure', MESSAGE = 'slotbell: a mailbox was removed while a booking for it was made',
                DETAIL = 'Nobody had a plug-in for it for a long time.', HINT = 'Repeat the transaction.';
        END IF;

        IF numbered.device_count > 0 THEN
            WITH ordered AS (
                SELECT ctid, row_number() OVER (ORDER BY id) AS nth FROM slotbell.event
                WHERE xact = pg_current_xact_id() AND seq IS NULL AND mailbox_id = pending.mailbox_id
            ), given AS (
                UPDATE slotbell.event e
                SET seq = numbered.head - pending.events + ordered.nth, published_at = clock_timestamp()
                FROM ordered WHERE e.ctid = ordered.ctid
                RETURNING e.uid, e.seq
            )
            UPDATE slotbell.booking_state s SET version = newest.seq
            FROM (SELECT uid, max(seq) AS seq FROM given GROUP BY uid) newest
            WHERE s.mailbox_id = pending.mailbox_id AND s.uid = newest.uid;
            PERFORM pg_notify('slotbell_wake', pending.mailbox_id::text);
        ELSE
            -- No plug-in, no copy. Looked at under the lock that enrolment takes: one that commits before this
            -- booking is seen here.
            WITH gone AS (
                DELETE FROM slotbell.event
                WHERE xact = pg_current_xact_id() AND seq IS NULL AND mailbox_id = pending.mailbox_id
                RETURNING uid
            )
            DELETE FROM slotbell.booking_state s USING gone
            WHERE s.mailbox_id = pending.mailbox_id AND s.uid = gone.uid;
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;

CREATE CONSTRAINT TRIGGER number_events AFTER INSERT ON slotbell.event
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slotbell.number_events();

-- Says no, in the four parts that a developer needs.
CREATE FUNCTION slotbell.refuse(code text, message text, detail text, hint text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = code, MESSAGE = 'slotbell.publish: ' || message, DETAIL = detail, HINT = hint;
END
$$;

-- A person as {"name": …, "email": …}: what is wrong with it, or NULL.
CREATE FUNCTION slotbell.person_problem(person jsonb) RETURNS text
    LANGUAGE plpgsql IMMUTABLE SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp
AS $$
BEGIN
    RETURN CASE
        WHEN jsonb_typeof(person) IS DISTINCT FROM 'object' THEN 'is not an object'
        WHEN jsonb_typeof(person -> 'email') IS DISTINCT FROM 'string' THEN 'has no email'
        WHEN char_length(person ->> 'email') NOT BETWEEN 1 AND 320 THEN 'has an email that is empty or over 320 characters'
        WHEN coalesce(jsonb_typeof(person -> 'name'), 'string') NOT IN ('string', 'null') THEN 'has a name that is no text'
        WHEN char_length(person ->> 'name') > 255 THEN 'has a name over 255 characters'
        WHEN person - 'name' - 'email' <> '{}' THEN 'has a field that is neither name nor email'
    END;
END
$$;

-- Checks attendees and gives them back with every name a text; a problem is refused with SB007.
CREATE FUNCTION slotbell.checked_attendees(attendees jsonb) RETURNS jsonb
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
    SELECT nth, slotbell.person_problem(person) AS what INTO problem
    FROM jsonb_array_elements(attendees) WITH ORDINALITY AS list(person, nth)
    WHERE slotbell.person_problem(person) IS NOT NULL ORDER BY nth LIMIT 1;
    IF FOUND THEN
        PERFORM slotbell.refuse('SB007', 'an attendee is not as it should be', format('Attendee %s %s.', problem.nth, problem.what),
            'Give a list of {"name": "…", "email": "…"}; the name may be left out.');
    END IF;
    RETURN (SELECT coalesce(jsonb_agg(jsonb_build_object('name', coalesce(person ->> 'name', ''), 'email', person ->> 'email') ORDER BY nth), '[]')
            FROM jsonb_array_elements(attendees) WITH ORDINALITY AS list(person, nth));
END
$$;

-- Checks details; a problem is refused with SB009.
CREATE FUNCTION slotbell.check_details(details jsonb) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp
AS $$
DECLARE
    problem text;
BEGIN
    IF jsonb_typeof(details) <> 'object' THEN
        problem := format('It is of JSON type %s.', jsonb_typeof(details));
    ELSE
        SELECT CASE
            WHEN key NOT IN ('organizer', 'location', 'join_url', 'description') THEN format('There is a field %s.', left(key, 40))
            WHEN key = 'organizer' THEN 'The organizer ' || slotbell.person_problem(value) || '.'
            WHEN jsonb_typeof(value) <> 'string' THEN format('%s is not a text.', key)
            WHEN key = 'location' AND char_length(value #>> '{}') > 1024 THEN 'location has more than 1024 characters.'
            WHEN key = 'join_url' AND char_length(value #>> '{}') > 2048 THEN 'join_url has more than 2048 characters.'
            WHEN key = 'description' AND char_length(value #>> '{}') > 32768 THEN 'description has more than 32768 characters.'
        END INTO problem
        FROM jsonb_each(details)
        ORDER BY 1 NULLS LAST LIMIT 1;
    END IF;
    IF problem IS NOT NULL THEN
        PERFORM slotbell.refuse('SB009', 'details is not as it should be', problem,
            'Give an object with any of organizer {name, email}, location, join_url and description.');
    END IF;
END
$$;

-- Checks what a booking says, apart from who and which; each problem has its own SQLSTATE.
CREATE FUNCTION slotbell.check_booking(change text, starts_at timestamptz, duration_minutes integer, time_zone text, subject text)
    RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp
AS $$
DECLARE
    needed boolean := change <> 'cancelled';
BEGIN
    IF (needed AND starts_at IS NULL) OR starts_at NOT BETWEEN '1970-01-01 00:00+00' AND '9999-12-31 23:59:59+00' THEN
        PERFORM slotbell.refuse('SB003', 'starts_at is not a time a meeting can start at',
            format('It is %s; from 1970 to 9999 is possible.', coalesce(starts_at::text, 'NULL')), 'Give a timestamptz, as in ''2026-11-24 09:00+00''.');
    END IF;
    IF (needed AND duration_minutes IS NULL) OR duration_minutes NOT BETWEEN 1 AND 44640 THEN
        PERFORM slotbell.refuse('SB004', 'duration_minutes is not a length a meeting can have',
            format('It is %s; from 1 to 44640 (31 days) is possible.', coalesce(duration_minutes::text, 'NULL')), 'Give whole minutes.');
    END IF;
    IF (needed AND time_zone IS NULL)
       OR (time_zone IS NOT NULL AND NOT EXISTS (SELECT FROM slotbell.time_zone z WHERE z.name = check_booking.time_zone)) THEN
        PERFORM slotbell.refuse('SB005', 'time_zone is not known', format('It is %s.', coalesce(quote_literal(left(time_zone, 64)), 'NULL')),
            'Give an IANA name, as in ''Europe/Berlin''; slotbell.time_zone lists them. Upper and lower case matter.');
    END IF;
    IF (needed AND subject IS NULL) OR char_length(subject) > 255 THEN
        PERFORM slotbell.refuse('SB006', 'subject is missing or too long',
            format('It has %s characters, 255 is the limit.', coalesce(char_length(subject)::text, 'no')), 'Outlook takes no longer one; put the rest into details.description.');
    END IF;
END
$$;

-- The lock between who publishes for an address that nobody has enrolled, and who enrols it. One of 256, so that a
-- transaction over any number of addresses holds no more: PostgreSQL's table of locks is small, and fails all when full.
CREATE FUNCTION slotbell.address_lock(address text) RETURNS bigint
    LANGUAGE plpgsql IMMUTABLE SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp
    AS $$ BEGIN RETURN hashtextextended('slotbell ' || (hashtextextended(address, 0) & 255), 0); END $$;

-- Publishes a change of a booking: the bell rings if, and only if, the caller's
-- transaction commits. Returns an event id (not the seq, which is given at
-- commit), or NULL when nothing rings: nobody has a plug-in for this mailbox,
-- the booking is as it was, or it was cancelled before.
--
-- created and updated need starts_at, duration_minutes, time_zone and subject;
-- cancelled needs only mailbox and uid. starts_at is cut to the second.
-- SQLSTATEs: SB001 mailbox, SB002 uid, SB003 starts_at, SB004 duration_minutes,
-- SB005 time_zone, SB006 subject, SB007 attendees, SB008 change, SB009 details,
-- SB010 over 64 KiB in all.
CREATE FUNCTION slotbell.publish(
    mailbox text,
    uid text,
    starts_at timestamptz DEFAULT NULL,
    duration_minutes integer DEFAULT NULL,
    time_zone text DEFAULT NULL,
    subject text DEFAULT NULL,
    attendees jsonb DEFAULT NULL,
    change text DEFAULT 'created',
    details jsonb DEFAULT NULL
) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp SET enable_seqscan = off
AS $$
#variable_conflict use_variable
DECLARE
    at_address text := lower(mailbox);
    to_mailbox bigint;
    new_state bytea;
    size integer;
    is_cancel boolean := change = 'cancelled';
    event_id bigint;
BEGIN
    IF mailbox IS NULL OR char_length(mailbox) NOT BETWEEN 3 AND 320 OR mailbox !~ '^[^@[:space:][:cntrl:]]+@[^@[:space:][:cntrl:]]+$' THEN
        PERFORM slotbell.refuse('SB001', 'mailbox is not an address',
            format('It has %s characters; NAME@DOMAIN with 3 to 320 is possible.', coalesce(char_length(mailbox)::text, 'no')),
            'Give the address of the Outlook calendar, as in ''ada@example.com''.');
    END IF;
    IF uid IS NULL OR char_length(uid) NOT BETWEEN 1 AND 255 OR uid ~ '[[:cntrl:]]' THEN
        PERFORM slotbell.refuse('SB002', 'uid is missing, too long or has control characters',
            format('It has %s characters; 1 to 255 is possible.', coalesce(char_length(uid)::text, 'no')),
            'Give the booking''s own name, the same for all its changes.');
    END IF;
    IF change IS NULL OR change NOT IN ('created', 'updated', 'cancelled') THEN
        PERFORM slotbell.refuse('SB008', 'change is not known', format('It is %s.', coalesce(quote_literal(left(change, 20)), 'NULL')),
            'Give ''created'', ''updated'' or ''cancelled''.');
    END IF;
    PERFORM slotbell.check_booking(change, starts_at, duration_minutes, time_zone, subject);
    IF attendees IS NOT NULL OR NOT is_cancel THEN
        attendees := slotbell.checked_attendees(coalesce(attendees, '[]'));
    END IF;
    IF details IS NOT NULL THEN
        PERFORM slotbell.check_details(details);
    END IF;
    size := 128 + octet_length(uid) + coalesce(octet_length(time_zone), 0) + coalesce(octet_length(subject), 0)
            + coalesce(octet_length(attendees::text), 0) + coalesce(octet_length(details::text), 0);
    IF size > 65536 THEN
        PERFORM slotbell.refuse('SB010', 'the event is too large', format('It has %s bytes in all, 65536 is the limit.', size),
            'Shorten details.description or the list of attendees.');
    END IF;

    SELECT m.id INTO to_mailbox FROM slotbell.mailbox m WHERE m.address = at_address;
    IF to_mailbox IS NULL THEN
        -- Nobody is enrolled. Whoever enrols this address now waits for this transaction, or was before it: look again.
        PERFORM pg_advisory_xact_lock_shared(slotbell.address_lock(at_address));
        SELECT m.id INTO to_mailbox FROM slotbell.mailbox m WHERE m.address = at_address;
        IF to_mailbox IS NULL THEN
            RETURN NULL;
        END IF;
    END IF;

    starts_at := date_trunc('second', starts_at);
    new_state := sha256(convert_to(ROW(extract(epoch FROM starts_at), duration_minutes, time_zone, subject, attendees, details)::text, 'UTF8'));

    -- One statement takes the booking's row, compares and replaces: the same state rings once, and what was
    -- cancelled stays so, also when several transactions publish the same booking.
    INSERT INTO slotbell.booking_state AS s (mailbox_id, uid, state_hash, cancelled, ends_at)
    VALUES (to_mailbox, uid, new_state, is_cancel, greatest(starts_at + make_interval(mins => duration_minutes), now()))
    ON CONFLICT ON CONSTRAINT booking_state_pkey DO UPDATE
        SET state_hash = excluded.state_hash, cancelled = excluded.cancelled, ends_at = greatest(s.ends_at, excluded.ends_at), version = NULL
        WHERE NOT s.cancelled AND (excluded.cancelled OR s.state_hash <> excluded.state_hash
            -- Known to all but a device that came later, or lost it: for that one it rings again. See resync().
            OR s.version <= (SELECT max(n.lacks_to) FROM slotbell.resync_need n WHERE n.mailbox_id = s.mailbox_id));
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;

    INSERT INTO slotbell.event (mailbox_id, change, uid, starts_at, starts_local, time_zone, duration_minutes, subject, attendees, details, octets)
    VALUES (to_mailbox, change, uid, starts_at, starts_at AT TIME ZONE time_zone, time_zone, duration_minutes, subject, attendees, details, size)
    RETURNING id INTO event_id;

    -- A booking that was said to be committed must not vanish in a crash. Lasts for this transaction.
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    RETURN event_id;
END
$$;
GRANT EXECUTE ON FUNCTION slotbell.publish(text, text, timestamptz, integer, text, text, jsonb, text, jsonb)
    TO slotbell_publisher, slotbell_admin;
GRANT SELECT ON slotbell.time_zone TO slotbell_publisher, slotbell_admin;

-- Opens a new epoch for every mailbox: after a dump was restored, and after a
-- failover where it is not detected. Returns how many mailboxes there are.
CREATE FUNCTION slotbell.new_epoch() RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp
AS $$
DECLARE
    here record;
    touched bigint;
BEGIN
    SELECT * INTO here FROM slotbell.history();
    -- In id order, as every numbering commit locks them.
    PERFORM id FROM slotbell.mailbox ORDER BY id FOR UPDATE;
    UPDATE slotbell.mailbox SET previous_epoch = epoch, epoch = slotbell.new_epoch_name(), base = head, head = head + 1000000,
        system_id = here.system_id, timeline = here.timeline;
    GET DIAGNOSTICS touched = ROW_COUNT;
    RETURN touched;
END
$$;
GRANT EXECUTE ON FUNCTION slotbell.new_epoch() TO slotbell_admin;

RESET ROLE;
