-- What becomes of a row of an attached table: the row as its transaction leaves it, against what was published last for it.
--
-- The owner's trigger notes the keys of the rows that are written. When the transaction ends, the owner's deferred trigger reads
-- each row once, and inserts what the mapping makes of it into slotbell.judging. Everything from there on is ours, and is given values.

SET LOCAL ROLE slotbell_owner;

-- What was published last for a row, where somebody has a plug-in for the mailbox. A row is known by the SHA-256 of its key, and an
-- attachment by an id that its triggers hold: both survive a rename, and a dump with restore.
CREATE TABLE slotbell.attached_row (
    attachment uuid NOT NULL,
    by_role regrole NOT NULL,       -- whose functions said so: nobody else's can change it
    key_hash bytea NOT NULL,
    mailbox_id bigint NOT NULL,
    uid text NOT NULL,
    ends_at timestamptz NOT NULL,   -- what is over when it goes is not cancelled
    state_hash bytea NOT NULL,      -- SHA-256 of what the mapping made of it, or '': not known
    PRIMARY KEY (attachment, by_role, key_hash)
) WITH (fillfactor = 70);
CREATE INDEX attached_row_booking ON slotbell.attached_row (mailbox_id, uid);

-- It goes with the booking's state: after its retention, with its mailbox, or when a commit finds that nobody has a plug-in.
CREATE FUNCTION slotbell.forget_attached_rows() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp SET enable_seqscan = off
AS $$
BEGIN
    DELETE FROM slotbell.attached_row r USING gone WHERE r.mailbox_id = gone.mailbox_id AND r.uid = gone.uid;
    RETURN NULL;
END
$$;
CREATE TRIGGER forget_attached_rows AFTER DELETE ON slotbell.booking_state REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION slotbell.forget_attached_rows();

-- Is this an attachment of a table that is there?
CREATE FUNCTION slotbell.is_attached(attachment uuid, by_role regrole) RETURNS boolean
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
    RETURN EXISTS (SELECT FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
        WHERE t.tgname = 'slotbell_ring' AND t.tgnargs = 1 AND left(encode(t.tgargs, 'escape'), 36) = attachment::text AND p.proowner = by_role);
END
$$;

-- Forgets the rows of tables that are attached no longer.
CREATE FUNCTION slotbell.forget_detached() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp
AS $$
BEGIN
    DELETE FROM slotbell.attached_row r USING (
        SELECT known.attachment, known.by_role FROM (SELECT DISTINCT a.attachment, a.by_role FROM slotbell.attached_row a) known
        WHERE NOT slotbell.is_attached(known.attachment, known.by_role)) gone
    WHERE r.attachment = gone.attachment AND r.by_role = gone.by_role;
END
$$;

-- Where an attached table's functions say what a row is now. Nothing is in it: judged() does the work. by_role is not for the
-- caller to give, so it is the owner of the function that inserts.
--   key_hash NULL   the table was truncated: all its rows are forgotten
--   booking NULL    there is no such row, or it is no booking
--   rang, is_new    what came of it: events, and whether it was not known before
--   head            for resync(): where the mailbox stood before the row was read. -1, for attach(): nothing is published, and what
--                   was published already is remembered
CREATE VIEW slotbell.judging AS
    SELECT NULL::regrole AS by_role, NULL::uuid AS attachment, NULL::bytea AS key_hash, NULL::jsonb AS booking, NULL::bigint AS head,
        NULL::integer AS rang, NULL::boolean AS is_new
    WHERE false;
ALTER VIEW slotbell.judging ALTER by_role SET DEFAULT to_regrole(quote_ident(current_user));

CREATE FUNCTION slotbell.judged() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp SET enable_seqscan = off SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    at_address text := slotbell.fold_address(NEW.booking ->> 'mailbox');
    named text := NEW.booking ->> 'uid';
    starts timestamptz := (NEW.booking ->> 'starts_at')::timestamptz;
    minutes integer := (NEW.booking ->> 'minutes')::integer;
    ends timestamptz := starts + make_interval(mins => minutes);
    is_booking boolean := coalesce(jsonb_typeof(NEW.booking) <> 'null', false);
    known record;
    to_mailbox bigint;
    same boolean;
    state bytea;
    event_id bigint;
