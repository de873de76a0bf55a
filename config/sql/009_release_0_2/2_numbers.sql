-- Numbers: seq orders the events of a mailbox, version says which of two states of a booking is newer. Both are given at
-- commit.

SET LOCAL ROLE slotbell_owner;

-- The number that clients compare: grows with every change of a booking, across mailboxes, epochs and databases. What 0.1.0
-- published has none: there the seq is it.
ALTER TABLE slotbell.event ADD version bigint;

-- A CHECK is parsed anew by each statement that writes to its table, and so is a trigger's WHEN. Of tables that are written to at each
-- booking or ack, what the functions have looked at is not looked at again, and triggers name their columns.
ALTER TABLE slotbell.event DROP CONSTRAINT event_change_check;
ALTER TABLE slotbell.mailbox DROP CONSTRAINT mailbox_check;
ALTER TABLE slotbell.device DROP CONSTRAINT device_salt_check, DROP CONSTRAINT device_hash_check;
ALTER TABLE slotbell.receipt DROP CONSTRAINT receipt_reason_check;
DROP TRIGGER note_resync_need ON slotbell.mailbox;
CREATE TRIGGER note_resync_need AFTER UPDATE OF device_count, epoch, floor ON slotbell.mailbox FOR EACH ROW
    WHEN (NEW.device_count > OLD.device_count OR NEW.epoch <> OLD.epoch OR NEW.floor > OLD.floor)
    EXECUTE FUNCTION slotbell.note_resync_need();
DROP TRIGGER note_device_back ON slotbell.device;
CREATE TRIGGER note_device_back AFTER UPDATE OF stale_at ON slotbell.device FOR EACH ROW
    WHEN (OLD.stale_at IS NOT NULL AND NEW.stale_at IS NULL) EXECUTE FUNCTION slotbell.note_device_back();

-- seq: of the newest event; NULL until the transaction that published it numbers it. version: of the newest numbered event.
ALTER TABLE slotbell.booking_state RENAME version TO seq;
ALTER TABLE slotbell.booking_state ADD version bigint;
-- The id of its newest event: in which of two mailboxes a booking was published later.
ALTER TABLE slotbell.booking_state ADD event_id bigint;

-- What numbering needs to know beside the events: a row that every commit reads and few write.
CREATE TABLE slotbell.guard (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    ms bigint NOT NULL DEFAULT 0,                          -- milliseconds since 1970: no version is given below it, wherever the clock goes
    seqs_until timestamptz NOT NULL DEFAULT '-infinity',   -- until then a daemon of 0.1.0 is on, which says seq for version
    started_at timestamptz NOT NULL DEFAULT '-infinity',   -- the server's start at which system_id and timeline were read
    system_id bigint NOT NULL DEFAULT 0,
    timeline integer NOT NULL DEFAULT 0
);
INSERT INTO slotbell.guard (seqs_until)
SELECT coalesce(max(i.lease_until), '-infinity') FROM slotbell.instance i;

-- The timeline alone, without reading a file. No SECURITY DEFINER and no SET: so it is inlined. Zero where history() says zero.
DO $detect$
BEGIN
    EXECUTE format('CREATE FUNCTION slotbell.timeline() RETURNS integer LANGUAGE sql VOLATILE AS %L',
        CASE WHEN (SELECT h.system_id FROM slotbell.history() h) = 0 THEN 'SELECT 0'
        ELSE 'SELECT (''x''::text || pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8))::bit(32)::integer' END);
END
$detect$;

-- What attached tables released in this transaction: a booking that a row had, and has no longer. A cancel follows, unless
-- another row has it now.
CREATE UNLOGGED TABLE slotbell.released (
    xact xid8 NOT NULL DEFAULT pg_current_xact_id(),
    mailbox_id bigint NOT NULL,
    uid text NOT NULL,
    PRIMARY KEY (xact, mailbox_id, uid)
);

-- Transactions whose numbers were put off to the next round of their deferred triggers.
CREATE UNLOGGED TABLE slotbell.postponed (xact xid8 PRIMARY KEY);

-- The clock. It ends far below 2^53, whatever the clock says. Inlined, as timeline() is.
CREATE FUNCTION slotbell.clock_ms() RETURNS bigint
    LANGUAGE sql VOLATILE
    AS 'SELECT least(pg_catalog.floor(extract(epoch FROM pg_catalog.clock_timestamp()) * 1000)::bigint, 4000000000000000)';

