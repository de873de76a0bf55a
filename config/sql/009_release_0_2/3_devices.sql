-- Devices: enrolment and the like do not wait for ever for a transaction that somebody leaves open.

SET LOCAL ROLE slotbell_owner;

-- Says that another transaction is in the way.
CREATE FUNCTION slotbell.busy(function_name text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'SB012', MESSAGE = format('slotbell.%s: another transaction is in the way', function_name),
        DETAIL = 'It published a booking or holds the mailbox, and did not end within 10 seconds.',
        HINT = 'Try again. pg_stat_activity shows which session is "idle in transaction"; pg_terminate_backend() ends one.';
END
$$;

-- What is said to be done is on disk, whatever the role's or the database's setting: until this transaction ends. A SET of the
-- function's would be over before the commit.
CREATE FUNCTION slotbell.keep_on_disk() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp
AS $$
BEGIN
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
END
$$;

-- Waits for the transactions that publish for this address and were told that nobody is enrolled. In small tries: publishers
-- for other addresses queue behind a lock that is waited for.
CREATE FUNCTION slotbell.wait_for_publishers(address text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp SET lock_timeout = '100ms'
AS $$
DECLARE
    until_then timestamptz := clock_timestamp() + interval '10 seconds';
BEGIN
    LOOP
        BEGIN
            EXECUTE format('LOCK TABLE slotbell.address_lock_%s IN EXCLUSIVE MODE', hashtextextended(address, 0) & 15);
            RETURN;
        EXCEPTION WHEN lock_not_available THEN
            IF clock_timestamp() > until_then THEN
                RAISE;
            END IF;
        END;
        PERFORM pg_sleep(0.1);
    END LOOP;
END
$$;

-- A token's salt, hash and end, as enrol() and rotate() take them. Looked at before the table does, whose own error would
-- repeat the row; and an end that is infinite would fail the statement of all who authenticate with it.
CREATE FUNCTION slotbell.check_token(function_name text, salt bytea, hash bytea, expires_at timestamptz) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp
AS $$
BEGIN
    IF octet_length(salt) IS DISTINCT FROM 16 OR octet_length(hash) IS DISTINCT FROM 32 THEN
        RAISE EXCEPTION USING ERRCODE = 'SB014', MESSAGE = format('slotbell.%s: salt or hash has the wrong length', function_name),
            DETAIL = format('They have %s and %s bytes.', coalesce(octet_length(salt)::text, 'no'), coalesce(octet_length(hash)::text, 'no')),
            HINT = 'Give 16 random bytes, and the 32 of SHA-256(salt || SHA-256(secret)). slotbellctl device does.';
    END IF;
    IF NOT isfinite(expires_at) THEN
        RAISE EXCEPTION USING ERRCODE = 'SB011', MESSAGE = format('slotbell.%s: expires_at is infinite', function_name),
            DETAIL = 'It is no time.', HINT = 'Give a time to come, or NULL for a token that does not expire.';
    END IF;
END
$$;

-- Enrols a plug-in for a mailbox and returns the device's id. The caller made
-- the token's secret; here come only the salt and SHA-256(salt || SHA-256(secret)).
-- The device starts at head: every booking that commits after this does is its.
CREATE OR REPLACE FUNCTION slotbell.enrol(mailbox text, label text, expires_at timestamptz, salt bytea, hash bytea) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp SET lock_timeout = '10s'
AS $$
#variable_conflict use_variable
DECLARE
    at_address text;
    to_mailbox bigint;
    at_head bigint;
    device_id bigint;
BEGIN
    PERFORM slotbell.check_mailbox('enrol', mailbox);
    IF expires_at <= now() THEN
        RAISE EXCEPTION USING ERRCODE = 'SB011', MESSAGE = 'slotbell.enrol: expires_at has passed',
            DETAIL = 'Such a token opens nothing.', HINT = 'Give a time to come, or NULL for a token that does not expire.';
    END IF;
    IF char_length(label) > 255 THEN
        RAISE EXCEPTION USING ERRCODE = 'SB015', MESSAGE = 'slotbell.enrol: label is too long',
            DETAIL = format('It has %s characters, 255 is the limit.', char_length(label)), HINT = 'Say whose computer it is.';
    END IF;
    PERFORM slotbell.check_token('enrol', salt, hash, expires_at);
    at_address := slotbell.fold_address(mailbox);
    PERFORM slotbell.keep_on_disk();
    LOOP
        -- The row that every commit of a booking locks: those after this one find a device.
        UPDATE slotbell.mailbox m SET device_count = m.device_count + 1 WHERE m.address = at_address
        RETURNING m.id, m.head INTO to_mailbox, at_head;
        EXIT WHEN FOUND;
        PERFORM slotbell.wait_for_publishers(at_address);
        INSERT INTO slotbell.mailbox (address, epoch, system_id, timeline)
        SELECT at_address, slotbell.new_epoch_name(), h.system_id, h.timeline FROM slotbell.history() h
        ON CONFLICT (address) DO NOTHING;
    END LOOP;
    INSERT INTO slotbell.device (mailbox_id, label, salt, hash, acked, expires_at)
    VALUES (to_mailbox, coalesce(label, ''), salt, hash, at_head, expires_at) RETURNING id INTO device_id;
    -- What note_resync_need() does, which does not fire then: see 8_surroundings.sql.
    IF current_setting('session_replication_role') = 'replica' THEN
        PERFORM slotbell.add_resync_need(to_mailbox, 'enrolled', at_head);
    END IF;
    RETURN device_id;
EXCEPTION WHEN lock_not_available THEN
    PERFORM slotbell.busy('enrol');
END
$$;

-- Gives a device a new token and keeps its cursor; the session of the old token ends. False: no such live device.
CREATE OR REPLACE FUNCTION slotbell.rotate(device bigint, salt bytea, hash bytea, expires_at timestamptz) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp SET lock_timeout = '10s'
AS $$
#variable_conflict use_variable
BEGIN
    PERFORM slotbell.check_token('rotate', salt, hash, expires_at);
    PERFORM slotbell.keep_on_disk();
    UPDATE slotbell.device d SET salt = rotate.salt, hash = rotate.hash, expires_at = rotate.expires_at, session_no = d.session_no + 1
    WHERE d.id = device AND d.revoked_at IS NULL;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM pg_notify('slotbell_control', device::text);
    RETURN true;
EXCEPTION WHEN lock_not_available THEN
    PERFORM slotbell.busy('rotate');
END
$$;

-- Takes a device out for good; its session is cut. False: no such device, or revoked before.
CREATE OR REPLACE FUNCTION slotbell.revoke(device bigint) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp SET lock_timeout = '10s'
AS $$
#variable_conflict use_variable
DECLARE
    of_mailbox bigint;
    was_counted boolean;
BEGIN
    PERFORM slotbell.keep_on_disk();
    -- The mailbox first, as everywhere; of two who revoke at once the later sees what the earlier did.
    PERFORM m.id FROM slotbell.mailbox m JOIN slotbell.device d ON d.mailbox_id = m.id WHERE d.id = device FOR UPDATE OF m;
    UPDATE slotbell.device d SET revoked_at = clock_timestamp() WHERE d.id = device AND d.revoked_at IS NULL
    RETURNING d.mailbox_id, d.stale_at IS NULL INTO of_mailbox, was_counted;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE slotbell.mailbox m SET device_count = m.device_count - 1 WHERE m.id = of_mailbox AND was_counted;
    PERFORM pg_notify('slotbell_control', device::text);
    RETURN true;
EXCEPTION WHEN lock_not_available THEN
    PERFORM slotbell.busy('revoke');
END
$$;

-- Opens a new epoch for every mailbox: after a dump was restored, and after a
-- failover where it is not detected. Returns how many mailboxes there are.
-- While it waits for one mailbox it holds others: so it does not wait for long.
CREATE OR REPLACE FUNCTION slotbell.new_epoch() RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp SET lock_timeout = '10s'
AS $$
DECLARE
    here record;
    touched bigint;
BEGIN
    PERFORM slotbell.keep_on_disk();
    SELECT * INTO here FROM slotbell.history();
    -- In id order, as every numbering commit locks them.
    PERFORM id FROM slotbell.mailbox ORDER BY id FOR UPDATE;
    UPDATE slotbell.mailbox SET previous_epoch = epoch, epoch = slotbell.new_epoch_name(), base = head, head = head + 1000000,
        system_id = here.system_id, timeline = here.timeline;
    GET DIAGNOSTICS touched = ROW_COUNT;
    IF current_setting('session_replication_role') = 'replica' THEN
        PERFORM slotbell.add_resync_need(m.id, 'epoch', m.base) FROM slotbell.mailbox m WHERE m.device_count > 0;
    END IF;
    RETURN touched;
EXCEPTION WHEN lock_not_available THEN
    PERFORM slotbell.busy('new_epoch');
END
$$;

-- Where one booking is, for the backend that made it: it knows the mailbox and the uid. All backends are one trust domain,
-- so both are asked for: a uid alone would find the bookings of others.
CREATE OR REPLACE FUNCTION slotbell.delivery_of(uid text, mailbox text DEFAULT NULL) RETURNS SETOF slotbell.delivery
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp SET enable_seqscan = off
AS $$
#variable_conflict use_variable
BEGIN
    IF uid IS NULL OR mailbox IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'SB001', MESSAGE = 'slotbell.delivery_of: mailbox and uid are needed',
            DETAIL = 'One of them is not given.', HINT = 'slotbell_admin finds a uid in all mailboxes by the view slotbell.delivery.';
    END IF;
    RETURN QUERY SELECT v.* FROM slotbell.delivery v
    WHERE v.uid = uid AND v.mailbox = slotbell.fold_address(mailbox) ORDER BY v.seq, v.device;
END
$$;

-- ---- what was so before, and folds addresses as 1_address.sql does ----

-- The events of a mailbox after a seq, for `slotbellctl tail`: head and epoch always, seq NULL where there is no event.
CREATE FUNCTION slotbell.events_after(mailbox text, after bigint, max_events integer)
    RETURNS TABLE (seq bigint, version bigint, change text, published_at timestamptz, uid text, starts_at timestamptz, time_zone text,
        duration_minutes integer, subject text, attendees jsonb, details jsonb, head bigint, epoch text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp
AS $$
    SELECT e.seq, coalesce(e.version, e.seq), e.change, e.published_at, e.uid, e.starts_at, e.time_zone, e.duration_minutes, e.subject,
        e.attendees, e.details, m.head, m.epoch
    FROM slotbell.mailbox m LEFT JOIN LATERAL (
        SELECT * FROM slotbell.event e WHERE e.mailbox_id = m.id AND e.seq > after ORDER BY e.seq LIMIT max_events
    ) e ON true
    WHERE m.address = slotbell.fold_address(mailbox) ORDER BY e.seq
$$;
GRANT EXECUTE ON FUNCTION slotbell.events_after(text, bigint, integer) TO slotbell_admin;

-- The same without versions, as 0.1.0's slotbellctl asks.
CREATE OR REPLACE FUNCTION slotbell.events(mailbox text, after bigint, max_events integer)
    RETURNS TABLE (seq bigint, change text, published_at timestamptz, uid text, starts_at timestamptz, time_zone text,
        duration_minutes integer, subject text, attendees jsonb, details jsonb, head bigint, epoch text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp
AS $$
    SELECT a.seq, a.change, a.published_at, a.uid, a.starts_at, a.time_zone, a.duration_minutes, a.subject, a.attendees, a.details, a.head, a.epoch
    FROM slotbell.events_after(mailbox, after, max_events) a ORDER BY a.seq
$$;

-- Where these mailboxes stand before the tables are read. Mailboxes without a device are left out.
CREATE OR REPLACE FUNCTION slotbell.begin_resync(mailboxes text[]) RETURNS TABLE (mailbox text, head bigint, need bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp
AS $$
    SELECT m.address, m.head, (SELECT max(n.id) FROM slotbell.resync_need n WHERE n.mailbox_id = m.id)
    FROM slotbell.mailbox m WHERE m.device_count > 0 AND m.address IN (SELECT slotbell.fold_address(asked) FROM unnest(mailboxes) asked)
$$;

-- `slotbellctl doctor` books for a canary of its own: this mailbox goes with all that came of it, and so do those of
-- visits that were cut short. No address outside of doctor.invalid, which nobody has (RFC 2606), can be taken away so.
CREATE OR REPLACE FUNCTION slotbell.forget_canaries(mailbox text) RETURNS integer
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    canary bigint;
    forgotten integer := 0;
BEGIN
    FOR canary IN
        SELECT m.id FROM slotbell.mailbox m
        WHERE m.address LIKE 'canary-%@doctor.invalid' AND (m.address = slotbell.fold_address(mailbox) OR NOT EXISTS (
            SELECT FROM slotbell.device d WHERE d.mailbox_id = m.id AND (d.expires_at < clock_timestamp() - interval '1 minute') IS NOT TRUE))
        ORDER BY m.id FOR UPDATE SKIP LOCKED
    LOOP
        PERFORM slotbell.revoke(d.id) FROM slotbell.device d WHERE d.mailbox_id = canary;
        DELETE FROM slotbell.event e WHERE e.mailbox_id = canary;
        DELETE FROM slotbell.receipt r WHERE r.mailbox_id = canary;
        DELETE FROM slotbell.booking_state b WHERE b.mailbox_id = canary;
        DELETE FROM slotbell.session s USING slotbell.device d WHERE d.mailbox_id = canary AND s.device_id = d.id;
        DELETE FROM slotbell.device d WHERE d.mailbox_id = canary;
        DELETE FROM slotbell.mailbox m WHERE m.id = canary;
        forgotten := forgotten + 1;
    END LOOP;
    RETURN forgotten;
END
$$;

RESET ROLE;
