-- What is said of rows that cannot ring, and resync(): attached tables are published again for who lacks bookings.

SET LOCAL ROLE slotbell_owner;

-- ---- rows that could not ring ----

-- refused() runs as the table's owner. Row security binds what it may write, for it holds no more rights than its caller.
-- The column comes without a default, which is set afterwards: with one it cannot be added while any table has a column of
-- this table's row type.
ALTER TABLE slotbell.refusal ADD by_role name;
ALTER TABLE slotbell.refusal ALTER by_role SET DEFAULT current_user;
UPDATE slotbell.refusal r SET by_role = coalesce((
    SELECT pg_get_userbyid(c.relowner) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE r.relation = format('%I.%I', n.nspname, c.relname) AND c.relpersistence <> 't'), current_user);
ALTER TABLE slotbell.refusal ALTER by_role SET NOT NULL;
ALTER TABLE slotbell.refusal ADD CONSTRAINT refusal_bounds CHECK (char_length(relation) <= 300 AND char_length(operation) <= 10
    AND (uid IS NULL OR (char_length(uid) <= 255 AND uid !~ '[[:cntrl:]]')) AND code ~ '^[0-9A-Z]{5}$') NOT VALID;
CREATE INDEX refusal_by_role ON slotbell.refusal (by_role, id);
ALTER TABLE slotbell.refusal ENABLE ROW LEVEL SECURITY;
-- Of a table that is there its owner alone may write. A name that is no table's any more says only what it was renamed from.
CREATE POLICY of_own_tables ON slotbell.refusal FOR INSERT TO slotbell_publisher WITH CHECK (
    by_role = current_user AND NOT EXISTS (
        SELECT FROM pg_namespace n JOIN pg_class c ON c.relnamespace = n.oid
        WHERE n.nspname = (parse_ident(refusal.relation))[1] AND c.relname = (parse_ident(refusal.relation))[2]
            AND NOT pg_has_role(c.relowner, 'USAGE')));
GRANT INSERT (relation, operation, uid, code) ON slotbell.refusal TO slotbell_publisher;

-- The newest thousand of each role: one that refuses much pushes out nothing of another's.
CREATE FUNCTION slotbell.trim_refusals() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp SET enable_seqscan = off
AS $$
BEGIN
    DELETE FROM slotbell.refusal r WHERE r.id IN (
        SELECT excess.id FROM slotbell.refusal excess WHERE excess.id = ANY (ARRAY(
            SELECT numbered.id FROM (SELECT f.id, row_number() OVER (PARTITION BY f.by_role ORDER BY f.id DESC) AS nth FROM slotbell.refusal f) numbered
            WHERE numbered.nth > 1000)) FOR UPDATE SKIP LOCKED);
    RETURN NULL;
END
$$;
CREATE TRIGGER trim_refusals AFTER INSERT ON slotbell.refusal FOR EACH ROW WHEN (NEW.id % 100 = 0) EXECUTE FUNCTION slotbell.trim_refusals();

-- What a publisher sees of it: rows that it wrote, or a role whose rights it has.
CREATE OR REPLACE VIEW slotbell.refusals WITH (security_barrier) AS
    SELECT r.id, r.at, r.relation, r.operation, r.uid, r.code
    FROM slotbell.refusal r LEFT JOIN pg_roles o ON o.rolname = r.by_role
    WHERE pg_has_role('slotbell_admin', 'USAGE') OR pg_has_role(o.oid, 'USAGE');

