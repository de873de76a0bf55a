-- What the daemon calls: arrays in, rows out, one statement for many sessions.
-- None waits for a mailbox row, which a publisher holds through its commit: a
-- daemon that waited there would hold up all its sessions.
--
-- In PL/pgSQL, for a function in SQL is planned anew at each call, which cost
-- half of a fetch. And without sequential scans, for such a plan is kept as
-- long as the daemon lives: a table that is empty today may be large tomorrow.

SET LOCAL ROLE slotbell_owner;

-- Counts these stale devices again and keeps their bookings from here on; what
-- came meanwhile is gone, so each starts at the head, with a reset. Never waits
-- for a mailbox: returns the devices whose mailbox is taken just now.
CREATE FUNCTION slotbell.revive(devices bigint[]) RETURNS bigint[]
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp
AS $$
DECLARE
    one record;
    at_head bigint;
    busy bigint[] := '{}';
BEGIN
    FOR one IN SELECT d.id, d.mailbox_id FROM slotbell.device d WHERE d.id = ANY (devices) ORDER BY d.mailbox_id LOOP
        PERFORM m.id FROM slotbell.mailbox m WHERE m.id = one.mailbox_id FOR UPDATE SKIP LOCKED;
        IF NOT FOUND THEN
            busy := busy || one.id;
            CONTINUE;
        END IF;
        -- Nobody was left to keep bookings for: they had no numbers. The one that is left out here stands for them.
        UPDATE slotbell.mailbox m SET head = m.head + CASE m.device_count WHEN 0 THEN 1 ELSE 0 END, device_count = m.device_count + 1
        WHERE m.id = one.mailbox_id RETURNING m.head INTO at_head;
        UPDATE slotbell.device d SET stale_at = NULL, floor = at_head WHERE d.id = one.id;
    END LOOP;
    RETURN busy;
END
$$;

-- Who are these, and where do they stand? A row per item (1, 2, …): outcome ok,
-- unknown (no such device, or another secret), revoked or expired; no row: not
-- now. Each item that takes over raises its device's session_no, which tells
-- other daemons to drop their older session.
CREATE FUNCTION slotbell.authenticate(devices bigint[], proofs bytea[], takes_over boolean[])
    RETURNS TABLE (item integer, outcome text, mailbox_id bigint, address text, session_no bigint, acked bigint, expires_at_s bigint,
        head bigint, epoch text, previous_epoch text, base bigint, floor bigint)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
    -- Digests are compared under a key that nobody knows: how long that takes says nothing of them.
    key bytea := convert_to(gen_random_uuid()::text, 'UTF8');
    lately timestamptz := clock_timestamp() - interval '1 hour';
    takers bigint[] := ARRAY(SELECT asked.device FROM unnest(devices, takes_over) AS asked(device, takes) WHERE asked.takes);
    to_write bigint[];
    stale bigint[];
    busy bigint[] := '{}';
BEGIN
    -- What is to be written, and nothing else: who only asks or polls waits for nobody, nor for the disk. All that comes after sees
    -- these rows as they are now, and in id order two daemons cannot deadlock.
    SELECT array_agg(locked.id), array_agg(locked.id) FILTER (WHERE locked.stale_at IS NOT NULL) INTO to_write, stale
    FROM (SELECT d.id, d.stale_at FROM slotbell.device d
          WHERE d.id = ANY (devices) AND (d.id = ANY (takers) OR d.stale_at IS NOT NULL OR (d.last_seen_at > lately) IS NOT TRUE)
          ORDER BY d.id FOR NO KEY UPDATE) locked;
    IF stale IS NOT NULL THEN
        SELECT slotbell.revive(array_agg(DISTINCT d.id)) INTO busy
        FROM unnest(devices, proofs) AS asked(device, proof) JOIN slotbell.device d ON d.id = asked.device
        WHERE d.id = ANY (stale) AND sha256(sha256(d.salt || asked.proof) || key) = sha256(d.hash || key)
            AND d.revoked_at IS NULL AND (d.expires_at <= clock_timestamp()) IS NOT TRUE;
    END IF;
    RETURN QUERY
        WITH judged AS (
            SELECT asked.nth::integer AS nth, asked.takes, d.id, d.mailbox_id, d.session_no, d.acked, d.floor, d.expires_at,
                CASE
                    WHEN d.id IS NULL THEN 'unknown'
                    WHEN sha256(sha256(d.salt || asked.proof) || key) <> sha256(d.hash || key) THEN 'unknown'
                    WHEN d.revoked_at IS NOT NULL THEN 'revoked'
                    WHEN d.expires_at <= clock_timestamp() THEN 'expired'
                    WHEN d.id = ANY (busy) THEN 'busy'
                    ELSE 'ok'
                END AS outcome
            FROM unnest(devices, proofs, takes_over) WITH ORDINALITY AS asked(device, proof, takes, nth)
            LEFT JOIN slotbell.device d ON d.id = asked.device
        ), seen AS (
            UPDATE slotbell.device d SET session_no = d.session_no + winners.sessions, last_seen_at = clock_timestamp()
            FROM (SELECT id, count(*) FILTER (WHERE takes) AS sessions FROM judged WHERE outcome = 'ok' GROUP BY id) winners
            WHERE d.id = winners.id AND d.id = ANY (to_write) AND (winners.sessions > 0 OR (d.last_seen_at > lately) IS NOT TRUE)
            RETURNING d.id, (SELECT pg_notify('slotbell_control', d.id::text) WHERE winners.sessions > 0)
        )
        SELECT j.nth, j.outcome, m.id, m.address,
            j.session_no + CASE WHEN j.outcome = 'ok' THEN sum((j.outcome = 'ok' AND j.takes)::integer) OVER (PARTITION BY j.id ORDER BY j.nth) END,
            CASE WHEN j.outcome = 'ok' THEN j.acked END,
            CASE WHEN j.outcome = 'ok' THEN floor(extract(epoch FROM j.expires_at))::bigint END,
            m.head, m.epoch, m.previous_epoch, m.base, greatest(m.floor, CASE WHEN j.outcome = 'ok' THEN j.floor END)
        FROM judged j
        LEFT JOIN slotbell.mailbox m ON m.id = j.mailbox_id AND j.outcome = 'ok'
        LEFT JOIN seen s ON s.id = j.id
        WHERE j.outcome <> 'busy';
