-- What the daemon calls, with bounds inside: a daemon that was taken over calls with whatever it likes. 0.1.0's daemon calls
-- the same functions, so they keep their names.

SET LOCAL ROLE slotbell_owner;

CREATE FUNCTION slotbell.out_of_bounds(function_name text, detail text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'SB013', MESSAGE = format('slotbell.%s: an argument is out of bounds', function_name),
        DETAIL = detail, HINT = 'slotbelld keeps within them: something else called.';
END
$$;

-- Who are these, and where do they stand? A row per item (1, 2, …): outcome ok,
-- unknown (no such device, or another secret), revoked or expired; no row: not
-- now. Each item that takes over raises its device's session_no, which tells
-- other daemons to drop their older session.
CREATE OR REPLACE FUNCTION slotbell.authenticate(devices bigint[], proofs bytea[], takes_over boolean[])
    RETURNS TABLE (item integer, outcome text, mailbox_id bigint, address text, session_no bigint, acked bigint, expires_at_s bigint,
        head bigint, epoch text, previous_epoch text, base bigint, floor bigint)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp SET enable_seqscan = off
    SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    -- Digests are compared under a key that nobody knows: how long that takes says nothing of them.
    key bytea := convert_to(gen_random_uuid()::text, 'UTF8');
    lately timestamptz := clock_timestamp() - interval '1 hour';
    takers bigint[];
    to_write bigint[];
    stale bigint[];
    busy bigint[] := '{}';
BEGIN
    IF cardinality(devices) > 10000 OR array_ndims(devices) > 1 OR array_lower(devices, 1) <> 1
        OR cardinality(proofs) > 10000 OR array_ndims(proofs) > 1 OR array_lower(proofs, 1) <> 1
        OR cardinality(takes_over) > 10000 OR array_ndims(takes_over) > 1 OR array_lower(takes_over, 1) <> 1 THEN
        PERFORM slotbell.out_of_bounds('authenticate', 'An array is not of one dimension from 1 on, or has too many items.');
    END IF;
    takers := ARRAY(SELECT asked.device FROM unnest(devices, takes_over) AS asked(device, takes) WHERE asked.takes);
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
                    -- No proof is a wrong one.
                    WHEN octet_length(asked.proof) IS DISTINCT FROM 32 THEN 'unknown'
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
            CASE WHEN j.outcome = 'ok' AND isfinite(j.expires_at) THEN floor(extract(epoch FROM j.expires_at))::bigint END,
            m.head, m.epoch, m.previous_epoch, m.base, greatest(m.floor, CASE WHEN j.outcome = 'ok' THEN j.floor END)
        FROM judged j
        LEFT JOIN slotbell.mailbox m ON m.id = j.mailbox_id AND j.outcome = 'ok'
        LEFT JOIN seen s ON s.id = j.id
        WHERE j.outcome <> 'busy';
END
$$;

-- What lies after these seqs? For each mailbox its numbering and the next
-- events in order, at most so many of them and so many bytes, but at least one;
-- a row with seq NULL where there is none. One snapshot: head and events agree. A row that was spoiled by hand fails nothing:
-- what cannot be said of it is NULL. Plug-ins of 0.1.0 end their session at what publish() of 0.1.0 took: a null in details, and
-- a local time in the year 10000. So they are told neither.
CREATE FUNCTION slotbell.next_events(mailboxes bigint[], afters bigint[], max_events integer, max_bytes integer)
    RETURNS TABLE (mailbox_id bigint, after bigint, head bigint, epoch text, previous_epoch text, base bigint, floor bigint,
        seq bigint, version bigint, change text, published_at_us bigint, uid text, starts_at_s bigint, starts_local text, time_zone text,
        duration_minutes integer, subject text, attendees text, details text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp SET enable_seqscan = off
    SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
BEGIN
    IF cardinality(mailboxes) > 10000 OR array_ndims(mailboxes) > 1 OR array_lower(mailboxes, 1) <> 1
        OR cardinality(afters) > 10000 OR array_ndims(afters) > 1 OR array_lower(afters, 1) <> 1 THEN
        PERFORM slotbell.out_of_bounds('fetch', 'An array is not of one dimension from 1 on, or has too many items.');
    END IF;
    IF (max_events BETWEEN 1 AND 10000 AND max_bytes BETWEEN 1 AND 1073741824) IS NOT TRUE THEN
        PERFORM slotbell.out_of_bounds('fetch', 'max_events is 1 to 10000, max_bytes 1 to 1073741824.');
    END IF;
    IF cardinality(mailboxes) = 1 AND cardinality(afters) = 1 THEN
        -- One mailbox, one event, as nearly always when bookings come one by one.
        RETURN QUERY
            SELECT m.id, afters[1], m.head, m.epoch, m.previous_epoch, m.base, m.floor,
                e.seq, CASE WHEN e.version BETWEEN 1 AND 9007199254740991 THEN e.version ELSE e.seq END, e.change,
                CASE WHEN e.published_at BETWEEN '1970-01-01 00:00+00' AND '9999-12-31 23:59:59+00' THEN (extract(epoch FROM e.published_at) * 1000000)::bigint END, e.uid,
                CASE WHEN isfinite(e.starts_at) THEN extract(epoch FROM e.starts_at)::bigint END,
                to_char(CASE WHEN e.starts_local >= '10000-01-01' AND e.starts_local < '10000-01-02' THEN '9999-12-31 23:59:59' ELSE e.starts_local END, 'YYYY-MM-DD"T"HH24:MI:SS'),
                e.time_zone, e.duration_minutes, e.subject, e.attendees::text, jsonb_strip_nulls(e.details)::text
            FROM slotbell.mailbox m LEFT JOIN slotbell.event e ON e.mailbox_id = m.id AND e.seq = m.head AND e.seq > afters[1]
            WHERE m.id = mailboxes[1] AND m.head <= afters[1] + 1;
        IF FOUND THEN
            RETURN;
        END IF;
    END IF;
    RETURN QUERY
        SELECT m.id, asked.after, m.head, m.epoch, m.previous_epoch, m.base, m.floor,
            e.seq, CASE WHEN e.version BETWEEN 1 AND 9007199254740991 THEN e.version ELSE e.seq END, e.change,
            CASE WHEN e.published_at BETWEEN '1970-01-01 00:00+00' AND '9999-12-31 23:59:59+00' THEN (extract(epoch FROM e.published_at) * 1000000)::bigint END, e.uid,
            CASE WHEN isfinite(e.starts_at) THEN extract(epoch FROM e.starts_at)::bigint END,
            to_char(CASE WHEN e.starts_local >= '10000-01-01' AND e.starts_local < '10000-01-02' THEN '9999-12-31 23:59:59' ELSE e.starts_local END, 'YYYY-MM-DD"T"HH24:MI:SS'),
            e.time_zone, e.duration_minutes, e.subject, e.attendees::text, jsonb_strip_nulls(e.details)::text
        FROM unnest(mailboxes, afters) WITH ORDINALITY AS asked(mailbox, after, nth)
        JOIN slotbell.mailbox m ON m.id = asked.mailbox
        LEFT JOIN LATERAL (
            SELECT * FROM (
                SELECT next.*, sum(greatest(next.octets, 0)) OVER (ORDER BY next.seq) - greatest(next.octets, 0) AS octets_before FROM (
                    SELECT * FROM slotbell.event e WHERE e.mailbox_id = asked.mailbox AND e.seq > asked.after ORDER BY e.seq LIMIT max_events
                ) next
            ) measured WHERE measured.octets_before < max_bytes
        ) e ON true
        ORDER BY asked.nth, e.seq;
END
$$;

-- The same for 0.1.0's daemon, which says seq for version.
CREATE OR REPLACE FUNCTION slotbell.fetch(mailboxes bigint[], afters bigint[], max_events integer, max_bytes integer)
    RETURNS TABLE (mailbox_id bigint, after bigint, head bigint, epoch text, previous_epoch text, base bigint, floor bigint,
        seq bigint, change text, published_at_us bigint, uid text, starts_at_s bigint, starts_local text, time_zone text,
        duration_minutes integer, subject text, attendees text, details text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp
AS $$
BEGIN
    RETURN QUERY SELECT n.mailbox_id, n.after, n.head, n.epoch, n.previous_epoch, n.base, n.floor, n.seq, n.change, n.published_at_us, n.uid,
        n.starts_at_s, n.starts_local, n.time_zone, n.duration_minutes, n.subject, n.attendees, n.details
    FROM slotbell.next_events(mailboxes, afters, max_events, max_bytes) n;
END
$$;

-- How do these devices stand now? For what a lost notification left wrong. A row
-- per device that is asked for. They are in sessions, so they are seen.
CREATE OR REPLACE FUNCTION slotbell.reconcile(devices bigint[])
    RETURNS TABLE (device_id bigint, outcome text, session_no bigint, acked bigint, head bigint, epoch text, previous_epoch text, base bigint, floor bigint)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp SET enable_seqscan = off
    SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
BEGIN
    IF cardinality(devices) > 10000 OR array_ndims(devices) > 1 OR array_lower(devices, 1) <> 1 THEN
        PERFORM slotbell.out_of_bounds('reconcile', 'An array is not of one dimension from 1 on, or has too many items.');
    END IF;
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

-- These devices have dealt with everything up to these cursors. A row per item:
-- saved (also when the row was further already), stale (a cursor of a history
-- that has ended: nothing is saved), replaced (of a session, by its session_no,
-- whose device has a newer one by now: nothing is saved, for that one was told
-- already where it starts) or gone (no live device). failed_item is the item
-- that a failure belongs to. The items in announced are made known to
-- other daemons: the session that was sent the events may be at one of them.
-- sent_us says when an item's events were sent: sent_count of them (may be 0),
-- the first is that of seq sent_first, the others follow it without a hole.
CREATE OR REPLACE FUNCTION slotbell.ack(devices bigint[], epochs text[], seqs bigint[], failed_item integer[], failed_seq bigint[], failed_reason text[],
        announced integer[] DEFAULT '{}', sent_first bigint[] DEFAULT NULL, sent_count integer[] DEFAULT NULL, sent_us bigint[] DEFAULT NULL,
        session_nos bigint[] DEFAULT NULL)
    RETURNS TABLE (item integer, outcome text, acked bigint)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp SET enable_seqscan = off
    SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    one record;
BEGIN
    IF cardinality(devices) > 10000 OR array_ndims(devices) > 1 OR array_lower(devices, 1) <> 1
        OR cardinality(epochs) > 10000 OR array_ndims(epochs) > 1 OR array_lower(epochs, 1) <> 1
        OR cardinality(seqs) > 10000 OR array_ndims(seqs) > 1 OR array_lower(seqs, 1) <> 1
        OR cardinality(announced) > 10000 OR array_ndims(announced) > 1 OR array_lower(announced, 1) <> 1
        OR cardinality(sent_first) > 10000 OR array_ndims(sent_first) > 1 OR array_lower(sent_first, 1) <> 1
        OR cardinality(sent_count) > 10000 OR array_ndims(sent_count) > 1 OR array_lower(sent_count, 1) <> 1
        OR cardinality(session_nos) > 10000 OR array_ndims(session_nos) > 1 OR array_lower(session_nos, 1) <> 1
        OR cardinality(failed_item) > 1000000 OR array_ndims(failed_item) > 1 OR array_lower(failed_item, 1) <> 1
        OR cardinality(failed_seq) > 1000000 OR array_ndims(failed_seq) > 1 OR array_lower(failed_seq, 1) <> 1
        OR cardinality(failed_reason) > 1000000 OR array_ndims(failed_reason) > 1 OR array_lower(failed_reason, 1) <> 1
        OR cardinality(sent_us) > 1000000 OR array_ndims(sent_us) > 1 OR array_lower(sent_us, 1) <> 1 THEN
        PERFORM slotbell.out_of_bounds('ack', 'An array is not of one dimension from 1 on, or has too many items.');
    END IF;
    -- What a client is told to be saved it forgets: see keep_on_disk().
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    IF cardinality(devices) = 1 AND cardinality(failed_item) = 0 AND cardinality(announced) = 0 AND session_nos IS NOT NULL THEN
        -- One ack and nothing beside, as nearly always: the same as below, of one device.
        SELECT d.acked, d.mailbox_id,
            CASE
                WHEN d.revoked_at IS NOT NULL THEN 'gone'
                WHEN d.session_no > session_nos[1] THEN 'replaced'
                WHEN epochs[1] = m.epoch AND seqs[1] <= m.head THEN 'saved'
                WHEN epochs[1] = m.previous_epoch AND seqs[1] <= m.base THEN 'saved'
                ELSE 'stale'
            END AS outcome
        INTO one FROM slotbell.device d JOIN slotbell.mailbox m ON m.id = d.mailbox_id WHERE d.id = devices[1] FOR NO KEY UPDATE OF d;
        item := 1;
        outcome := coalesce(one.outcome, 'gone');
        acked := one.acked;
        IF outcome = 'saved' AND seqs[1] > acked THEN
            WITH moved AS (
                UPDATE slotbell.device d SET acked = seqs[1] WHERE d.id = devices[1]
            )
            INSERT INTO slotbell.receipt (mailbox_id, seq, device_id, uid, change, published_at, sent_at, done_at)
            SELECT one.mailbox_id, e.seq, devices[1], left(e.uid, 255), e.change, coalesce(e.published_at, clock_timestamp()),
                CASE WHEN e.seq >= sent_first[1] AND e.seq < sent_first[1] + sent_count[1]
                     THEN to_timestamp(sent_us[(e.seq - sent_first[1])::integer + 1] / 1000000.0) END,
                clock_timestamp()
            FROM slotbell.event e WHERE e.mailbox_id = one.mailbox_id AND e.seq > one.acked AND e.seq <= seqs[1]
            ORDER BY e.seq
            ON CONFLICT ON CONSTRAINT receipt_pkey DO UPDATE
                SET done_at = excluded.done_at, sent_at = coalesce(excluded.sent_at, receipt.sent_at), reason = NULL;
            acked := seqs[1];
        END IF;
        RETURN NEXT;
        RETURN;
    END IF;
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
            SELECT f.mailbox_id, e.seq, f.id, left(e.uid, 255), e.change, coalesce(e.published_at, clock_timestamp()),
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
            WHERE said.seq <= d.acked AND d.revoked_at IS NULL AND said.reason IN ('conflict', 'rejected', 'unsupported')
                AND (epochs[said.item] = m.epoch OR (epochs[said.item] = m.previous_epoch AND said.seq <= m.base))
            ORDER BY d.id, said.seq, said.nth DESC
        ) f
        WHERE r.mailbox_id = f.mailbox_id AND r.seq = f.seq AND r.device_id = f.id AND r.done_at IS NOT NULL;
    END IF;
END
$$;

-- These events were sent to these devices at these times, and are not acked yet.
CREATE OR REPLACE FUNCTION slotbell.sent(devices bigint[], seqs bigint[], sent_us bigint[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp SET enable_seqscan = off
    SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    IF cardinality(devices) > 1000000 OR array_ndims(devices) > 1 OR array_lower(devices, 1) <> 1
        OR cardinality(seqs) > 1000000 OR array_ndims(seqs) > 1 OR array_lower(seqs, 1) <> 1
        OR cardinality(sent_us) > 1000000 OR array_ndims(sent_us) > 1 OR array_lower(sent_us, 1) <> 1 THEN
        PERFORM slotbell.out_of_bounds('sent', 'An array is not of one dimension from 1 on, or has too many items.');
    END IF;
    INSERT INTO slotbell.receipt (mailbox_id, seq, device_id, uid, change, published_at, sent_at)
    SELECT DISTINCT ON (d.id, e.seq) d.mailbox_id, e.seq, d.id, left(e.uid, 255), e.change, coalesce(e.published_at, clock_timestamp()), to_timestamp(told.us / 1000000.0)
    FROM unnest(devices, seqs, sent_us) AS told(device, seq, us)
    JOIN slotbell.device d ON d.id = told.device AND d.acked < told.seq AND d.revoked_at IS NULL
    JOIN slotbell.event e ON e.mailbox_id = d.mailbox_id AND e.seq = told.seq
    ORDER BY d.id, e.seq, told.us DESC
    ON CONFLICT ON CONSTRAINT receipt_pkey DO UPDATE SET sent_at = excluded.sent_at WHERE receipt.done_at IS NULL;
END
$$;

-- How many sessions a daemon has here: what bounds them. Its default comes afterwards: see slotbell.refusal.
ALTER TABLE slotbell.instance ADD COLUMN sessions integer;
ALTER TABLE slotbell.instance ALTER sessions SET DEFAULT 0;
UPDATE slotbell.instance i SET sessions = (SELECT count(*) FROM slotbell.session s WHERE s.instance = i.name);
ALTER TABLE slotbell.instance ALTER sessions SET NOT NULL;

-- This daemon is on for lease_seconds more; these sessions of it began (is_on) or
-- ended, in this order. True: it has a lease already; false: it had none, and
-- what it said before is forgotten. At most 1000 daemons, with 1,000,000 sessions in all and each of a device that exists:
-- nobody fills the disk here.
CREATE FUNCTION slotbell.attend(instance text, lease_seconds integer, sessions bigint[], devices bigint[], is_on boolean[]) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp
AS $$
DECLARE
    known boolean;
    ended bigint;
    begun bigint;
    others bigint;
BEGIN
    IF cardinality(attend.sessions) > 10000 OR array_ndims(attend.sessions) > 1 OR array_lower(attend.sessions, 1) <> 1
        OR cardinality(devices) > 10000 OR array_ndims(devices) > 1 OR array_lower(devices, 1) <> 1
        OR cardinality(is_on) > 10000 OR array_ndims(is_on) > 1 OR array_lower(is_on, 1) <> 1 THEN
        PERFORM slotbell.out_of_bounds('attend', 'An array is not of one dimension from 1 on, or has too many items.');
    END IF;
    IF (instance ~ '^[0-9a-f]{1,32}$' AND lease_seconds BETWEEN 1 AND 600) IS NOT TRUE THEN
        PERFORM slotbell.out_of_bounds('attend', 'instance is 1 to 32 hexadecimal digits, lease_seconds 1 to 600.');
    END IF;
    PERFORM FROM slotbell.instance i WHERE i.name = attend.instance FOR UPDATE;
    known := FOUND;
    IF NOT known THEN
        IF (SELECT count(*) FROM slotbell.instance) >= 1000 THEN
            PERFORM slotbell.out_of_bounds('attend', 'There are 1000 daemons already.');
        END IF;
        DELETE FROM slotbell.session s WHERE s.instance = attend.instance;
        INSERT INTO slotbell.instance (name, lease_until) VALUES (attend.instance, clock_timestamp());
    END IF;
    WITH said AS (
        SELECT DISTINCT ON (number) number, device_id, on_now
        FROM unnest(sessions, devices, is_on) WITH ORDINALITY AS said(number, device_id, on_now, nth) ORDER BY number, nth DESC
    ), off AS (
        DELETE FROM slotbell.session s USING said WHERE s.instance = attend.instance AND s.number = said.number AND NOT said.on_now
        RETURNING 1
    ), "on" AS (
        INSERT INTO slotbell.session (instance, number, device_id)
        SELECT attend.instance, said.number, said.device_id FROM said JOIN slotbell.device d ON d.id = said.device_id
        WHERE said.on_now AND said.number IS NOT NULL
        ON CONFLICT ON CONSTRAINT session_pkey DO NOTHING RETURNING 1
    )
    SELECT (SELECT count(*) FROM off), (SELECT count(*) FROM "on") INTO ended, begun;
    IF begun > 0 THEN
        SELECT coalesce(sum(i.sessions), 0) INTO others FROM slotbell.instance i WHERE i.name <> attend.instance;
    END IF;
    UPDATE slotbell.instance i SET lease_until = clock_timestamp() + make_interval(secs => lease_seconds), sessions = greatest(i.sessions + begun - ended, 0)
    WHERE i.name = attend.instance RETURNING i.sessions + others INTO others;
    IF others > 1000000 THEN
        PERFORM slotbell.out_of_bounds('attend', 'There are 1,000,000 sessions already.');
    END IF;
    RETURN known;
END
$$;

-- The same for 0.1.0's daemon. While one is on, versions count as its seqs do: see number_events().
CREATE OR REPLACE FUNCTION slotbell.presence(instance text, lease_seconds integer, sessions bigint[], devices bigint[], is_on boolean[]) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp SET enable_seqscan = off
AS $$
#variable_conflict use_variable
DECLARE
    known boolean := slotbell.attend(instance, lease_seconds, sessions, devices, is_on);
BEGIN
    IF slotbell.try_guard() THEN
        UPDATE slotbell.guard g SET seqs_until = clock_timestamp() + make_interval(secs => lease_seconds) WHERE g.only_one;
    END IF;
    RETURN known;
END
$$;

GRANT EXECUTE ON FUNCTION slotbell.next_events(bigint[], bigint[], integer, integer),
    slotbell.attend(text, integer, bigint[], bigint[], boolean[]) TO slotbell_daemon;

RESET ROLE;
