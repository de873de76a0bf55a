-- A stand-in for config/sql with the same functions and with faults to switch
-- on: what the store does when the database misbehaves is what these tests ask,
-- not what the functions compute.
DO $$ BEGIN CREATE ROLE slotbell_owner; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
CREATE SCHEMA slotbell AUTHORIZATION slotbell_owner;
CREATE FUNCTION slotbell.schema_version() RETURNS int LANGUAGE sql AS 'SELECT {version}';

CREATE TABLE slotbell.device (id bigint PRIMARY KEY, session_no bigint NOT NULL DEFAULT 0,
	acked bigint NOT NULL DEFAULT 0, revoked boolean NOT NULL DEFAULT false);
INSERT INTO slotbell.device SELECT generate_series(1, 20000);
-- An item that names one of these makes its whole statement fail.
CREATE TABLE slotbell.poison (id bigint PRIMARY KEY);
-- Whoever locks this holds every statement up.
CREATE TABLE slotbell.gate ();

CREATE FUNCTION slotbell.check_items(items bigint[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM FROM slotbell.gate;
	IF EXISTS (SELECT FROM slotbell.poison WHERE id = ANY (items)) THEN
		RAISE EXCEPTION 'poisoned' USING ERRCODE = '22000', DETAIL = 'not for any log';
	END IF;
END $$;

CREATE FUNCTION slotbell.authenticate(devices bigint[], proofs bytea[], takes_over boolean[])
RETURNS TABLE (item int, outcome text, mailbox_id bigint, address text, session_no bigint, acked bigint,
	expires_at_s bigint, head bigint, epoch text, previous_epoch text, base bigint, floor bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
	PERFORM slotbell.check_items(devices);
	PERFORM FROM slotbell.device WHERE id = ANY (devices) ORDER BY id FOR UPDATE;
	UPDATE slotbell.device SET session_no = session_no + 1 WHERE id = ANY (devices);
	PERFORM pg_notify('slotbell_control', d::text) FROM unnest(devices[1:1]) d;
	RETURN QUERY SELECT q.i::int,
		CASE WHEN d.id IS NULL OR q.proof <> decode(repeat(lpad(to_hex(q.id % 251), 2, '0'), 32), 'hex')
			THEN 'unknown' WHEN d.revoked THEN 'revoked' ELSE 'ok' END,
		d.id, 'box' || d.id || '@example.com', d.session_no, d.acked, NULL::bigint, d.id * 10, 'abcd1234',
		NULL::text, 0::bigint, 0::bigint
		FROM unnest(devices, proofs) WITH ORDINALITY AS q (id, proof, i)
		LEFT JOIN slotbell.device d ON d.id = q.id ORDER BY q.i DESC;
END $$;

CREATE FUNCTION slotbell.next_events(mailboxes bigint[], afters bigint[], max_events int, max_bytes int)
RETURNS TABLE (mailbox_id bigint, after bigint, head bigint, epoch text, previous_epoch text, base bigint,
	floor bigint, seq bigint, version bigint, change text, published_at_us bigint, uid text, starts_at_s bigint, starts_local text,
	time_zone text, duration_minutes int, subject text, attendees text, details text)
LANGUAGE plpgsql AS $$
BEGIN
	PERFORM slotbell.check_items(mailboxes);
	-- Mailbox n has n % 4 events after any seq; the last of three is a bare cancel.
	RETURN QUERY SELECT q.id, q.after, q.after + q.id % 4, 'abcd1234', 'old', 0::bigint, 0::bigint, q.after + s, 1000 + q.after + s,
		CASE WHEN s = 3 THEN 'cancelled' ELSE 'created' END, 1000000::bigint, 'uid-' || q.id || '-' || s,
		CASE WHEN s < 3 THEN 1800000000::bigint END, CASE WHEN s < 3 THEN '2027-01-15T08:00:00' END,
		CASE WHEN s < 3 THEN 'UTC' END, CASE WHEN s < 3 THEN 30 END, CASE WHEN s < 3 THEN 'Grüße' END,
		CASE WHEN s < 3 THEN '[]' END, NULL::text
		FROM unnest(mailboxes, afters) AS q (id, after) LEFT JOIN generate_series(1, max_events) s ON s <= q.id % 4
		ORDER BY q.id DESC, s;
END $$;

CREATE FUNCTION slotbell.ack(devices bigint[], epochs text[], seqs bigint[], failed_item int[], failed_seq bigint[],
	failed_reason text[], announced int[], sent_first bigint[], sent_count int[], sent_us bigint[], session_nos bigint[])
RETURNS TABLE (item int, outcome text, acked bigint) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
	PERFORM slotbell.check_items(devices);
	PERFORM FROM slotbell.device WHERE id = ANY (devices) ORDER BY id FOR UPDATE;
	UPDATE slotbell.device d SET acked = greatest(d.acked, q.seq)
		FROM unnest(devices, epochs, seqs) q (id, epoch, seq) WHERE d.id = q.id AND q.epoch = 'abcd1234';
	INSERT INTO slotbell.receipt SELECT devices[f.item], f.seq, f.reason
		FROM unnest(failed_item, failed_seq, failed_reason) f (item, seq, reason) ON CONFLICT DO NOTHING;
	RETURN QUERY SELECT q.i::int, CASE WHEN d.id IS NULL OR d.revoked THEN 'gone' WHEN q.epoch = 'abcd1234' THEN 'saved'
		ELSE 'stale' END, d.acked
		FROM unnest(devices, epochs) WITH ORDINALITY AS q (id, epoch, i) LEFT JOIN slotbell.device d ON d.id = q.id;
END $$;
CREATE TABLE slotbell.receipt (device_id bigint, seq bigint, reason text, PRIMARY KEY (device_id, seq));

-- What these were called with, in order.
CREATE TABLE slotbell.said (id bigint GENERATED ALWAYS AS IDENTITY, word text, a text, b text, c text);

CREATE FUNCTION slotbell.sent(devices bigint[], seqs bigint[], sent_us bigint[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM slotbell.check_items(devices);
	INSERT INTO slotbell.said (word, a, b, c) VALUES ('sent', devices::text, seqs::text, sent_us::text);
END $$;

-- The lease is a row: whoever deletes it makes the database forget.
CREATE TABLE slotbell.lease (name text PRIMARY KEY, seconds int);
CREATE FUNCTION slotbell.attend(instance text, lease_seconds int, sessions bigint[], devices bigint[], is_on boolean[]) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
	known boolean := EXISTS (SELECT FROM slotbell.lease WHERE name = instance);
BEGIN
	PERFORM slotbell.check_items(devices);
	INSERT INTO slotbell.lease VALUES (instance, lease_seconds) ON CONFLICT DO NOTHING;
	INSERT INTO slotbell.said (word, a, b, c) VALUES ('presence', sessions::text, devices::text, is_on::text);
	RETURN known;
END $$;

-- Three steps make a round; what it is told to fail at fails.
CREATE TABLE slotbell.sweep_fault (sqlstate text);
CREATE FUNCTION slotbell.sweep_step(after_mailbox bigint, after_device bigint, max_mailboxes int, max_rows int, grace_seconds int,
	retention_days int, receipts_days int, stale_days int)
RETURNS TABLE (held boolean, next_mailbox bigint, next_device bigint, events bigint, expired bigint, bookings bigint, receipts bigint, stale bigint, removed bigint)
LANGUAGE plpgsql AS $$
DECLARE
	fault text := (SELECT f.sqlstate FROM slotbell.sweep_fault f LIMIT 1);
BEGIN
	IF fault IS NOT NULL THEN
		RAISE EXCEPTION 'a fault of the sweep' USING ERRCODE = fault;
	END IF;
	-- The session that has this lock sweeps.
	IF NOT pg_try_advisory_lock(1) THEN
		RETURN QUERY SELECT false, NULL::bigint, after_device, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint;
		RETURN;
	END IF;
	INSERT INTO slotbell.said (word, a, b, c) VALUES ('sweep', after_mailbox::text, after_device::text,
		concat_ws(' ', max_mailboxes, max_rows, grace_seconds, retention_days, receipts_days, stale_days));
	RETURN QUERY SELECT true, nullif((after_mailbox + 10) % 30, 0), after_device + 1, 1::bigint, 2::bigint, 3::bigint, 4::bigint, 5::bigint, 6::bigint;
END $$;

CREATE FUNCTION slotbell.reconcile(devices bigint[])
RETURNS TABLE (device_id bigint, outcome text, session_no bigint, acked bigint, head bigint, epoch text, previous_epoch text,
	base bigint, floor bigint) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM slotbell.check_items(devices);
	RETURN QUERY SELECT q.id, CASE WHEN d.id IS NULL THEN 'unknown' WHEN d.revoked THEN 'revoked' ELSE 'ok' END,
		d.session_no, d.acked, d.id * 10, 'abcd1234', NULL::text, 0::bigint, 0::bigint
		FROM (SELECT DISTINCT unnest(devices)) AS q (id) LEFT JOIN slotbell.device d ON d.id = q.id;
END $$;