-- Locks the guard for writing, if nobody else has; readers go on. Waits for nobody. A table lock, for SKIP LOCKED may wait all the same:
-- for the transaction that has a newer version of the row (heap_lock_updated_tuple). Not under REPEATABLE READ, where a newer version
-- would fail the transaction.
CREATE FUNCTION slotbell.try_guard() RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp SET enable_seqscan = off
AS $$
BEGIN
    IF current_setting('transaction_isolation') NOT LIKE 'read %' THEN
        RETURN false;
    END IF;
    LOCK TABLE slotbell.guard IN EXCLUSIVE MODE NOWAIT;
    -- The row was lost: a dump was restored without this table's data.
    INSERT INTO slotbell.guard SELECT true WHERE NOT EXISTS (SELECT FROM slotbell.guard);
    RETURN true;
EXCEPTION WHEN lock_not_available THEN
    RETURN false;
END
$$;

-- Writes the guard, where it is a minute behind the clock, or the server is another one or has another timeline.
CREATE FUNCTION slotbell.renew_guard() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp SET enable_seqscan = off SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM slotbell.guard g WHERE g.only_one AND g.ms >= slotbell.clock_ms() - 60000
            AND g.started_at = pg_postmaster_start_time() AND g.timeline = slotbell.timeline())
        AND slotbell.try_guard() THEN
        UPDATE slotbell.guard g SET ms = greatest(g.ms, slotbell.clock_ms()), started_at = pg_postmaster_start_time(),
            system_id = h.system_id, timeline = h.timeline
        FROM slotbell.history() h WHERE g.only_one;
    END IF;
END
$$;

-- Numbers all events of this transaction: any number of them, in any number of mailboxes. It locks the mailboxes in id order, so
-- two transactions cannot deadlock here whatever order they published in. A booking that ends in another mailbox than it
-- was in has its newest version where it ends: the cancel of before ranks below.
CREATE FUNCTION slotbell.number_all() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp SET enable_seqscan = off
    SET enable_hashjoin = off SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    this_xact xid8 := pg_current_xact_id();
    here record;
    pending record;
    numbered record;
    ids bigint[] := '{}';
    befores bigint[] := '{}';
    empty bigint[] := '{}';
    ms bigint;
    by_seq boolean;
    said text[] := string_to_array(current_setting('slotbell.numbered', true), ' ');
