-- Receipts: what became of each event at each device. And presence: which
-- devices are on now. Neither holds personal data, and receipts outlive events.

SET LOCAL ROLE slotbell_owner;

-- One event at one device. Written when its ack is saved, by the same statement
-- and for all that the ack covers; before that only when an ack is late, or its
-- session ended without it. While it waits to be sent there is no row.
CREATE TABLE slotbell.receipt (
    mailbox_id bigint NOT NULL,
    seq bigint NOT NULL,
    device_id bigint NOT NULL,
    uid text NOT NULL,
    change text NOT NULL,
    published_at timestamptz NOT NULL, -- when its commit began
    sent_at timestamptz,               -- NULL: the daemon that sent it did not live to say when
    done_at timestamptz,               -- when the ack was saved, or the event deleted unseen; NULL: sent, and no more is known
    reason text CHECK (reason IN ('conflict', 'rejected', 'unsupported', 'expired')), -- NULL: written
    PRIMARY KEY (mailbox_id, seq, device_id)
);
CREATE INDEX receipt_uid ON slotbell.receipt (uid);
CREATE INDEX receipt_published ON slotbell.receipt (published_at);
-- Whoever asks for a uid's events that are not acked yet finds its mailbox here.
CREATE INDEX booking_state_uid ON slotbell.booking_state (uid);

-- These devices have dealt with everything up to these cursors. A row per item:
-- saved (also when the row was further already), stale (a cursor of a history
-- that is no more: nothing is saved), replaced (of a session, by its session_no,
-- whose device has a newer one by now: nothing is saved, for that one was told
-- already where it starts) or gone (no live device). failed_item is the item
-- that a failure belongs to. The items in announced are made known to
-- other daemons: the session that was sent the events may be at one of them.
-- sent_us says when an item's events were sent: sent_count of them (may be 0),
-- the first is that of seq sent_first, the others follow it without a hole.
CREATE FUNCTION slotbell.ack(devices bigint[], epochs text[], seqs bigint[], failed_item integer[], failed_seq bigint[], failed_reason text[],
        announced integer[] DEFAULT '{}', sent_first bigint[] DEFAULT NULL, sent_count integer[] DEFAULT NULL, sent_us bigint[] DEFAULT NULL,
        session_nos bigint[] DEFAULT NULL)
    RETURNS TABLE (item integer, outcome text, acked bigint)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
    saved_items integer[];
