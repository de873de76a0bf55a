-- The sweep: one session at a time, by a lease in a row of ours, and with bounds inside. sweep_step() is new; the two names
-- that 0.1.0's daemon calls stay for it.

SET LOCAL ROLE slotbell_owner;

-- Which session sweeps: the one whose server process is `holder`, until its lease ends. A row and not an advisory lock,
-- which any role may hold.
CREATE TABLE slotbell.sweep_lease (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    holder integer NOT NULL DEFAULT 0,
    lease_until timestamptz NOT NULL DEFAULT '-infinity'
);
INSERT INTO slotbell.sweep_lease DEFAULT VALUES;

-- Takes the lease for this session, or renews it. False: another session has it, and lives. Waits for nobody. Should two
-- sweep at once all the same, what one deletes the other finds gone.
CREATE FUNCTION slotbell.hold_sweep_lease() RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp SET enable_seqscan = off
AS $$
DECLARE
    lease record;
BEGIN
    -- The row was lost: a dump was restored without this table's data. Only then, for an INSERT waits for who holds the row.
    IF NOT EXISTS (SELECT FROM slotbell.sweep_lease) THEN
        INSERT INTO slotbell.sweep_lease DEFAULT VALUES ON CONFLICT DO NOTHING;
    END IF;
    SELECT * INTO lease FROM slotbell.sweep_lease FOR UPDATE SKIP LOCKED;
    IF NOT FOUND OR (lease.holder <> pg_backend_pid() AND lease.lease_until > clock_timestamp()
            AND EXISTS (SELECT FROM pg_stat_get_activity(lease.holder))) THEN
        RETURN false;
    END IF;
    UPDATE slotbell.sweep_lease SET holder = pg_backend_pid(), lease_until = clock_timestamp() + interval '30 seconds';
    RETURN true;
END
$$;

-- One step of the sweep, if the lease is ours (held): from these places on, max_rows rows of each kind at
-- most. Returns where the next step goes on, and how much there was to do.
-- next_mailbox is NULL at the end of a round; devices are gone through all the
-- time, a few with each step. What locks mailboxes comes last, so that a
-- publisher waits for no more than this commit. The bounds are those of slotbelld.conf.
CREATE FUNCTION slotbell.sweep_step(after_mailbox bigint, after_device bigint, max_mailboxes integer, max_rows integer, grace_seconds integer,
        retention_days integer, receipts_days integer, stale_days integer)
    RETURNS TABLE (held boolean, next_mailbox bigint, next_device bigint, events bigint, expired bigint, bookings bigint, receipts bigint, stale bigint, removed bigint)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp SET enable_seqscan = off
AS $$
#variable_conflict use_variable
DECLARE
    cutoff timestamptz;
    mailboxes bigint[];
    devices bigint[];
BEGIN
    IF (after_mailbox >= 0 AND after_device >= 0 AND max_mailboxes BETWEEN 1 AND 10000 AND max_rows BETWEEN 1 AND 10000) IS NOT TRUE THEN
        PERFORM slotbell.out_of_bounds('sweep', 'after_mailbox and after_device are 0 or more, max_mailboxes and max_rows 1 to 10000.');
    ELSIF (grace_seconds BETWEEN 0 AND 86400 AND retention_days BETWEEN 1 AND 3650 AND receipts_days BETWEEN retention_days AND 3650
            AND stale_days BETWEEN 2 AND 3650) IS NOT TRUE THEN
        PERFORM slotbell.out_of_bounds('sweep', 'grace_seconds is 0 to 86400, retention_days 1 to 3650, receipts_days retention_days to 3650,'
            ' stale_days 2 to 3650.');
    END IF;
    SELECT slotbell.hold_sweep_lease(), NULL, after_device, 0, 0, 0, 0, 0, 0
    INTO held, next_mailbox, next_device, events, expired, bookings, receipts, stale, removed;
    IF NOT held THEN
        RETURN NEXT;
        RETURN;
    END IF;
    PERFORM slotbell.keep_on_disk();
    cutoff := clock_timestamp() - make_interval(days => receipts_days);
    PERFORM slotbell.renew_guard();
    mailboxes := slotbell.mailboxes_with_events(after_mailbox, max_mailboxes);
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

-- For 0.1.0's daemon, which asks once in a session whether it is the one that sweeps, and believes it from then on. Each of
-- its steps takes or renews the lease, and does nothing while another session has it.
CREATE OR REPLACE FUNCTION slotbell.sweep_alone() RETURNS boolean
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp
    AS $$ BEGIN RETURN slotbell.hold_sweep_lease(); END $$;

CREATE OR REPLACE FUNCTION slotbell.sweep(after_mailbox bigint, after_device bigint, max_mailboxes integer, max_rows integer, grace_seconds integer,
        retention_days integer, receipts_days integer, stale_days integer)
    RETURNS TABLE (next_mailbox bigint, next_device bigint, events bigint, expired bigint, bookings bigint, receipts bigint, stale bigint, removed bigint)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp
AS $$
BEGIN
    RETURN QUERY
        SELECT s.next_mailbox, s.next_device, s.events, s.expired, s.bookings, s.receipts, s.stale, s.removed
        FROM slotbell.sweep_step(after_mailbox, after_device, max_mailboxes, max_rows, grace_seconds, retention_days, receipts_days, stale_days) s;
END
$$;

GRANT EXECUTE ON FUNCTION slotbell.sweep_step(bigint, bigint, integer, integer, integer, integer, integer, integer) TO slotbell_daemon;

RESET ROLE;