BEGIN
    PERFORM slotbell.renew_guard();
    SELECT * INTO here FROM slotbell.history();
    SELECT greatest(g.ms, slotbell.clock_ms()), g.seqs_until > clock_timestamp() INTO ms, by_seq FROM (SELECT) one LEFT JOIN slotbell.guard g ON g.only_one;
    FOR pending IN
        SELECT a.mailbox_id, sum(a.one)::bigint AS events FROM (
            SELECT e.mailbox_id, 1 AS one FROM slotbell.event e WHERE e.xact = this_xact AND e.seq IS NULL
            -- Cancels may follow for these, from slotbell.released: locked now, or they would be out of order.
            UNION ALL SELECT r.mailbox_id, 0 FROM slotbell.released r WHERE r.xact = this_xact
        ) a GROUP BY a.mailbox_id ORDER BY a.mailbox_id
    LOOP
        IF pending.events = 0 THEN
            PERFORM FROM slotbell.mailbox m WHERE m.id = pending.mailbox_id FOR UPDATE;
            CONTINUE;
        END IF;
        -- No number is ever used twice: on another cluster or timeline than the last time, a new epoch
        -- that begins far beyond anything which may have been given and lost.
        UPDATE slotbell.mailbox m SET
            previous_epoch = CASE WHEN same THEN m.previous_epoch ELSE m.epoch END,
            epoch = CASE WHEN same THEN m.epoch ELSE slotbell.new_epoch_name() END,
            base = CASE WHEN same THEN m.base ELSE m.head END,
            head = m.head + CASE WHEN same THEN 0 ELSE 1000000 END
                   + CASE WHEN m.device_count > 0 THEN pending.events ELSE 0 END,
            system_id = here.system_id,
            timeline = here.timeline
        FROM (SELECT id, (system_id, timeline) IS NOT DISTINCT FROM (here.system_id, here.timeline) AS same
              FROM slotbell.mailbox WHERE id = pending.mailbox_id FOR UPDATE) locked
        WHERE m.id = locked.id
        RETURNING m.head, m.device_count, m.base, locked.same INTO numbered;
        IF NOT FOUND THEN
            RAISE EXCEPTION USING ERRCODE = 'serialization_failure', MESSAGE = 'slotbell: a mailbox was removed while a booking for it was made',
                DETAIL = 'Nobody had a plug-in for it for a long time.', HINT = 'Repeat the transaction.';
        ELSIF numbered.device_count > 0 THEN
            ids := ids || pending.mailbox_id;
            befores := befores || numbered.head - pending.events;
            -- What note_resync_need() does, which does not fire then: see 8_surroundings.sql.
            IF NOT numbered.same AND current_setting('session_replication_role') = 'replica' THEN
                PERFORM slotbell.add_resync_need(pending.mailbox_id, 'epoch', numbered.base);
            END IF;
        ELSE
            empty := empty || pending.mailbox_id;
        END IF;
    END LOOP;

    -- One time for all of the transaction, above all that its bookings had before. What was numbered in an earlier round of the
    -- same commit counts from the same; the setting is anybody's, so no more than a minute is believed.
    IF said[1] = this_xact::text AND said[2] ~ '^[0-9]{1,16}$' AND said[2]::bigint BETWEEN ms - 60000 AND ms + 60000 THEN
        ms := said[2]::bigint;
    ELSE
        ms := greatest(ms, (
            SELECT max(coalesce(s.version, s.seq, 0)) + 1 FROM (
                SELECT e.mailbox_id, e.uid FROM slotbell.event e WHERE e.xact = this_xact AND e.seq IS NULL
                UNION ALL SELECT r.mailbox_id, r.uid FROM slotbell.released r WHERE r.xact = this_xact
            ) a JOIN slotbell.booking_state s ON s.mailbox_id = a.mailbox_id AND s.uid = a.uid));
        PERFORM set_config('slotbell.numbered', this_xact::text || ' ' || ms, true);
    END IF;
    WITH given AS (
        SELECT e.ctid AS place, e.mailbox_id, e.uid, l.before + row_number() OVER (PARTITION BY e.mailbox_id ORDER BY e.id) AS seq,
            row_number() OVER (PARTITION BY e.mailbox_id, e.uid ORDER BY e.id) AS nth_there,
            ms + CASE WHEN e.change <> 'cancelled' AND row_number() OVER (PARTITION BY e.mailbox_id, e.uid ORDER BY e.id DESC) = 1
                      THEN count(*) OVER (PARTITION BY e.uid)
                      ELSE row_number() OVER (PARTITION BY e.uid ORDER BY e.id) - 1 END AS version
        FROM unnest(ids, befores) AS l(id, before)
        JOIN slotbell.event e ON e.xact = this_xact AND e.seq IS NULL AND e.mailbox_id = l.id
    ), done AS (
        UPDATE slotbell.event e SET seq = g.seq, published_at = clock_timestamp(),
            version = greatest(coalesce(s.version, s.seq, 0) + g.nth_there, CASE WHEN by_seq THEN g.seq ELSE g.version END)
        FROM given g LEFT JOIN slotbell.booking_state s ON s.mailbox_id = g.mailbox_id AND s.uid = g.uid
        WHERE e.ctid = g.place
        RETURNING e.mailbox_id, e.uid, e.seq, e.version
    )
    UPDATE slotbell.booking_state s SET seq = newest.seq, version = newest.version
    FROM (SELECT d.mailbox_id, d.uid, max(d.seq) AS seq, max(d.version) AS version FROM done d GROUP BY d.mailbox_id, d.uid) newest
    WHERE s.mailbox_id = newest.mailbox_id AND s.uid = newest.uid;
    PERFORM pg_notify('slotbell_wake', id::text) FROM unnest(ids) AS id;
    IF empty <> '{}' THEN
        -- No plug-in, no copy. Looked at under the lock that enrolment takes: one that commits before this
        -- booking is seen here.
        WITH gone AS (
            DELETE FROM slotbell.event e WHERE e.xact = this_xact AND e.seq IS NULL AND e.mailbox_id = ANY (empty)
            RETURNING e.mailbox_id, e.uid
        )
        DELETE FROM slotbell.booking_state s USING gone WHERE s.mailbox_id = gone.mailbox_id AND s.uid = gone.uid;
    END IF;