END
$$;

-- What lies after these seqs? For each mailbox its numbering and the next
-- events in order, at most so many of them and so many bytes, but at least one;
-- a row with seq NULL where there is none. One snapshot: head and events agree.
CREATE FUNCTION slotbell.fetch(mailboxes bigint[], afters bigint[], max_events integer, max_bytes integer)
    RETURNS TABLE (mailbox_id bigint, after bigint, head bigint, epoch text, previous_epoch text, base bigint, floor bigint,
        seq bigint, change text, published_at_us bigint, uid text, starts_at_s bigint, starts_local text, time_zone text,
        duration_minutes integer, subject text, attendees text, details text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp SET enable_seqscan = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
        SELECT m.id, asked.after, m.head, m.epoch, m.previous_epoch, m.base, m.floor,
            e.seq, e.change, (extract(epoch FROM e.published_at) * 1000000)::bigint, e.uid, extract(epoch FROM e.starts_at)::bigint,
            to_char(e.starts_local, 'YYYY-MM-DD"T"HH24:MI:SS'), e.time_zone, e.duration_minutes, e.subject, e.attendees::text, e.details::text
        FROM unnest(mailboxes, afters) WITH ORDINALITY AS asked(mailbox, after, nth)
        JOIN slotbell.mailbox m ON m.id = asked.mailbox
        LEFT JOIN LATERAL (
            SELECT * FROM (
                SELECT next.*, sum(next.octets) OVER (ORDER BY next.seq) - next.octets AS octets_before FROM (
                    SELECT * FROM slotbell.event e WHERE e.mailbox_id = asked.mailbox AND e.seq > asked.after ORDER BY e.seq LIMIT max_events
                ) next
            ) measured WHERE measured.octets_before < max_bytes
        ) e ON true
        ORDER BY asked.nth, e.seq;
END
$$;

-- How do these devices stand now? For what a lost notification left wrong. A row
-- per device that is asked for. They are in sessions, so they are seen.
CREATE FUNCTION slotbell.reconcile(devices bigint[])
    RETURNS TABLE (device_id bigint, outcome text, session_no bigint, acked bigint, head bigint, epoch text, previous_epoch text, base bigint, floor bigint)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp SET enable_seqscan = off
AS $$
#variable_conflict use_column
BEGIN
    -- Once a day is enough, and who is taken just now can wait for the next time.
    UPDATE slotbell.device d SET last_seen_at = clock_timestamp()
    FROM (SELECT d.id FROM slotbell.device d
          WHERE d.id = ANY (devices) AND d.revoked_at IS NULL AND (d.last_seen_at > clock_timestamp() - interval '1 day') IS NOT TRUE
          ORDER BY d.id FOR NO KEY UPDATE SKIP LOCKED) unseen
    WHERE d.id = unseen.id;
    RETURN QUERY
        SELECT asked.device,
            CASE
                WHEN d.id IS NULL THEN 'unknown'
                WHEN d.revoked_at IS NOT NULL THEN 'revoked'
                WHEN d.expires_at <= clock_timestamp() THEN 'expired'
                ELSE 'ok'
            END,
            d.session_no, d.acked, m.head, m.epoch, m.previous_epoch, m.base, m.floor
        FROM (SELECT DISTINCT device FROM unnest(devices) AS device) asked
        LEFT JOIN slotbell.device d ON d.id = asked.device
        LEFT JOIN slotbell.mailbox m ON m.id = d.mailbox_id;
END
$$;

GRANT EXECUTE ON FUNCTION slotbell.authenticate(bigint[], bytea[], boolean[]), slotbell.fetch(bigint[], bigint[], integer, integer),
    slotbell.reconcile(bigint[]) TO slotbell_daemon;

RESET ROLE;