-- Keeps a refusal and warns of it, once in a transaction of each kind: a statement may write to many rows. Row security is
-- on, whatever the caller has set: attached functions turn it off. which says which row it is, where that is no personal data.
CREATE FUNCTION slotbell.refused(relation text, operation text, uid text, code text, words text, which text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET row_security = on
AS $$
#variable_conflict use_variable
DECLARE
    kind text := format(E'\n%s %s\n', relation, code);
    warned text := coalesce(current_setting('slotbell.warned', true), '');
BEGIN
    INSERT INTO slotbell.refusal (relation, operation, uid, code)
    VALUES (left(relation, 300), left(operation, 10), CASE WHEN char_length(uid) <= 255 AND uid !~ '[[:cntrl:]]' THEN uid END, code);
    IF strpos(warned, kind) > 0 THEN
        RETURN;
    END IF;
    PERFORM set_config('slotbell.warned', warned || kind, true);
    -- PostgreSQL's words may quote a value of the row, and a warning gets into logs. Ours do not, nor those on names.
    RAISE WARNING USING ERRCODE = code,
        MESSAGE = format('slotbell: %s of a row in %s does not ring: %s', operation, relation,
            CASE WHEN code ~ '^(SB|42|3F)' THEN words ELSE 'SQLSTATE ' || code END),
        DETAIL = coalesce('The first such row of this transaction: ' || which || '.', 'slotbell.refusals has the uid, where there is one.'),
        HINT = CASE WHEN code ~ '^(42|3F)' THEN 'The table is not as it was when it was attached: call slotbell.attach() again.'
            ELSE 'The row is written all the same. slotbell.refusals lists such rows; only_when leaves them out.' END;
END
$$;
GRANT EXECUTE ON FUNCTION slotbell.refused(text, text, text, text, text, text) TO slotbell_publisher;

CREATE OR REPLACE FUNCTION slotbell.refused(relation text, operation text, uid text, code text, words text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$ BEGIN PERFORM slotbell.refused(relation, operation, uid, code, words, NULL); END $$;

-- ---- resync ----

-- A table was attached: what is in it already has not rung. Only a session of an owner may say so, and a mailbox has one
-- such need at the most, however often it is said.
CREATE OR REPLACE FUNCTION slotbell.need_resync_for_all() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM slotbell.attachment a WHERE a.owner = session_user AND a.runs_as = session_user) THEN
        RAISE EXCEPTION USING ERRCODE = 'SB021', MESSAGE = 'slotbell.need_resync_for_all: no attached table belongs to this session',
            DETAIL = format('This session is that of %I.', session_user), HINT = 'slotbell.attach() calls it.';
    END IF;
    WITH lacking AS MATERIALIZED (
        SELECT m.id FROM slotbell.mailbox m
        WHERE m.device_count > 0 AND NOT EXISTS (SELECT FROM slotbell.resync_need n WHERE n.mailbox_id = m.id AND NOT n.met AND n.done = '{}')
    ), replaced AS (
        -- One that is being met right now stays: it may be locked until a commit that waits for us.
        DELETE FROM slotbell.resync_need n WHERE n.id IN (
            SELECT old.id FROM slotbell.resync_need old JOIN lacking l ON l.id = old.mailbox_id WHERE old.reason = 'attached' FOR UPDATE OF old SKIP LOCKED)
    )
    INSERT INTO slotbell.resync_need (mailbox_id, reason, lacks_to) SELECT l.id, 'attached', 0 FROM lacking l;
END
$$;

-- Which attached tables this transaction has published, until end_resync() takes the rows away. Row security lets a role
-- write of its own tables in a session of its own: code of another role in that session cannot, with whatever rights.
CREATE UNLOGGED TABLE slotbell.resynced (
    xact xid8 NOT NULL DEFAULT pg_current_xact_id(),
    by_role name NOT NULL DEFAULT current_user,
    attached oid NOT NULL,
    PRIMARY KEY (xact, attached)
);
ALTER TABLE slotbell.resynced ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_tables_in_own_session ON slotbell.resynced FOR INSERT TO slotbell_publisher WITH CHECK (
    xact = pg_current_xact_id() AND by_role = slotbell.own_session() AND EXISTS (
        SELECT FROM slotbell.attachment a WHERE a.oid = resynced.attached AND a.owner = resynced.by_role AND a.runs_as = resynced.by_role));
GRANT INSERT (attached) ON slotbell.resynced TO slotbell_publisher;

-- What 0.1.0 called. A publisher's view or default may depend on it, which is no reason to stop here: then it is left, and
-- cannot be called.
DO $drop$
DECLARE
    old text;
BEGIN
    FOREACH old IN ARRAY ARRAY['slotbell.resync_row(text, jsonb, bigint)', 'slotbell.end_resync(bigint[], text[], text[])',
            'slotbell.attach_triggers(slotbell.attach_target, regprocedure, jsonb)'] LOOP
        BEGIN
            EXECUTE 'DROP FUNCTION ' || old;
        EXCEPTION WHEN dependent_objects_still_exist THEN
            EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC, slotbell_publisher, slotbell_admin', old);
            RAISE WARNING USING MESSAGE = old || ' is left: something outside of the schema slotbell depends on it',
                HINT = format('Nobody can call it. DROP FUNCTION %s says what depends on it.', old);
        END;
    END LOOP;
END
$drop$;

-- For tables that release 0.1.0 attached, which have no key: publishes one row as it was read, unless the booking has changed since
-- then: its newest event is beyond the head that was read before, or is not committed yet and waited for here. Returns how many events
-- came of it: 0 or 1. The row comes as text and is parsed here, with nothing of the owner's in reach.
CREATE FUNCTION slotbell.resync_row(row_text text, head bigint) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp SET enable_seqscan = off
AS $$
#variable_conflict use_variable
DECLARE
    booking jsonb := row_text::jsonb;
    to_mailbox bigint := (SELECT m.id FROM slotbell.mailbox m WHERE m.address = slotbell.fold_address(booking ->> 'mailbox'));
    named text := booking ->> 'uid';
    is_new boolean;
BEGIN
    IF to_mailbox IS NULL OR slotbell.has_passed(booking) THEN
        RETURN 0;
    END IF;
    is_new := NOT EXISTS (SELECT FROM slotbell.booking_state s WHERE s.mailbox_id = to_mailbox AND s.uid = named AND s.seq IS NOT NULL);
    IF char_length(named) <= 255 AND NOT slotbell.unchanged_since(to_mailbox, named, head) THEN
        RETURN 0;
    END IF;
    RETURN (slotbell.publish_row(booking, CASE WHEN is_new THEN 'created' ELSE 'updated' END) IS NOT NULL)::integer;
END
$$;

-- What this transaction has published is done for these mailboxes. Where something is attached and nothing of it was
-- published, no need is met; where nothing is, a backend that publishes by hand says so by this. Who lost events may have lost
-- cancels: they ring again.
CREATE FUNCTION slotbell.end_resync(needs bigint[], mailboxes text[]) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp SET enable_seqscan = off
AS $$
#variable_conflict use_variable
DECLARE
    attached text[] := ARRAY(SELECT a.relation FROM slotbell.attachment a);
    done text[];
    lost record;
    rung bigint := 0;
BEGIN
    -- Those of others are of transactions that never came here.
    DELETE FROM slotbell.resynced r WHERE r.ctid = ANY (ARRAY(
        SELECT old.ctid FROM slotbell.resynced old WHERE old.xact <> pg_current_xact_id() LIMIT 1000 FOR UPDATE SKIP LOCKED));
    WITH published AS (
        DELETE FROM slotbell.resynced r WHERE r.xact = pg_current_xact_id() AND r.by_role = session_user RETURNING r.attached
    )
    SELECT coalesce(array_agg(a.relation), '{}') INTO done FROM published p JOIN slotbell.attachment a ON a.oid = p.attached;
    IF done = '{}' AND attached <> '{}' THEN
        RETURN 0;
    END IF;
    FOR lost IN
        SELECT DISTINCT m.id, m.address, s.uid FROM unnest(needs, mailboxes) AS asked(need, mailbox)
        JOIN slotbell.mailbox m ON m.address = asked.mailbox
        JOIN slotbell.resync_need n ON n.mailbox_id = m.id AND n.id <= asked.need AND NOT n.met AND n.reason IN ('expired', 'epoch')
        JOIN slotbell.booking_state s ON s.mailbox_id = m.id AND s.cancelled AND s.seq <= n.lacks_to AND s.ends_at > now()
        ORDER BY m.id, s.uid
    LOOP
        UPDATE slotbell.booking_state s SET cancelled = false WHERE s.mailbox_id = lost.id AND s.uid = lost.uid;
        PERFORM slotbell.publish(lost.address, lost.uid, change => 'cancelled');
        rung := rung + 1;
    END LOOP;
    UPDATE slotbell.resync_need n SET done = ARRAY(SELECT DISTINCT unnest(n.done || done)), met = attached <@ (n.done || done)
    FROM unnest(needs, mailboxes) AS asked(need, mailbox) JOIN slotbell.mailbox m ON m.address = asked.mailbox
    WHERE n.mailbox_id = m.id AND n.id <= asked.need AND NOT n.met;
    RETURN rung;
END
$$;

-- Publishes the bookings to come of this session's attached tables again, for mailboxes of which a device lacks some. What
-- every device has does not ring: publish() knows. Returns the number of events. It warns of the tables that are left out,
-- and their mailboxes still need it; SB028: all are, and nothing was done.
CREATE OR REPLACE FUNCTION slotbell.resync(mailboxes text[]) RETURNS bigint
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET row_security = on
AS $$
DECLARE
    me name := slotbell.own_session();
    asked text[];
    heads jsonb;
    needs bigint[];
    attached record;
    mine oid[] := '{}';
    owners text;
    booking text;
    one record;
    rung bigint := 0;
BEGIN
    FOR attached IN SELECT a.oid, a.relation, a.owner, a.runs_as FROM slotbell.attachment a ORDER BY a.relation LOOP
        IF me = attached.owner AND me = attached.runs_as THEN
            mine := mine || attached.oid;
            CONTINUE;
        END IF;
        owners := concat_ws(', ', owners, quote_ident(attached.owner));
        RAISE WARNING USING MESSAGE = format('slotbell.resync: %s is left out: %s to %I', attached.relation,
                CASE WHEN me = attached.owner THEN 'its functions belong' ELSE 'it belongs' END,
                CASE WHEN me = attached.owner THEN attached.runs_as ELSE attached.owner END),
            HINT = CASE WHEN attached.owner = attached.runs_as THEN format('Log in as %I, and call it there as well.', attached.owner)
                ELSE format('Log in as %I, and attach it again.', attached.owner) END;
    END LOOP;
    IF mine = '{}' AND owners IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'SB028', MESSAGE = 'slotbell.resync: no attached table belongs to this session',
            DETAIL = format('You are %I, and this session is that of %I; what is attached belongs to: %s.', current_user, session_user, owners),
            HINT = 'Log in as the owner of the table, who is no superuser: SET ROLE is not enough. What was published by hand needs no resync().';
    END IF;
    SELECT array_agg(b.mailbox), jsonb_object_agg(b.mailbox, b.head), array_agg(b.need) INTO asked, heads, needs
    FROM slotbell.begin_resync(mailboxes) b;
    IF asked IS NULL THEN
        RETURN 0;
    END IF;
    FOR attached IN
        SELECT a.oid, a.relation, a.id, p.proname, n.nspname FROM slotbell.attachment a JOIN pg_proc p ON p.oid = a.rows_function
        JOIN pg_namespace n ON n.oid = p.pronamespace WHERE a.oid = ANY (mine) ORDER BY a.relation
    LOOP
        -- As text: a value of a type that is not PostgreSQL's own would be cast where it is assigned.
        FOR booking IN EXECUTE format('SELECT slotbell_rows::text FROM %I.%I($1) AS slotbell_rows', attached.nspname, attached.proname) USING asked LOOP
            BEGIN
                IF attached.id IS NULL OR booking::jsonb ->> 'key' IS NULL THEN
                    SELECT slotbell.resync_row(booking, (heads ->> slotbell.fold_address(booking::jsonb ->> 'mailbox'))::bigint) AS rang, false AS is_new INTO one;
                ELSE
                    INSERT INTO slotbell.judging (attachment, key_hash, booking, head)
                    VALUES (attached.id::uuid, (booking::jsonb #>> '{key,key_hash}')::bytea, booking::jsonb - 'key',
                        (heads ->> slotbell.fold_address(booking::jsonb ->> 'mailbox'))::bigint)
                    RETURNING judging.rang, judging.is_new INTO one;
                    -- Who changes or deletes the row meanwhile does not know that it was published: it is looked at again at COMMIT.
                    IF one.is_new THEN
                        EXECUTE format('INSERT INTO %I.%I SELECT (jsonb_populate_record(NULL::%1$I.%2$I, $1)).* ON CONFLICT DO NOTHING',
                            attached.nspname, 'slotbell_keys_' || substr(attached.proname, 15))
                        USING booking::jsonb -> 'key' || jsonb_build_object('xact', pg_current_xact_id()::text, 'operation', 'RESYNC');
                    END IF;
                END IF;
                rung := rung + one.rang;
            EXCEPTION WHEN OTHERS THEN
                IF SQLSTATE NOT LIKE 'SB%' THEN
                    RAISE;
                END IF;
                PERFORM slotbell.refused(attached.relation, 'RESYNC', booking::jsonb ->> 'uid', SQLSTATE, SQLERRM);
            END;
        END LOOP;
        INSERT INTO slotbell.resynced (attached) VALUES (attached.oid);
    END LOOP;
    RETURN rung + slotbell.end_resync(needs, asked);
END
$$;

-- A condition of the reader's runs on what the view shows and on no other mailbox.
ALTER VIEW slotbell.needs_resync SET (security_barrier);

GRANT EXECUTE ON FUNCTION slotbell.own_session(), slotbell.resync_row(text, bigint), slotbell.end_resync(bigint[], text[])
    TO slotbell_publisher, slotbell_admin;

-- ---- what was attached before ----

DO $warn$
DECLARE
    attached record;
    old text := (SELECT string_agg(a.relation, ', ' ORDER BY a.relation) FROM slotbell.attachment a WHERE a.id IS NULL);
BEGIN
    IF old IS NOT NULL THEN
        RAISE WARNING USING MESSAGE = 'slotbell.attach: made by release 0.1.0, and as it was until it is called again: ' || old,
            HINT = 'They go on ringing. slotbell.attach() with the same mapping, as the owner of the table, has what 0.2.0 mends.';
    END IF;
    FOR attached IN
        SELECT a.relation, a.owner, r.rolsuper FROM slotbell.attachment a JOIN pg_roles r ON r.rolname = a.owner
        WHERE r.rolsuper OR NOT r.rolcanlogin ORDER BY a.relation
    LOOP
        RAISE WARNING USING MESSAGE = format('slotbell.resync() leaves out %s, which is attached: it belongs to %I, which %s', attached.relation,
                attached.owner, CASE WHEN attached.rolsuper THEN 'is a superuser' ELSE 'cannot log in' END),
            HINT = 'It goes on ringing. Give it to a role that can log in and is no superuser, and attach it again as that role.';
    END LOOP;
END
$warn$;

RESET ROLE;
