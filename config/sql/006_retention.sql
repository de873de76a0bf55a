-- Retention: what is kept no longer than it is needed. One daemon at a time
-- sweeps, a small transaction at a time.

SET LOCAL ROLE slotbell_owner;

CREATE INDEX booking_state_ends ON slotbell.booking_state (ends_at);

-- Whether this session is the one that sweeps; it stays so until it ends.
CREATE FUNCTION slotbell.sweep_alone() RETURNS boolean
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp
    AS $$ SELECT pg_try_advisory_lock(hashtextextended('slotbell sweep', 0)) $$;

-- The next mailboxes by id that hold events. Hops through the index: what it costs is theirs, however many events each has.
CREATE FUNCTION slotbell.mailboxes_with_events(after bigint, max_mailboxes integer) RETURNS bigint[]
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp SET enable_seqscan = off
AS $$
DECLARE
    ids bigint[];
BEGIN
    WITH RECURSIVE hop(id, nth) AS (
        SELECT (SELECT min(e.mailbox_id) FROM slotbell.event e WHERE e.mailbox_id > after AND e.seq IS NOT NULL), 1
        UNION ALL
        SELECT (SELECT min(e.mailbox_id) FROM slotbell.event e WHERE e.mailbox_id > hop.id AND e.seq IS NOT NULL), hop.nth + 1
        FROM hop WHERE hop.id IS NOT NULL AND hop.nth < max_mailboxes
    )
    SELECT coalesce(array_agg(id ORDER BY id) FILTER (WHERE id IS NOT NULL), '{}') INTO ids FROM hop;
    RETURN ids;
END
$$;

-- Deletes events of these mailboxes that every device has acked, or that lie at
-- or below the mailbox's floor. Those that somebody was to have and did not ack
-- leave a receipt that says so. Returns how many were deleted, and how many of
-- those receipts were written.
CREATE FUNCTION slotbell.sweep_events(mailboxes bigint[], grace_seconds integer, max_rows integer, OUT events bigint, OUT expired bigint)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp SET enable_seqscan = off
AS $$
BEGIN
    WITH reach AS (
        -- A stale device holds nothing back: it starts at the head when it comes again. Nor does one that is enrolled
        -- meanwhile: it starts at a head that is not below the one seen here.
        SELECT m.id, greatest(m.floor, coalesce((
            SELECT min(d.acked) FROM slotbell.device d WHERE d.mailbox_id = m.id AND d.revoked_at IS NULL AND d.stale_at IS NULL), m.head)) AS upto
        FROM unnest(mailboxes) AS slice(id) JOIN slotbell.mailbox m ON m.id = slice.id
    ), doomed AS (
        SELECT e.place FROM reach CROSS JOIN LATERAL (
            SELECT e.ctid AS place FROM slotbell.event e
            WHERE e.mailbox_id = reach.id AND e.seq <= reach.upto AND e.published_at < clock_timestamp() - make_interval(secs => grace_seconds)
            ORDER BY e.seq LIMIT max_rows
        ) e
        LIMIT max_rows
    ), gone AS (
        DELETE FROM slotbell.event e USING doomed WHERE e.ctid = doomed.place
        RETURNING e.mailbox_id, e.seq, e.uid, e.change, e.published_at
    ), unseen AS (
        INSERT INTO slotbell.receipt (mailbox_id, seq, device_id, uid, change, published_at, done_at, reason)
        SELECT g.mailbox_id, g.seq, d.id, g.uid, g.change, g.published_at, clock_timestamp(), 'expired'
        FROM gone g JOIN slotbell.device d ON d.mailbox_id = g.mailbox_id AND d.acked < g.seq
            AND d.revoked_at IS NULL AND (d.stale_at IS NULL OR d.stale_at > g.published_at)
        ORDER BY d.id, g.seq
        ON CONFLICT ON CONSTRAINT receipt_pkey DO UPDATE SET done_at = excluded.done_at, reason = 'expired' WHERE receipt.done_at IS NULL
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM unseen) INTO events, expired;
END
$$;

-- Raises the floor of these mailboxes over events that are past their time and
-- that some device has not acked: they go with the next sweep, when whoever
-- comes too late for them is told so. A mailbox that a publisher holds just now
-- has its turn the next time.
CREATE FUNCTION slotbell.sweep_floors(mailboxes bigint[], retention_days integer, max_rows integer) RETURNS bigint
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp SET enable_seqscan = off
AS $$
DECLARE
    cutoff timestamptz := clock_timestamp() - make_interval(days => retention_days);
    late record;
    raised bigint := 0;