END
$$;

-- Numbers are given at commit: a deferred trigger, so it runs when all else of
-- the transaction is done, and holds the mailboxes for the rest of the commit only. Per mailbox, seq
-- order is commit order, without a hole, and nobody sees 43 before 42.
CREATE OR REPLACE FUNCTION slotbell.number_events() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp SET enable_seqscan = off SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    pending record;
    -- Keys that an attached table's deferred trigger has still to judge in this transaction.
    unjudged text := coalesce(current_setting('slotbell.unjudged', true), '');
    to_mailbox bigint;
    noted text;
BEGIN
    -- A booking that was said to be committed must not vanish in a crash: its number would be given again. Here and not in
    -- publish(), after which the caller may still change the setting.
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    -- The only event of its transaction, as nearly always: one statement, if somebody has a plug-in for its mailbox, and the guard
    -- is as it should be. Who changes the setting by hand changes the order in which mailboxes are locked, and no more.
    IF current_setting('slotbell.events', true) = 'one' AND unjudged = '' THEN
        WITH counted AS (
            UPDATE slotbell.mailbox m SET head = m.head + 1
            FROM slotbell.event e, slotbell.guard g
            WHERE e.xact = pg_current_xact_id() AND e.uid = NEW.uid AND e.id = NEW.id AND e.seq IS NULL
                AND g.only_one AND g.seqs_until < clock_timestamp() AND g.started_at = pg_postmaster_start_time() AND g.ms > slotbell.clock_ms() - 60000
                AND m.id = e.mailbox_id AND m.device_count > 0 AND m.system_id = g.system_id AND m.timeline = g.timeline AND m.timeline = slotbell.timeline()
            RETURNING m.id, m.head, greatest(g.ms, slotbell.clock_ms()) + CASE WHEN NEW.change = 'cancelled' THEN 0 ELSE 1 END AS version
        ), stated AS (
            UPDATE slotbell.booking_state s SET seq = c.head, version = greatest(coalesce(s.version, 0) + 1, c.version)
            FROM counted c WHERE s.mailbox_id = c.id AND s.uid = NEW.uid
            RETURNING s.mailbox_id, s.seq, s.version
        )
        UPDATE slotbell.event e SET seq = s.seq, version = s.version, published_at = clock_timestamp()
        FROM stated s WHERE e.xact = pg_current_xact_id() AND e.uid = NEW.uid AND e.id = NEW.id AND e.seq IS NULL
        RETURNING e.mailbox_id INTO to_mailbox;
        IF to_mailbox IS NOT NULL THEN
            noted := pg_notify('slotbell_wake', to_mailbox::text); -- PERFORM would be a query
            RETURN NULL;
        END IF;
    END IF;
    -- The first firing numbers all events of the transaction. The others see by one look that theirs has its number: to look
    -- for all that are left would pass over all that were numbered just now.
    IF NOT EXISTS (SELECT FROM slotbell.event e WHERE e.xact = pg_current_xact_id() AND e.uid = NEW.uid AND e.id = NEW.id AND e.seq IS NULL) THEN
        RETURN NULL;
    END IF;
    -- More events will come of those keys: all are numbered together, so that the mailboxes are locked in order.
    IF unjudged NOT IN ('', '0') THEN
        IF current_setting('slotbell.postponed', true) IS DISTINCT FROM pg_current_xact_id()::text THEN
            PERFORM set_config('slotbell.postponed', pg_current_xact_id()::text, true);
            INSERT INTO slotbell.postponed (xact) VALUES (pg_current_xact_id()) ON CONFLICT DO NOTHING;
        END IF;
        RETURN NULL;
    END IF;
    PERFORM slotbell.number_all();
    RETURN NULL;
END
$$;

-- Numbers, one round of deferred triggers later, what number_events() has put off.
CREATE FUNCTION slotbell.number_postponed() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp SET enable_seqscan = off
AS $$
BEGIN
    DELETE FROM slotbell.postponed p WHERE p.xact = pg_current_xact_id();
    PERFORM set_config('slotbell.postponed', '', true);
    IF EXISTS (SELECT FROM slotbell.event e WHERE e.xact = pg_current_xact_id() AND e.seq IS NULL) THEN
        PERFORM slotbell.number_all();
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER number_postponed AFTER INSERT ON slotbell.postponed
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slotbell.number_postponed();

RESET ROLE;