BEGIN
    NEW.rang := 0;
    NEW.is_new := false;
    IF NEW.attachment IS NULL OR octet_length(NEW.key_hash) <> 32 OR (NEW.key_hash IS NULL AND NEW.booking IS NOT NULL) THEN
        RAISE EXCEPTION USING ERRCODE = 'SB013', MESSAGE = 'slotbell.judging: an argument is out of bounds',
            DETAIL = 'attachment is NULL, or key_hash has not 32 bytes.', HINT = 'What slotbell.attach() makes keeps within them: something else called.';
    ELSIF NEW.key_hash IS NULL THEN
        DELETE FROM slotbell.attached_row r WHERE r.attachment = NEW.attachment AND r.by_role = NEW.by_role;
        RETURN NEW;
    END IF;
    SELECT m.id AS mailbox_id, s.cancelled, s.uid IS NOT NULL AS is_stated, r.mailbox_id AS was_mailbox, r.uid AS was_uid, r.ends_at AS was_ends,
        r.state_hash AS was_state
    INTO known
    FROM (SELECT) one
    LEFT JOIN slotbell.mailbox m ON m.address = at_address
    LEFT JOIN slotbell.booking_state s ON s.mailbox_id = m.id AND s.uid = named
    LEFT JOIN slotbell.attached_row r ON r.attachment = NEW.attachment AND r.by_role = NEW.by_role AND r.key_hash = NEW.key_hash;
    to_mailbox := known.mailbox_id;
    same := is_booking AND coalesce(known.was_mailbox = to_mailbox AND known.was_uid = named, false);

    IF NEW.head < 0 THEN
        IF ends > now() AND NOT known.cancelled THEN
            INSERT INTO slotbell.attached_row (attachment, by_role, key_hash, mailbox_id, uid, ends_at, state_hash)
            VALUES (NEW.attachment, NEW.by_role, NEW.key_hash, to_mailbox, named, ends, '') ON CONFLICT DO NOTHING;
        END IF;
        RETURN NEW;
    END IF;

    -- What was over and is over rings nothing; a booking that is moved into the past does.
    IF is_booking AND ends <= now() THEN
        IF NEW.head IS NOT NULL OR (same AND known.was_ends <= now()) THEN
            RETURN NEW;
        END IF;
        -- Its key may have changed with its time, as where a partition goes by time: then the old key has released it.
        is_booking := same OR EXISTS (SELECT FROM slotbell.released r WHERE r.xact = pg_current_xact_id() AND r.mailbox_id = to_mailbox AND r.uid = named);
    END IF;

    IF is_booking THEN
        state := sha256(convert_to(NEW.booking::text, 'UTF8'));
        -- As nearly always where something else of the row has changed.
        IF same AND state = known.was_state AND NOT known.cancelled AND NEW.head IS NULL THEN
            RETURN NEW;
        END IF;
    END IF;

    -- Claimed first, and released after: what one row releases and another claims, in whatever order, is not cancelled.
    IF is_booking THEN
        IF NEW.head IS NOT NULL THEN
            IF to_mailbox IS NULL OR char_length(named) > 255 OR NOT slotbell.unchanged_since(to_mailbox, named, NEW.head) THEN
                RETURN NEW;
            END IF;
        ELSIF known.cancelled THEN
            PERFORM slotbell.open_again(to_mailbox, named);
        END IF;
        event_id := slotbell.publish(NEW.booking ->> 'mailbox', named, starts, minutes, NEW.booking ->> 'time_zone', NEW.booking ->> 'subject',
            nullif(NEW.booking -> 'attendees', 'null'), CASE WHEN known.is_stated AND NOT known.cancelled THEN 'updated' ELSE 'created' END,
            nullif(NEW.booking -> 'details', 'null'));
        -- Nothing rang. If that is because another transaction has cancelled it since then: this row is there all the same.
        IF event_id IS NULL AND to_mailbox IS NOT NULL AND NEW.head IS NULL AND slotbell.open_again(to_mailbox, named) THEN
            event_id := slotbell.publish(NEW.booking ->> 'mailbox', named, starts, minutes, NEW.booking ->> 'time_zone', NEW.booking ->> 'subject',
                nullif(NEW.booking -> 'attendees', 'null'), 'created', nullif(NEW.booking -> 'details', 'null'));
        END IF;
        IF event_id IS NOT NULL THEN
            NEW.rang := 1;
            IF to_mailbox IS NULL THEN
                -- It was enrolled a moment ago.
                SELECT m.id INTO to_mailbox FROM slotbell.mailbox m WHERE m.address = at_address;
            END IF;
        END IF;
    END IF;
    IF is_booking AND to_mailbox IS NOT NULL THEN
        NEW.is_new := NOT same;
        IF NOT same OR known.was_ends <> ends OR known.was_state <> state THEN
            INSERT INTO slotbell.attached_row AS r (attachment, by_role, key_hash, mailbox_id, uid, ends_at, state_hash)
            VALUES (NEW.attachment, NEW.by_role, NEW.key_hash, to_mailbox, named, ends, state)
            ON CONFLICT ON CONSTRAINT attached_row_pkey DO UPDATE
                SET mailbox_id = excluded.mailbox_id, uid = excluded.uid, ends_at = excluded.ends_at, state_hash = excluded.state_hash;
        END IF;
    ELSIF known.was_mailbox IS NOT NULL THEN
        DELETE FROM slotbell.attached_row r WHERE r.attachment = NEW.attachment AND r.by_role = NEW.by_role AND r.key_hash = NEW.key_hash;
    END IF;
    IF NOT same AND known.was_ends > now() THEN
        -- number_events() is to look at slotbell.released.
        PERFORM set_config('slotbell.events', 'several', true);
        INSERT INTO slotbell.released (mailbox_id, uid) VALUES (known.was_mailbox, known.was_uid) ON CONFLICT DO NOTHING;
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER judged INSTEAD OF INSERT ON slotbell.judging FOR EACH ROW EXECUTE FUNCTION slotbell.judged();