BEGIN
    FOR late IN
        -- Of a mailbox that has nothing so old, the first event is all that is looked at.
        SELECT m.id, old.upto FROM unnest(mailboxes) AS slice(id) JOIN slotbell.mailbox m ON m.id = slice.id
        CROSS JOIN LATERAL (
            SELECT e.seq, e.published_at FROM slotbell.event e WHERE e.mailbox_id = m.id AND e.seq > m.floor ORDER BY e.seq LIMIT 1
        ) first
        CROSS JOIN LATERAL (
            SELECT max(e.seq) AS upto FROM (
                SELECT e.seq, e.published_at FROM slotbell.event e WHERE e.mailbox_id = m.id AND e.seq > m.floor ORDER BY e.seq LIMIT max_rows
            ) e WHERE e.published_at < cutoff
        ) old
        WHERE first.published_at < cutoff AND EXISTS (
            SELECT FROM slotbell.device d WHERE d.mailbox_id = m.id AND d.acked < old.upto AND d.revoked_at IS NULL AND d.stale_at IS NULL)
        ORDER BY m.id
    LOOP
        UPDATE slotbell.mailbox m SET floor = late.upto
        FROM (SELECT id FROM slotbell.mailbox WHERE id = late.id AND floor < late.upto FOR NO KEY UPDATE SKIP LOCKED) locked
        WHERE m.id = locked.id;
        raised := raised + CASE WHEN FOUND THEN 1 ELSE 0 END;
    END LOOP;
    RETURN raised;
END
$$;

-- Of these devices those that were not seen for so long become stale: no
-- booking is kept for them any more. Never waits for a publisher.
CREATE FUNCTION slotbell.sweep_stale(devices bigint[], stale_days integer) RETURNS bigint
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp
AS $$
DECLARE
    cutoff timestamptz := clock_timestamp() - make_interval(days => stale_days);
    old record;
    found_stale bigint := 0;
BEGIN
    FOR old IN
        SELECT d.id, d.mailbox_id FROM slotbell.device d
        WHERE d.id = ANY (devices) AND d.revoked_at IS NULL AND d.stale_at IS NULL AND coalesce(d.last_seen_at, d.created_at) < cutoff
        ORDER BY d.mailbox_id
    LOOP
        PERFORM id FROM slotbell.mailbox WHERE id = old.mailbox_id FOR UPDATE SKIP LOCKED;
        CONTINUE WHEN NOT FOUND;
        -- Should it be in a session all the same, that one ends: none goes on for which nothing is kept.
        UPDATE slotbell.device d SET stale_at = clock_timestamp(), session_no = d.session_no + 1
        FROM (SELECT id FROM slotbell.device
              WHERE id = old.id AND revoked_at IS NULL AND stale_at IS NULL AND coalesce(last_seen_at, created_at) < cutoff
              FOR NO KEY UPDATE SKIP LOCKED) locked
        WHERE d.id = locked.id;
        CONTINUE WHEN NOT FOUND;
        UPDATE slotbell.mailbox SET device_count = device_count - 1 WHERE id = old.mailbox_id;
        PERFORM pg_notify('slotbell_control', old.id::text);
        found_stale := found_stale + 1;
    END LOOP;
    RETURN found_stale;
END
$$;

-- Of these devices those that were revoked so long ago go, with what is left of their sessions; and with its last
-- device its mailbox and what is known of its bookings, max_rows at a time.
CREATE FUNCTION slotbell.sweep_revoked(devices bigint[], receipts_days integer, max_rows integer) RETURNS bigint
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp
AS $$
DECLARE
    old record;
    is_last boolean;
    left_over bigint;
    removed bigint := 0;
BEGIN
    FOR old IN
        SELECT d.id, d.mailbox_id FROM slotbell.device d
        WHERE d.id = ANY (devices) AND d.revoked_at < clock_timestamp() - make_interval(days => receipts_days)
        ORDER BY d.mailbox_id, d.id
    LOOP
        PERFORM id FROM slotbell.mailbox WHERE id = old.mailbox_id FOR UPDATE SKIP LOCKED;
        CONTINUE WHEN NOT FOUND;
        is_last := NOT EXISTS (SELECT FROM slotbell.device WHERE mailbox_id = old.mailbox_id AND id <> old.id);
        IF is_last THEN
            DELETE FROM slotbell.booking_state WHERE ctid = ANY (ARRAY(SELECT ctid FROM slotbell.booking_state WHERE mailbox_id = old.mailbox_id LIMIT max_rows));
            GET DIAGNOSTICS left_over = ROW_COUNT;
            CONTINUE WHEN left_over = max_rows;
            DELETE FROM slotbell.receipt WHERE ctid = ANY (ARRAY(SELECT ctid FROM slotbell.receipt WHERE mailbox_id = old.mailbox_id LIMIT max_rows));
            GET DIAGNOSTICS left_over = ROW_COUNT;
            CONTINUE WHEN left_over = max_rows OR EXISTS (SELECT FROM slotbell.event WHERE mailbox_id = old.mailbox_id AND seq IS NOT NULL);
        END IF;
        DELETE FROM slotbell.device WHERE id = old.id;
        IF is_last THEN
            DELETE FROM slotbell.resync_need WHERE mailbox_id = old.mailbox_id;
            DELETE FROM slotbell.mailbox WHERE id = old.mailbox_id;
        END IF;
        removed := removed + 1;
    END LOOP;
    RETURN removed;
