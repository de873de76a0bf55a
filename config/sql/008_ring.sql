-- What attached tables do: they ring, they say what cannot ring, and resync() publishes them again for who lacks it.

SET LOCAL ROLE slotbell_owner;

-- Rows of attached tables that could not ring: the newest thousand, without personal data.
CREATE TABLE slotbell.refusal (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    relation text NOT NULL,
    operation text NOT NULL,     -- INSERT, UPDATE, DELETE or RESYNC
    uid text,                    -- NULL: it has none that can be one
    code text NOT NULL           -- the SQLSTATE
);

-- What a publisher sees of it: rows of tables that it owns.
CREATE VIEW slotbell.refusals WITH (security_barrier) AS
    SELECT r.id, r.at, r.relation, r.operation, r.uid, r.code
    FROM slotbell.refusal r LEFT JOIN (pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace) ON r.relation = format('%I.%I', n.nspname, c.relname)
    WHERE pg_has_role('slotbell_admin', 'USAGE') OR pg_has_role(c.relowner, 'USAGE');

-- Keeps a refusal and warns of it, once in a transaction of each kind: a statement may write to many rows.
CREATE FUNCTION slotbell.refused(relation text, operation text, uid text, code text, words text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp SET enable_seqscan = off
AS $$
#variable_conflict use_variable
DECLARE
    number bigint;
    kind text := format(E'\n%s %s\n', relation, code);
    warned text := coalesce(current_setting('slotbell.warned', true), '');
BEGIN
    INSERT INTO slotbell.refusal (relation, operation, uid, code)
    VALUES (left(relation, 300), left(operation, 10), CASE WHEN char_length(uid) <= 255 AND uid !~ '[[:cntrl:]]' THEN uid END, code)
    RETURNING id INTO number;
    IF number % 100 = 0 THEN
        DELETE FROM slotbell.refusal r WHERE r.id IN
            (SELECT old.id FROM slotbell.refusal old WHERE old.id <= number - 1000 FOR UPDATE SKIP LOCKED);
    END IF;
    IF strpos(warned, kind) > 0 THEN
        RETURN;
    END IF;
    PERFORM set_config('slotbell.warned', warned || kind, true);
    -- PostgreSQL's words may quote a value of the row, and a warning gets into logs. Ours do not, nor those on names.
    RAISE WARNING USING ERRCODE = code,
        MESSAGE = format('slotbell: %s of a row in %s does not ring: %s', operation, relation,
            CASE WHEN code ~ '^(SB|42|3F)' THEN words ELSE 'SQLSTATE ' || code END),
        HINT = CASE WHEN code ~ '^(42|3F)' THEN 'The table is not as it was when it was attached: call slotbell.attach() again.'
            ELSE 'The row is written all the same. slotbell.refusals lists such rows; only_when leaves them out.' END;
END
$$;

-- Publishes what the mapping made of a row. For ring() and resync() only. (In plpgsql, for an SQL
-- function that cannot be inlined is planned anew at each call.)
CREATE FUNCTION slotbell.publish_row(booking jsonb, change text) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp
AS $$
BEGIN
    RETURN slotbell.publish(booking ->> 'mailbox', booking ->> 'uid', (booking ->> 'starts_at')::timestamptz,
        (booking ->> 'minutes')::integer, booking ->> 'time_zone', booking ->> 'subject', nullif(booking -> 'attendees', 'null'),
        change, nullif(booking -> 'details', 'null'));
END
$$;

CREATE FUNCTION slotbell.has_passed(booking jsonb) RETURNS boolean
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp
AS $$
BEGIN
    RETURN coalesce((booking ->> 'starts_at')::timestamptz + make_interval(mins => (booking ->> 'minutes')::integer) <= now(), false);
END
$$;

-- Before a booking is created: may it be, where it was cancelled? What this very transaction cancelled was moved (to
-- another partition, or deleted and written anew): true, and its cancel rings no more. What an UPDATE turns on again is
-- the same row, so that nothing is late: it is opened. Another row of a cancelled uid is refused.
CREATE FUNCTION slotbell.reopen(mailbox text, uid text, operation text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp SET enable_seqscan = off
AS $$
#variable_conflict use_variable
DECLARE
    at_mailbox bigint := (SELECT m.id FROM slotbell.mailbox m WHERE m.address = lower(mailbox));
    moved boolean;
BEGIN
    DELETE FROM slotbell.event e
    WHERE e.xact = pg_current_xact_id() AND e.seq IS NULL AND e.mailbox_id = at_mailbox AND e.uid = uid AND e.change = 'cancelled';
    moved := FOUND;
    IF moved OR operation = 'UPDATE' THEN
        UPDATE slotbell.booking_state s SET cancelled = false, state_hash = '' WHERE s.mailbox_id = at_mailbox AND s.uid = uid AND s.cancelled;
    ELSIF EXISTS (SELECT FROM slotbell.booking_state s WHERE s.mailbox_id = at_mailbox AND s.uid = uid AND s.cancelled) THEN
        RAISE EXCEPTION USING ERRCODE = 'SB027', MESSAGE = 'a booking of this uid was cancelled, which a new row does not undo',
            DETAIL = 'A row that is on again by an UPDATE does ring.', HINT = 'Give a new booking a uid of its own.';
    END IF;
    RETURN moved;
END
$$;

-- A row was this booking and is that one (NULL: none that rings): publish what follows.
CREATE FUNCTION slotbell.ring(relation text, operation text, was jsonb, becomes jsonb) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp
AS $$
DECLARE
    same boolean := coalesce(lower(was ->> 'mailbox') = lower(becomes ->> 'mailbox') AND was ->> 'uid' = becomes ->> 'uid', false);
    was_over boolean := slotbell.has_passed(was);
BEGIN
    IF was IS NOT NULL AND NOT same AND NOT was_over THEN
        PERFORM slotbell.publish(was ->> 'mailbox', was ->> 'uid', change => 'cancelled');
    END IF;
    -- What was over and is over rings nothing; a booking that is moved into the past does.
    IF becomes IS NULL OR (slotbell.has_passed(becomes) AND (NOT same OR was_over)) THEN
        RETURN;
    END IF;
    IF same OR slotbell.reopen(becomes ->> 'mailbox', becomes ->> 'uid', operation) THEN
        PERFORM slotbell.publish_row(becomes, 'updated');
    ELSE
        PERFORM slotbell.publish_row(becomes, 'created');
    END IF;
END
$$;

-- Who lacks what was booked before: a mailbox with a device that was enrolled just now, or lost something. Rows are only
-- added and marked, never waited for: enrolment and the numbering at commit hold the mailbox here.
CREATE TABLE slotbell.resync_need (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    mailbox_id bigint NOT NULL,
    reason text NOT NULL CHECK (reason IN ('enrolled', 'expired', 'epoch', 'attached')),
    since timestamptz NOT NULL DEFAULT now(),
    lacks_to bigint NOT NULL,             -- a booking whose newest event is no later rings again, though its state is the same
    done text[] NOT NULL DEFAULT '{}',    -- the attached tables that were published since
    met boolean NOT NULL DEFAULT false
);
CREATE INDEX resync_need_mailbox ON slotbell.resync_need (mailbox_id);
CREATE INDEX resync_need_open ON slotbell.resync_need (id) WHERE NOT met;

CREATE FUNCTION slotbell.add_resync_need(mailbox_id bigint, reason text, lacks_to bigint) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp SET enable_seqscan = off
AS $$
#variable_conflict use_variable
BEGIN
    -- What the new one says as well. One that is being met right now stays: it may be locked until a commit that waits for us.
    DELETE FROM slotbell.resync_need n WHERE n.id IN (
        SELECT old.id FROM slotbell.resync_need old
        WHERE old.mailbox_id = mailbox_id AND old.lacks_to <= lacks_to AND (old.met OR old.reason = reason) FOR UPDATE SKIP LOCKED);
    INSERT INTO slotbell.resync_need (mailbox_id, reason, lacks_to) VALUES (mailbox_id, reason, lacks_to);
END
$$;

-- A device more, events deleted that a device has not seen, or a new epoch, of which nobody knows what a device had seen.
CREATE FUNCTION slotbell.note_resync_need() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp SET enable_seqscan = off
AS $$
BEGIN
    IF NEW.device_count > OLD.device_count THEN
        PERFORM slotbell.add_resync_need(NEW.id, 'enrolled', NEW.head);
    END IF;
    IF NEW.epoch <> OLD.epoch AND NEW.device_count > 0 THEN
        PERFORM slotbell.add_resync_need(NEW.id, 'epoch', OLD.head);
    END IF;
    IF NEW.floor > OLD.floor AND EXISTS (SELECT FROM slotbell.device d
            WHERE d.mailbox_id = NEW.id AND d.acked < NEW.floor AND d.revoked_at IS NULL AND d.stale_at IS NULL) THEN
        PERFORM slotbell.add_resync_need(NEW.id, 'expired', NEW.floor);
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER note_resync_need AFTER UPDATE ON slotbell.mailbox FOR EACH ROW
    WHEN (NEW.device_count > OLD.device_count OR NEW.epoch <> OLD.epoch OR NEW.floor > OLD.floor)
    EXECUTE FUNCTION slotbell.note_resync_need();

-- A device that was stale starts at its floor, and has lost what lay before. And a mailbox that goes needs nothing.
CREATE FUNCTION slotbell.note_device_back() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp
AS $$ BEGIN PERFORM slotbell.add_resync_need(NEW.mailbox_id, 'expired', NEW.floor); RETURN NULL; END $$;
CREATE TRIGGER note_device_back AFTER UPDATE ON slotbell.device FOR EACH ROW
    WHEN (OLD.stale_at IS NOT NULL AND NEW.stale_at IS NULL) EXECUTE FUNCTION slotbell.note_device_back();

CREATE FUNCTION slotbell.forget_resync_need() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp SET enable_seqscan = off
AS $$ BEGIN DELETE FROM slotbell.resync_need n WHERE n.mailbox_id = OLD.id; RETURN NULL; END $$;
CREATE TRIGGER forget_resync_need AFTER DELETE ON slotbell.mailbox FOR EACH ROW EXECUTE FUNCTION slotbell.forget_resync_need();

-- A table was attached: what is in it already has not rung.
CREATE FUNCTION slotbell.need_resync_for_all() RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp
AS $$
    INSERT INTO slotbell.resync_need (mailbox_id, reason, lacks_to) SELECT m.id, 'attached', 0 FROM slotbell.mailbox m
    WHERE m.device_count > 0 AND NOT EXISTS (SELECT FROM slotbell.resync_need n WHERE n.mailbox_id = m.id AND NOT n.met AND n.done = '{}')
$$;

-- Whom to publish for, and since when: every booking to come, again. Attached tables: slotbell.resync(mailbox) does it.
CREATE VIEW slotbell.needs_resync AS
    SELECT m.address AS mailbox, max(n.since) AS since, array_agg(DISTINCT n.reason ORDER BY n.reason) AS reasons
    FROM slotbell.resync_need n JOIN slotbell.mailbox m ON m.id = n.mailbox_id
    WHERE NOT n.met AND m.device_count > 0 GROUP BY m.id ORDER BY max(n.since), m.address;

-- Where these mailboxes stand before the tables are read. Mailboxes without a device are left out.
CREATE FUNCTION slotbell.begin_resync(mailboxes text[]) RETURNS TABLE (mailbox text, head bigint, need bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp
AS $$
    SELECT m.address, m.head, (SELECT max(n.id) FROM slotbell.resync_need n WHERE n.mailbox_id = m.id)
    FROM slotbell.mailbox m WHERE m.device_count > 0 AND m.address IN (SELECT lower(asked) FROM unnest(mailboxes) asked)
$$;

-- Publishes one row as it was read, unless the booking has changed since then: its newest event is beyond the head that
-- was read before, or is not committed yet and waited for here. Returns how many events came of it: 0 or 1.
CREATE FUNCTION slotbell.resync_row(relation text, booking jsonb, head bigint) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp SET enable_seqscan = off
AS $$
#variable_conflict use_variable
DECLARE
    to_mailbox bigint := (SELECT m.id FROM slotbell.mailbox m WHERE m.address = lower(booking ->> 'mailbox'));
    named text := booking ->> 'uid';
    newest bigint;
BEGIN
    IF to_mailbox IS NULL OR slotbell.has_passed(booking) THEN
        RETURN 0;
    END IF;
    IF char_length(named) <= 255 THEN
        -- So that there is a row to wait for and to lock.
        INSERT INTO slotbell.booking_state (mailbox_id, uid, state_hash, cancelled, ends_at) VALUES (to_mailbox, named, '', false, now())
        ON CONFLICT DO NOTHING;
        SELECT s.version INTO newest FROM slotbell.booking_state s WHERE s.mailbox_id = to_mailbox AND s.uid = named FOR UPDATE;
        IF newest > head THEN
            RETURN 0;
        END IF;
    END IF;
    RETURN (slotbell.publish_row(booking, CASE WHEN newest IS NULL THEN 'created' ELSE 'updated' END) IS NOT NULL)::integer;
EXCEPTION WHEN OTHERS THEN
    IF SQLSTATE NOT LIKE 'SB%' THEN
        RAISE;
    END IF;
    PERFORM slotbell.refused(relation, 'RESYNC', named, SQLSTATE, SQLERRM);
    RETURN 0;
END
$$;

-- The attached tables in `done` were published for these mailboxes. Who lost events may have lost cancels: they ring again.
CREATE FUNCTION slotbell.end_resync(needs bigint[], mailboxes text[], done text[]) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp SET enable_seqscan = off
AS $$
#variable_conflict use_variable
DECLARE
    lost record;
    rung bigint := 0;
BEGIN
    FOR lost IN
        SELECT DISTINCT m.id, m.address, s.uid FROM unnest(needs, mailboxes) AS asked(need, mailbox)
        JOIN slotbell.mailbox m ON m.address = asked.mailbox
        JOIN slotbell.resync_need n ON n.mailbox_id = m.id AND n.id <= asked.need AND NOT n.met AND n.reason IN ('expired', 'epoch')
        JOIN slotbell.booking_state s ON s.mailbox_id = m.id AND s.cancelled AND s.version <= n.lacks_to AND s.ends_at > now()
        ORDER BY m.id, s.uid
    LOOP
        UPDATE slotbell.booking_state s SET cancelled = false WHERE s.mailbox_id = lost.id AND s.uid = lost.uid;
        PERFORM slotbell.publish(lost.address, lost.uid, change => 'cancelled');
        rung := rung + 1;
    END LOOP;
    UPDATE slotbell.resync_need n SET done = n.done || done,
        met = NOT EXISTS (SELECT FROM slotbell.attachment a WHERE a.relation <> ALL (n.done || done))
    FROM unnest(needs, mailboxes) AS asked(need, mailbox) JOIN slotbell.mailbox m ON m.address = asked.mailbox
    WHERE n.mailbox_id = m.id AND n.id <= asked.need AND NOT n.met;
    RETURN rung;
END
$$;

-- Publishes the bookings to come of the attached tables again, for mailboxes of which a device lacks some. What every
-- device has does not ring: publish() knows. Returns the number of events. The caller needs the rights of the tables'
-- owners; it warns of the tables that are left out, and their mailboxes still need it.
CREATE FUNCTION slotbell.resync(mailboxes text[]) RETURNS bigint
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    asked text[];
    heads jsonb;
    needs bigint[];
    attached slotbell.attachment;
    booking jsonb;
    done text[] := '{}';
    rung bigint := 0;
BEGIN
    SELECT array_agg(b.mailbox), jsonb_object_agg(b.mailbox, b.head), array_agg(b.need) INTO asked, heads, needs
    FROM slotbell.begin_resync(mailboxes) b;
    FOR attached IN SELECT * FROM slotbell.attachment a WHERE asked IS NOT NULL ORDER BY a.relation LOOP
        IF NOT pg_has_role(attached.runs_as, 'USAGE') THEN
            RAISE WARNING USING MESSAGE = format('slotbell.resync: %s is left out: it belongs to %I', attached.relation, attached.runs_as),
                HINT = 'Call it as well as a role that has the owner''s rights.';
            CONTINUE;
        END IF;
        FOR booking IN EXECUTE format('SELECT * FROM %s($1)', attached.rows_function::regproc) USING asked LOOP
            rung := rung + slotbell.resync_row(attached.relation, booking, (heads ->> lower(booking ->> 'mailbox'))::bigint);
        END LOOP;
        done := done || attached.relation;
    END LOOP;
    RETURN rung + slotbell.end_resync(needs, asked, done);
END
$$;

CREATE FUNCTION slotbell.resync(mailbox text) RETURNS bigint
    LANGUAGE sql SET search_path = pg_catalog, pg_temp
    AS $$ SELECT slotbell.resync(ARRAY[mailbox]) $$;

GRANT SELECT ON slotbell.refusals, slotbell.needs_resync TO slotbell_publisher, slotbell_admin;
GRANT EXECUTE ON FUNCTION slotbell.ring(text, text, jsonb, jsonb), slotbell.refused(text, text, text, text, text), slotbell.need_resync_for_all()
    TO slotbell_publisher;
GRANT EXECUTE ON FUNCTION slotbell.resync(text), slotbell.resync(text[]), slotbell.begin_resync(text[]),
    slotbell.resync_row(text, jsonb, bigint), slotbell.end_resync(bigint[], text[], text[]) TO slotbell_publisher, slotbell_admin;

RESET ROLE;
