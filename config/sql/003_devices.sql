-- Devices: enrolment, rotation, revocation, and what an administrator sees.

SET LOCAL ROLE slotbell_owner;

-- Enrols a plug-in for a mailbox and returns the device's id. The caller made
-- the token's secret; here come only the salt and SHA-256(salt || SHA-256(secret)).
-- The device starts at head: every booking that commits after this does is its.
CREATE FUNCTION slotbell.enrol(mailbox text, label text, expires_at timestamptz, salt bytea, hash bytea) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    at_address text := lower(mailbox);
    to_mailbox bigint;
    at_head bigint;
    device_id bigint;
BEGIN
    IF mailbox IS NULL OR char_length(mailbox) NOT BETWEEN 3 AND 320 OR mailbox !~ '^[^@[:space:][:cntrl:]]+@[^@[:space:][:cntrl:]]+$' THEN
        RAISE EXCEPTION USING ERRCODE = 'SB001', MESSAGE = 'slotbell.enrol: mailbox is not an address',
            DETAIL = format('It has %s characters; NAME@DOMAIN with 3 to 320 is possible.', coalesce(char_length(mailbox)::text, 'no')),
            HINT = 'Give the address of the Outlook calendar, as in ''ada@example.com''.';
    END IF;
    IF expires_at <= now() THEN
        RAISE EXCEPTION USING ERRCODE = 'SB011', MESSAGE = 'slotbell.enrol: expires_at has passed',
            DETAIL = format('It is %s.', expires_at), HINT = 'Give a time to come, or NULL for a token that does not expire.';
    END IF;
    LOOP
        -- The row that every commit of a booking locks: those after this one find a device.
        UPDATE slotbell.mailbox m SET device_count = m.device_count + 1 WHERE m.address = at_address
        RETURNING m.id, m.head INTO to_mailbox, at_head;
        EXIT WHEN FOUND;
        -- Waits for the transactions that publish for this address and were told that nobody is enrolled.
        PERFORM pg_advisory_xact_lock(slotbell.address_lock(at_address));
        INSERT INTO slotbell.mailbox (address, epoch, system_id, timeline)
        SELECT at_address, slotbell.new_epoch_name(), h.system_id, h.timeline FROM slotbell.history() h
        ON CONFLICT (address) DO NOTHING;
    END LOOP;
    INSERT INTO slotbell.device (mailbox_id, label, salt, hash, acked, expires_at)
    VALUES (to_mailbox, coalesce(label, ''), salt, hash, at_head, expires_at) RETURNING id INTO device_id;
    RETURN device_id;
END
$$;

-- Gives a device a new token and keeps its cursor; the session of the old token ends. False: no such live device.
CREATE FUNCTION slotbell.rotate(device bigint, salt bytea, hash bytea, expires_at timestamptz) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
    UPDATE slotbell.device d SET salt = rotate.salt, hash = rotate.hash, expires_at = rotate.expires_at, session_no = d.session_no + 1
    WHERE d.id = device AND d.revoked_at IS NULL;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM pg_notify('slotbell_control', device::text);
    RETURN true;
END
$$;

-- Takes a device out for good; its session is cut. False: no such device, or revoked before.
CREATE FUNCTION slotbell.revoke(device bigint) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    of_mailbox bigint;
    was_counted boolean;
BEGIN
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
END
$$;

CREATE VIEW slotbell.devices AS
    SELECT d.id, m.address AS mailbox, d.label, d.created_at, d.expires_at, d.revoked_at, d.stale_at, d.last_seen_at, d.acked, m.head, m.epoch,
        d.session_no
    FROM slotbell.device d JOIN slotbell.mailbox m ON m.id = d.mailbox_id;

-- The events of a mailbox after a seq, for `slotbellctl tail`: head and epoch always, seq NULL where there is no event.
CREATE FUNCTION slotbell.events(mailbox text, after bigint, max_events integer)
    RETURNS TABLE (seq bigint, change text, published_at timestamptz, uid text, starts_at timestamptz, time_zone text,
        duration_minutes integer, subject text, attendees jsonb, details jsonb, head bigint, epoch text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp
AS $$
    SELECT e.seq, e.change, e.published_at, e.uid, e.starts_at, e.time_zone, e.duration_minutes, e.subject, e.attendees, e.details, m.head, m.epoch
    FROM slotbell.mailbox m LEFT JOIN LATERAL (
        SELECT * FROM slotbell.event e WHERE e.mailbox_id = m.id AND e.seq > after ORDER BY e.seq LIMIT max_events
    ) e ON true
    WHERE m.address = lower(mailbox) ORDER BY e.seq
$$;

GRANT EXECUTE ON FUNCTION slotbell.enrol(text, text, timestamptz, bytea, bytea), slotbell.rotate(bigint, bytea, bytea, timestamptz),
    slotbell.revoke(bigint), slotbell.events(text, bigint, integer) TO slotbell_admin;
GRANT SELECT ON slotbell.devices TO slotbell_admin;

RESET ROLE;