-- Opens a booking that was cancelled, for a row that is there. False: it was not cancelled.
CREATE FUNCTION slotbell.open_again(of_mailbox bigint, named text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp SET enable_seqscan = off SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    UPDATE slotbell.booking_state s SET cancelled = false, state_hash = '' WHERE s.mailbox_id = of_mailbox AND s.uid = named AND s.cancelled;
    RETURN FOUND;
END
$$;

-- For resync(): locks the booking, waits for who is publishing it, and says whether its newest event is no later than this head.
CREATE FUNCTION slotbell.unchanged_since(of_mailbox bigint, named text, head bigint) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp SET enable_seqscan = off SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    newest bigint;
BEGIN
    -- So that there is a row to wait for and to lock.
    INSERT INTO slotbell.booking_state (mailbox_id, uid, state_hash, cancelled, ends_at) VALUES (of_mailbox, named, '', false, now())
    ON CONFLICT DO NOTHING;
    SELECT s.seq INTO newest FROM slotbell.booking_state s WHERE s.mailbox_id = of_mailbox AND s.uid = named FOR UPDATE;
    RETURN (newest > head) IS NOT TRUE;
END
$$;

-- Cancels what a row has released, unless another row has it now: a row with another key, or of another attached table.
CREATE FUNCTION slotbell.cancel_released() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp SET enable_seqscan = off SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    DELETE FROM slotbell.released r WHERE r.xact = NEW.xact AND r.mailbox_id = NEW.mailbox_id AND r.uid = NEW.uid;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    -- Who claims it at the same time has locked it: then its claim is seen below.
    PERFORM FROM slotbell.booking_state s WHERE s.mailbox_id = NEW.mailbox_id AND s.uid = NEW.uid FOR UPDATE;
    IF NOT EXISTS (SELECT FROM slotbell.attached_row r WHERE r.mailbox_id = NEW.mailbox_id AND r.uid = NEW.uid
            AND slotbell.is_attached(r.attachment, r.by_role)) THEN
        PERFORM slotbell.publish(m.address, NEW.uid, change => 'cancelled') FROM slotbell.mailbox m WHERE m.id = NEW.mailbox_id;
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER cancel_released AFTER INSERT ON slotbell.released
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slotbell.cancel_released();

-- Expressions with a name: the owner's functions use them for what must not be read as another type. A column that became a
-- timestamp without time zone, or a jsonb that was a text, is an error. Without rights or a path of their own they are inlined.
CREATE FUNCTION slotbell.same_type(value anyelement, as_before anyelement) RETURNS anyelement LANGUAGE sql IMMUTABLE AS 'SELECT $1';
CREATE FUNCTION slotbell.same_text(value text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1';
CREATE FUNCTION slotbell.same_whole(value bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT $1';

GRANT INSERT (attachment, key_hash, booking, head), SELECT (rang, is_new) ON slotbell.judging TO slotbell_publisher;
GRANT EXECUTE ON FUNCTION slotbell.same_type(anyelement, anyelement), slotbell.same_text(text), slotbell.same_whole(bigint),
    slotbell.forget_detached() TO slotbell_publisher;

RESET ROLE;
