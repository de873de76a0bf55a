-- What the daemon calls: arrays in, rows out, one statement for many sessions.
-- None locks a mailbox row, which a publisher holds through its commit: a
-- daemon that waited there would hold up all its sessions.
--
-- In PL/pgSQL, for a function in SQL is planned anew at each call, which cost
-- half of a fetch. And without sequential scans, for such a plan is kept as
-- long as the daemon lives: a table that is empty today may be large tomorrow.

SET LOCAL ROLE slotbell_owner;

-- Who are these, and where do they stand? A row per item (1, 2, …): outcome ok,
-- unknown (no such device, or another secret), revoked or expired. Each item
-- that takes over raises its device's session_no, which tells other daemons to
-- drop their older session.
CREATE FUNCTION slotbell.authenticate(devices bigint[], proofs bytea[], takes_over boolean[])
    RETURNS TABLE (item integer, outcome text, mailbox_id bigint, address text, session_no bigint, acked bigint, expires_at_s bigint,
        head bigint, epoch text, previous_epoch text, base bigint, floor bigint)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
    -- Digests are compared under a key that nobody knows: how long that takes says nothing of them.
    key bytea := convert_to(gen_random_uuid()::text, 'UTF8');
BEGIN
    -- All that comes after sees the rows as they are now, and in id order two daemons cannot deadlock.
    PERFORM d.id FROM slotbell.device d WHERE d.id = ANY (devices) ORDER BY d.id FOR NO KEY UPDATE;
    RETURN QUERY
        WITH judged AS (
            SELECT asked.nth::integer AS nth, asked.takes, d.id, d.mailbox_id, d.session_no, d.acked, d.expires_at,
                CASE
                    WHEN d.id IS NULL THEN 'unknown'
                    WHEN sha256(sha256(d.salt || asked.proof) || key) <> sha256(d.hash || key) THEN 'unknown'
                    WHEN d.revoked_at IS NOT NULL THEN 'revoked'
                    WHEN d.expires_at <= clock_timestamp() THEN 'expired'
                    ELSE 'ok'
                END AS outcome
            FROM unnest(devices, proofs, takes_over) WITH ORDINALITY AS asked(device, proof, takes, nth)
            LEFT JOIN slotbell.device d ON d.id = asked.device
        ), taken AS (
            UPDATE slotbell.device d SET session_no = d.session_no + winners.sessions, last_seen_at = clock_timestamp()
            FROM (SELECT id, count(*) AS sessions FROM judged WHERE outcome = 'ok' AND takes GROUP BY id) winners
            WHERE d.id = winners.id
            RETURNING d.id, pg_notify('slotbell_control', d.id::text)
        )
        SELECT j.nth, j.outcome, m.id, m.address,
            j.session_no + CASE WHEN j.outcome = 'ok' THEN sum((j.outcome = 'ok' AND j.takes)::integer) OVER (PARTITION BY j.id ORDER BY j.nth) END,
            CASE WHEN j.outcome = 'ok' THEN j.acked END,
            CASE WHEN j.outcome = 'ok' THEN floor(extract(epoch FROM j.expires_at))::bigint END,
            m.head, m.epoch, m.previous_epoch, m.base, m.floor
        FROM judged j
        LEFT JOIN slotbell.mailbox m ON m.id = j.mailbox_id AND j.outcome = 'ok'
        LEFT JOIN taken t ON t.id = j.id;
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

-- These devices have dealt with everything up to these cursors. A row per item:
-- saved (also when the row was further already), stale (a cursor of a history
-- that is no more: nothing is saved) or gone (no live device). failed_item is
-- the item that a failure belongs to. The items in announced are made known to
-- other daemons: the session that was sent the events may be at one of them.
CREATE FUNCTION slotbell.ack(devices bigint[], epochs text[], seqs bigint[], failed_item integer[], failed_seq bigint[], failed_reason text[],
        announced integer[] DEFAULT '{}')
    RETURNS TABLE (item integer, outcome text, acked bigint)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp SET enable_seqscan = off
AS $$
#variable_conflict use_column
BEGIN
    PERFORM d.id FROM slotbell.device d WHERE d.id = ANY (devices) ORDER BY d.id FOR NO KEY UPDATE;
    PERFORM pg_notify('slotbell_control', devices[item]::text) FROM unnest(announced) AS item;
    RETURN QUERY
        WITH judged AS (
            SELECT said.nth::integer AS nth, said.seq, d.id, d.mailbox_id, d.acked,
                CASE
                    WHEN d.id IS NULL OR d.revoked_at IS NOT NULL THEN 'gone'
                    WHEN said.epoch = m.epoch AND said.seq <= m.head THEN 'saved'
                    WHEN said.epoch = m.previous_epoch AND said.seq <= m.base THEN 'saved'
                    ELSE 'stale'
                END AS outcome
            FROM unnest(devices, epochs, seqs) WITH ORDINALITY AS said(device, epoch, seq, nth)
            LEFT JOIN slotbell.device d ON d.id = said.device
            LEFT JOIN slotbell.mailbox m ON m.id = d.mailbox_id
        ), moved AS (
            UPDATE slotbell.device d SET acked = further.seq
            FROM (SELECT id, max(seq) AS seq FROM judged WHERE outcome = 'saved' GROUP BY id) further
            WHERE d.id = further.id AND d.acked < further.seq
            RETURNING d.id, d.acked
        ), kept AS (
            INSERT INTO slotbell.receipt (mailbox_id, seq, device_id, uid, reason)
            SELECT DISTINCT ON (j.mailbox_id, f.seq, j.id) j.mailbox_id, f.seq, j.id, e.uid, f.reason
            FROM unnest(failed_item, failed_seq, failed_reason) WITH ORDINALITY AS f(item, seq, reason, nth)
            JOIN judged j ON j.nth = f.item AND j.outcome = 'saved'
            LEFT JOIN slotbell.event e ON e.mailbox_id = j.mailbox_id AND e.seq = f.seq
            ORDER BY j.mailbox_id, f.seq, j.id, f.nth
            ON CONFLICT DO NOTHING
        )
        SELECT j.nth, j.outcome, coalesce(moved.acked, j.acked) FROM judged j LEFT JOIN moved ON moved.id = j.id;
END
$$;

-- How do these devices stand now? For what a lost notification left wrong. A row per device that is asked for.
CREATE FUNCTION slotbell.reconcile(devices bigint[])
    RETURNS TABLE (device_id bigint, outcome text, session_no bigint, acked bigint, head bigint, epoch text, previous_epoch text, base bigint, floor bigint)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp SET enable_seqscan = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
        SELECT asked.device,
            CASE
                WHEN d.id IS NULL THEN 'unknown'
                WHEN d.revoked_at IS NOT NULL THEN 'revoked'
                WHEN d.expires_at <= now() THEN 'expired'
                ELSE 'ok'
            END,
            d.session_no, d.acked, m.head, m.epoch, m.previous_epoch, m.base, m.floor
        FROM (SELECT DISTINCT device FROM unnest(devices) AS device) asked
        LEFT JOIN slotbell.device d ON d.id = asked.device
        LEFT JOIN slotbell.mailbox m ON m.id = d.mailbox_id;
END
$$;

GRANT EXECUTE ON FUNCTION slotbell.authenticate(bigint[], bytea[], boolean[]), slotbell.fetch(bigint[], bigint[], integer, integer),
    slotbell.ack(bigint[], text[], bigint[], integer[], bigint[], text[], integer[]), slotbell.reconcile(bigint[]) TO slotbell_daemon;

RESET ROLE;