END
$$;

-- One step of the sweep: from these places on, so many rows of each kind at
-- most. Returns where the next step goes on, and how much there was to do.
-- next_mailbox is NULL at the end of a round; devices are gone through all the
-- time, a few with each step. What locks mailboxes comes last, so that a
-- publisher waits for no more than this commit.
CREATE FUNCTION slotbell.sweep(after_mailbox bigint, after_device bigint, max_mailboxes integer, max_rows integer, grace_seconds integer,
        retention_days integer, receipts_days integer, stale_days integer)
    RETURNS TABLE (next_mailbox bigint, next_device bigint, events bigint, expired bigint, bookings bigint, receipts bigint, stale bigint, removed bigint)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp SET enable_seqscan = off
AS $$
#variable_conflict use_variable
DECLARE
    cutoff timestamptz := clock_timestamp() - make_interval(days => receipts_days);
    mailboxes bigint[] := slotbell.mailboxes_with_events(after_mailbox, max_mailboxes);
    devices bigint[];
BEGIN
    SELECT swept.events, swept.expired INTO events, expired FROM slotbell.sweep_events(mailboxes, grace_seconds, max_rows) AS swept;
    -- As many as it may: there may be more in these.
    next_mailbox := CASE WHEN events >= max_rows THEN after_mailbox
                         WHEN cardinality(mailboxes) = max_mailboxes THEN mailboxes[max_mailboxes] END;

    DELETE FROM slotbell.receipt r WHERE r.ctid = ANY (ARRAY(
        SELECT old.ctid FROM slotbell.receipt old WHERE old.published_at < cutoff ORDER BY old.published_at LIMIT max_rows));
    GET DIAGNOSTICS receipts = ROW_COUNT;
    DELETE FROM slotbell.booking_state b WHERE b.ctid = ANY (ARRAY(
        SELECT old.ctid FROM slotbell.booking_state old WHERE old.ends_at < cutoff ORDER BY old.ends_at LIMIT max_rows FOR UPDATE SKIP LOCKED));
    GET DIAGNOSTICS bookings = ROW_COUNT;
    -- Long enough ago that a daemon which is only slow has renewed it.
    WITH dead AS (
        DELETE FROM slotbell.instance i WHERE i.lease_until < clock_timestamp() - interval '1 minute' RETURNING i.name
    )
    DELETE FROM slotbell.session s USING dead WHERE s.instance = dead.name;

    SELECT coalesce(array_agg(d.id ORDER BY d.id), '{}') INTO devices
    FROM (SELECT d.id FROM slotbell.device d WHERE d.id > after_device ORDER BY d.id LIMIT max_rows) d;
    next_device := CASE WHEN cardinality(devices) = max_rows THEN devices[max_rows] ELSE 0 END;
    PERFORM slotbell.sweep_floors(mailboxes, retention_days, max_rows);
    stale := slotbell.sweep_stale(devices, stale_days);
    removed := slotbell.sweep_revoked(devices, receipts_days, max_rows);
    RETURN NEXT;
END
$$;

-- `slotbellctl doctor` books for a canary of its own: this mailbox goes with all that came of it, and so do those of
-- visits that were cut short. No address outside of doctor.invalid, which nobody has (RFC 2606), can be taken away so.
CREATE FUNCTION slotbell.forget_canaries(mailbox text) RETURNS integer
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    canary bigint;
    forgotten integer := 0;
BEGIN
    FOR canary IN
        SELECT m.id FROM slotbell.mailbox m
        WHERE m.address LIKE 'canary-%@doctor.invalid' AND (m.address = lower(mailbox) OR NOT EXISTS (
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

GRANT EXECUTE ON FUNCTION slotbell.sweep_alone(), slotbell.sweep(bigint, bigint, integer, integer, integer, integer, integer, integer) TO slotbell_daemon;
GRANT EXECUTE ON FUNCTION slotbell.forget_canaries(text) TO slotbell_admin;

RESET ROLE;