BEGIN
    PERFORM d.id FROM slotbell.device d WHERE d.id = ANY (devices) ORDER BY d.id FOR NO KEY UPDATE;
    PERFORM pg_notify('slotbell_control', devices[item]::text) FROM unnest(announced) AS item;
    RETURN QUERY
        WITH said AS (
            SELECT nth::integer AS nth, device, epoch, seq, first, count, session_no,
                coalesce(sum(count) OVER (ORDER BY nth ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0)::integer AS before
            FROM unnest(devices, epochs, seqs, sent_first, sent_count, session_nos) WITH ORDINALITY
                AS said(device, epoch, seq, first, count, session_no, nth)
        ), judged AS (
            SELECT said.*, d.id, d.mailbox_id, d.acked,
                CASE
                    WHEN d.id IS NULL OR d.revoked_at IS NOT NULL THEN 'gone'
                    WHEN d.session_no > said.session_no THEN 'replaced'
                    WHEN said.epoch = m.epoch AND said.seq <= m.head THEN 'saved'
                    WHEN said.epoch = m.previous_epoch AND said.seq <= m.base THEN 'saved'
                    ELSE 'stale'
                END AS outcome
            FROM said
            LEFT JOIN slotbell.device d ON d.id = said.device
            LEFT JOIN slotbell.mailbox m ON m.id = d.mailbox_id
        ), further AS (
            SELECT DISTINCT ON (id) id, mailbox_id, acked AS after, seq AS upto, first, count, before
            FROM judged WHERE outcome = 'saved' AND seq > acked ORDER BY id, seq DESC
        ), moved AS (
            UPDATE slotbell.device d SET acked = f.upto FROM further f WHERE d.id = f.id RETURNING d.id, d.acked
        ), kept AS (
            INSERT INTO slotbell.receipt (mailbox_id, seq, device_id, uid, change, published_at, sent_at, done_at)
            SELECT f.mailbox_id, e.seq, f.id, e.uid, e.change, e.published_at,
                CASE WHEN e.seq >= f.first AND e.seq < f.first + f.count
                     THEN to_timestamp(sent_us[f.before + (e.seq - f.first)::integer + 1] / 1000000.0) END,
                clock_timestamp()
            FROM further f CROSS JOIN LATERAL (
                SELECT e.seq, e.uid, e.change, e.published_at FROM slotbell.event e
                WHERE e.mailbox_id = f.mailbox_id AND e.seq > f.after AND e.seq <= f.upto
                OFFSET 0
            ) e
            ORDER BY f.id, e.seq
            ON CONFLICT ON CONSTRAINT receipt_pkey DO UPDATE
                SET done_at = excluded.done_at, sent_at = coalesce(excluded.sent_at, receipt.sent_at), reason = NULL
        )
        SELECT j.nth, j.outcome, coalesce(moved.acked, j.acked) FROM judged j LEFT JOIN moved ON moved.id = j.id;

    IF cardinality(failed_item) > 0 THEN
        -- They may come again, after a crash of the client. What nobody knows of is not kept.
        UPDATE slotbell.receipt r SET reason = f.reason
        FROM (
            SELECT DISTINCT ON (d.id, said.seq) d.mailbox_id, d.id, said.seq, said.reason
            FROM unnest(failed_item, failed_seq, failed_reason) WITH ORDINALITY AS said(item, seq, reason, nth)
            JOIN slotbell.device d ON d.id = devices[said.item]
            JOIN slotbell.mailbox m ON m.id = d.mailbox_id
            WHERE said.seq <= d.acked AND d.revoked_at IS NULL
                AND (epochs[said.item] = m.epoch OR (epochs[said.item] = m.previous_epoch AND said.seq <= m.base))
            ORDER BY d.id, said.seq, said.nth DESC
        ) f
        WHERE r.mailbox_id = f.mailbox_id AND r.seq = f.seq AND r.device_id = f.id AND r.done_at IS NOT NULL;
    END IF;
END
$$;

-- These events were sent to these devices at these times, and are not acked yet.
CREATE FUNCTION slotbell.sent(devices bigint[], seqs bigint[], sent_us bigint[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp SET enable_seqscan = off
AS $$
BEGIN
    INSERT INTO slotbell.receipt (mailbox_id, seq, device_id, uid, change, published_at, sent_at)
    SELECT DISTINCT ON (d.id, e.seq) d.mailbox_id, e.seq, d.id, e.uid, e.change, e.published_at, to_timestamp(told.us / 1000000.0)
    FROM unnest(devices, seqs, sent_us) AS told(device, seq, us)
    JOIN slotbell.device d ON d.id = told.device AND d.acked < told.seq AND d.revoked_at IS NULL
    JOIN slotbell.event e ON e.mailbox_id = d.mailbox_id AND e.seq = told.seq
    ORDER BY d.id, e.seq, told.us DESC
    ON CONFLICT ON CONSTRAINT receipt_pkey DO UPDATE SET sent_at = excluded.sent_at WHERE receipt.done_at IS NULL;
END
$$;

-- A daemon that is on, for as long as its lease: one that was killed is off soon after, and nobody has to say so.
-- Unlogged, for nothing here is worth an fsync: whoever finds its lease gone says all again.
CREATE UNLOGGED TABLE slotbell.instance (
    name text PRIMARY KEY,           -- the first half of its sessions' names
    since timestamptz NOT NULL DEFAULT clock_timestamp(),
    lease_until timestamptz NOT NULL
);
-- A live session of a daemon.
CREATE UNLOGGED TABLE slotbell.session (
    instance text NOT NULL,
    number bigint NOT NULL,          -- the second half of its name
    device_id bigint NOT NULL,
    since timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (instance, number)
);

-- This daemon is on for lease_seconds more; these sessions of it began (is_on) or
-- ended, in this order. True: it has a lease already; false: it had none, and
-- what it said before is forgotten.
CREATE FUNCTION slotbell.presence(instance text, lease_seconds integer, sessions bigint[], devices bigint[], is_on boolean[]) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp
AS $$
DECLARE
    until_then timestamptz := clock_timestamp() + make_interval(secs => lease_seconds);
    known boolean;
BEGIN
    UPDATE slotbell.instance i SET lease_until = until_then WHERE i.name = presence.instance;
    known := FOUND;
    IF NOT known THEN
        DELETE FROM slotbell.session s WHERE s.instance = presence.instance;
        INSERT INTO slotbell.instance (name, lease_until) VALUES (presence.instance, until_then);
    END IF;
    WITH said AS (
        SELECT DISTINCT ON (number) number, device_id, on_now
        FROM unnest(sessions, devices, is_on) WITH ORDINALITY AS said(number, device_id, on_now, nth) ORDER BY number, nth DESC
    ), ended AS (
        DELETE FROM slotbell.session s USING said WHERE s.instance = presence.instance AND s.number = said.number AND NOT said.on_now
    )
    INSERT INTO slotbell.session (instance, number, device_id)
    SELECT presence.instance, said.number, said.device_id FROM said WHERE said.on_now
    ON CONFLICT ON CONSTRAINT session_pkey DO NOTHING;
    RETURN known;
END
$$;

-- Which devices are on now, by which session of which daemon.
CREATE VIEW slotbell.presence AS
    SELECT m.address AS mailbox, d.id AS device, d.label, s.since, s.instance || '-' || s.number AS session
    FROM slotbell.instance i JOIN slotbell.session s ON s.instance = i.name
    JOIN slotbell.device d ON d.id = s.device_id JOIN slotbell.mailbox m ON m.id = d.mailbox_id
    WHERE i.lease_until > clock_timestamp();

-- Where each event is at each device: waiting (to be sent), sent (and not acked), written, failed (reason says
-- why) or expired (deleted before the device came for it).
CREATE VIEW slotbell.delivery AS
    SELECT m.address AS mailbox, r.uid, r.seq, r.change, r.device_id AS device, d.label,
        CASE
            WHEN r.done_at IS NULL THEN 'sent'
            WHEN r.reason IS NULL THEN 'written'
            WHEN r.reason = 'expired' THEN 'expired'
            ELSE 'failed'
        END AS state,
        r.reason, r.published_at AS committed_at, r.sent_at, r.done_at
    FROM slotbell.receipt r JOIN slotbell.mailbox m ON m.id = r.mailbox_id LEFT JOIN slotbell.device d ON d.id = r.device_id
    UNION ALL
    SELECT m.address, b.uid, e.seq, e.change, d.id, d.label, 'waiting', NULL, e.published_at, NULL, NULL
    FROM slotbell.booking_state b JOIN slotbell.event e ON e.mailbox_id = b.mailbox_id AND e.uid = b.uid
    JOIN slotbell.mailbox m ON m.id = e.mailbox_id
    JOIN slotbell.device d ON d.mailbox_id = e.mailbox_id AND d.acked < e.seq AND d.revoked_at IS NULL AND d.stale_at IS NULL
    WHERE e.seq IS NOT NULL AND NOT EXISTS (
        SELECT FROM slotbell.receipt r WHERE r.mailbox_id = e.mailbox_id AND r.seq = e.seq AND r.device_id = d.id);

-- The same of one booking, for those who know its uid and no more than that: the backend that made it.
-- A mailbox narrows it where uids are not unique.
CREATE FUNCTION slotbell.delivery_of(uid text, mailbox text DEFAULT NULL) RETURNS SETOF slotbell.delivery
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp
AS $$
    SELECT v.* FROM slotbell.delivery v
    WHERE v.uid = delivery_of.uid AND (delivery_of.mailbox IS NULL OR v.mailbox = lower(delivery_of.mailbox))
    ORDER BY v.mailbox, v.seq, v.device
$$;

GRANT EXECUTE ON FUNCTION slotbell.ack(bigint[], text[], bigint[], integer[], bigint[], text[], integer[], bigint[], integer[], bigint[], bigint[]),
    slotbell.sent(bigint[], bigint[], bigint[]), slotbell.presence(text, integer, bigint[], bigint[], boolean[]) TO slotbell_daemon;
GRANT EXECUTE ON FUNCTION slotbell.delivery_of(text, text) TO slotbell_publisher, slotbell_admin;
GRANT SELECT ON slotbell.delivery, slotbell.presence TO slotbell_admin;

RESET ROLE;
