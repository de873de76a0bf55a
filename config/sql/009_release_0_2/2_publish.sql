-- publish(), with locks that nobody else can hold. 2_checks.sql has its checks.

SET LOCAL ROLE slotbell_owner;

-- Who publishes for an address that nobody has enrolled, and who enrols it, meet at one of these: the publisher takes ROW
-- SHARE, which it shares with all others, the enrolment EXCLUSIVE. They are tables, always empty, because a role needs a
-- right on a table to lock it: an advisory lock is anybody's. ROW SHARE writes nothing and costs what an advisory lock
-- costs. There are 16, so that a transaction over any number of addresses holds no more: PostgreSQL's table of locks is
-- small, and fails all when full.
DO $tables$
BEGIN
    FOR slot IN 0 .. 15 LOOP
        EXECUTE format('CREATE TABLE slotbell.address_lock_%s ()', slot);
    END LOOP;
END
$tables$;

-- Holds off the enrolment of this address until the transaction ends. Its counterpart is wait_for_publishers().
CREATE FUNCTION slotbell.hold_off_enrolment(address text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp
AS $$
BEGIN
    CASE hashtextextended(address, 0) & 15
        WHEN 0 THEN LOCK TABLE slotbell.address_lock_0 IN ROW SHARE MODE;
        WHEN 1 THEN LOCK TABLE slotbell.address_lock_1 IN ROW SHARE MODE;
        WHEN 2 THEN LOCK TABLE slotbell.address_lock_2 IN ROW SHARE MODE;
        WHEN 3 THEN LOCK TABLE slotbell.address_lock_3 IN ROW SHARE MODE;
        WHEN 4 THEN LOCK TABLE slotbell.address_lock_4 IN ROW SHARE MODE;
        WHEN 5 THEN LOCK TABLE slotbell.address_lock_5 IN ROW SHARE MODE;
        WHEN 6 THEN LOCK TABLE slotbell.address_lock_6 IN ROW SHARE MODE;
        WHEN 7 THEN LOCK TABLE slotbell.address_lock_7 IN ROW SHARE MODE;
        WHEN 8 THEN LOCK TABLE slotbell.address_lock_8 IN ROW SHARE MODE;
        WHEN 9 THEN LOCK TABLE slotbell.address_lock_9 IN ROW SHARE MODE;
        WHEN 10 THEN LOCK TABLE slotbell.address_lock_10 IN ROW SHARE MODE;
        WHEN 11 THEN LOCK TABLE slotbell.address_lock_11 IN ROW SHARE MODE;
        WHEN 12 THEN LOCK TABLE slotbell.address_lock_12 IN ROW SHARE MODE;
        WHEN 13 THEN LOCK TABLE slotbell.address_lock_13 IN ROW SHARE MODE;
        WHEN 14 THEN LOCK TABLE slotbell.address_lock_14 IN ROW SHARE MODE;
        WHEN 15 THEN LOCK TABLE slotbell.address_lock_15 IN ROW SHARE MODE;
    END CASE;
END
$$;

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
CREATE OR REPLACE FUNCTION slotbell.publish(
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
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp SET enable_seqscan = off SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_variable
DECLARE
    at_address text := mailbox;
    to_mailbox bigint;
    zone_known boolean;
    new_state bytea;
    size integer;
    is_cancel boolean := change = 'cancelled';
    people text;
    noted text;
    event_id bigint;
BEGIN
    -- One look at what nearly all bookings are like: in order, and as it will be stored. All else goes through the checks, which
    -- say what is wrong. No backslash in these patterns: what one means in a string is a setting of the caller's.
    IF pg_column_size(attendees) <= 255 THEN
        people := attendees::text;
    END IF;
    IF (char_length(mailbox) <= 320 AND mailbox ~ '^[0-9a-z._+-]+@[0-9a-z.-]+$'
        AND char_length(uid) <= 255 AND uid ~ '^[!-~]+$'
        AND change IN ('created', 'updated')
        AND starts_at BETWEEN '1971-01-01 00:00+00' AND '9998-01-01 00:00+00' AND duration_minutes BETWEEN 1 AND 44640
        AND char_length(subject) <= 255 AND subject ~ '^[!-~]([ -~]*[!-~])?$'
        AND octet_length(people) <= 255
        AND people ~ '^[[]([{]("name": "[]!#-[^-~]([]!#-[^-~ ]*[]!#-[^-~])?", )?"email": "[0-9A-Za-z._+-]+@[0-9A-Za-z.-]+"[}](, )?)*[]]$'
        AND details IS NULL) IS NOT TRUE THEN
        PERFORM slotbell.check_mailbox('publish', mailbox);
        PERFORM slotbell.check_uid(uid);
        IF change IS NULL OR change NOT IN ('created', 'updated', 'cancelled') THEN
            PERFORM slotbell.refuse('SB008', 'change is not known', coalesce(format('It has %s characters.', char_length(change)), 'It is NULL.'),
                'Give ''created'', ''updated'' or ''cancelled''.');
        END IF;
        -- Before anything goes through them: no event has as many bytes as this, in whatever form.
        IF pg_column_size(attendees) > 262144 OR pg_column_size(details) > 262144 THEN
            PERFORM slotbell.refuse('SB010', 'the event is too large', 'attendees or details has more than 262144 bytes; 65536 bytes in all is the limit.',
                'Shorten details.description or the list of attendees.');
        END IF;
        PERFORM slotbell.check_booking(change, starts_at, duration_minutes, time_zone, subject);
        attendees := slotbell.checked_attendees(coalesce(nullif(attendees, 'null'), CASE WHEN NOT is_cancel THEN '[]'::jsonb END));
        details := slotbell.checked_details(details);
        people := attendees::text;
        at_address := slotbell.fold_address(mailbox);
    END IF;
    size := 128 + octet_length(uid) + coalesce(octet_length(time_zone), 0) + coalesce(octet_length(subject), 0)
            + coalesce(octet_length(people), 0) + coalesce(octet_length(details::text), 0);

    SELECT (SELECT m.id FROM slotbell.mailbox m WHERE m.address = at_address), EXISTS (SELECT FROM slotbell.time_zone z WHERE z.name = time_zone)
    INTO to_mailbox, zone_known;
    IF (to_mailbox IS NOT NULL AND zone_known AND size <= 65536) IS NOT TRUE THEN
        IF NOT zone_known AND NOT (is_cancel AND time_zone IS NULL) THEN
            PERFORM slotbell.check_booking(change, starts_at, duration_minutes, time_zone, subject);
        END IF;
        IF size > 65536 THEN
            PERFORM slotbell.refuse('SB010', 'the event is too large', format('It has %s bytes in all, 65536 is the limit.', size),
                'Shorten details.description or the list of attendees.');
        END IF;
        IF to_mailbox IS NULL THEN
            -- Nobody is enrolled. Whoever enrols this address now waits for this transaction, or was before it: look again.
            PERFORM slotbell.hold_off_enrolment(at_address);
            SELECT m.id INTO to_mailbox FROM slotbell.mailbox m WHERE m.address = at_address;
            IF to_mailbox IS NULL THEN
                RETURN NULL;
            END IF;
        END IF;
    END IF;

    starts_at := date_trunc('second', starts_at);
    new_state := sha256(convert_to(ROW(extract(epoch FROM starts_at), duration_minutes, time_zone, subject, attendees, details)::text, 'UTF8'));

    -- One statement takes the booking's row, compares and replaces, and writes the event: the same state rings once, and what
    -- was cancelled stays so, also when several transactions publish the same booking.
    WITH stated AS (
        INSERT INTO slotbell.booking_state AS s (mailbox_id, uid, state_hash, cancelled, ends_at, event_id)
        VALUES (to_mailbox, uid, new_state, is_cancel, greatest(starts_at + make_interval(mins => duration_minutes), now()), nextval('slotbell.event_id_seq'))
        ON CONFLICT ON CONSTRAINT booking_state_pkey DO UPDATE
            SET state_hash = excluded.state_hash, cancelled = excluded.cancelled, ends_at = greatest(s.ends_at, excluded.ends_at),
                event_id = excluded.event_id, version = coalesce(s.version, s.seq), seq = NULL
            WHERE CASE WHEN s.cancelled
                -- It went on in another mailbox since then, and is given back.
                THEN NOT excluded.cancelled AND EXISTS (
                    SELECT FROM slotbell.booking_state o WHERE o.uid = s.uid AND o.mailbox_id <> s.mailbox_id AND o.event_id > coalesce(s.event_id, 0))
                ELSE excluded.cancelled OR s.state_hash <> excluded.state_hash
                -- Known to all but a device that came later, or lost it: for that one it rings again. See resync().
                OR s.seq <= (SELECT max(n.lacks_to) FROM slotbell.resync_need n WHERE n.mailbox_id = s.mailbox_id) END
        RETURNING s.event_id
    )
    INSERT INTO slotbell.event (id, mailbox_id, change, uid, starts_at, starts_local, time_zone, duration_minutes, subject, attendees, details, octets)
    OVERRIDING SYSTEM VALUE
    SELECT stated.event_id, to_mailbox, change, uid, starts_at, slotbell.local_time(starts_at, time_zone), time_zone, duration_minutes, subject, attendees,
        details, size
    FROM stated
    RETURNING id INTO event_id;
    IF event_id IS NOT NULL THEN
        -- For number_events(). An assignment, for PERFORM would be a query.
        noted := set_config('slotbell.events', CASE WHEN current_setting('slotbell.events', true) <> '' THEN 'several' ELSE 'one' END, true);
    END IF;
    RETURN event_id;
END
$$;

-- The check and the lock of before. Somebody's view or default may depend on the lock, which is no reason to stop here.
DROP FUNCTION slotbell.check_details(jsonb);
DO $drop$
BEGIN
    DROP FUNCTION slotbell.address_lock(text);
EXCEPTION WHEN dependent_objects_still_exist THEN
    RAISE WARNING USING MESSAGE = 'slotbell.address_lock(text) is left: something outside of the schema slotbell depends on it',
        HINT = 'Nothing here calls it. DROP FUNCTION slotbell.address_lock(text) says what depends on it.';
END
$drop$;

-- What db upgrade says of a schema in use: what 0.1.0 did and 0.2.0 does not.
DO $said$
DECLARE
    links bigint := (SELECT count(*) FROM slotbell.event e WHERE slotbell.link_problem(e.details ->> 'join_url') IS NOT NULL);
    odd text := (SELECT string_agg(m.id::text, ', ' ORDER BY m.id) FROM slotbell.mailbox m WHERE NOT slotbell.is_address(m.address));
BEGIN
    IF odd IS NOT NULL THEN
        RAISE WARNING USING MESSAGE = format('slotbell.publish: the addresses of these mailboxes are not plain ones, and are refused from now on (SB001): %s', odd),
            HINT = 'slotbellctl device enrol for NAME@DOMAIN as Outlook has it, then revoke the old devices.';
    END IF;
    IF EXISTS (SELECT FROM slotbell.mailbox) THEN
        RAISE WARNING USING MESSAGE = 'slotbell.publish: a join_url must be an https link from now on (SB009)',
            DETAIL = format('%s events that wait have another one; plug-ins write those bookings without it.', links);
        RAISE WARNING USING MESSAGE = 'slotbell.delivery_of: needs mailbox and uid from now on (SB001)',
            HINT = 'slotbell_admin finds a uid in all mailboxes by the view slotbell.delivery.';
    END IF;
END
$said$;

RESET ROLE;
