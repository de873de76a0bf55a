-- attach() and detach(): what is made beside an attached table, and taken off again. See 4_attach.sql.

SET LOCAL ROLE slotbell_owner;

-- The target, checked, and locked against another attach() of it; its writers go on.
CREATE OR REPLACE FUNCTION slotbell.find_attach_target(relation regclass) RETURNS slotbell.attach_target
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    class pg_class := (SELECT c FROM pg_class c WHERE c.oid = relation);
    target slotbell.attach_target;
BEGIN
    target.relation := relation;
    target.owner := class.relowner;
    target.schema_name := (SELECT n.nspname FROM pg_namespace n WHERE n.oid = class.relnamespace);
    PERFORM slotbell.check_attach(relation, class, target.schema_name);
    target.qualified := format('%I.%I', target.schema_name, class.relname);
    -- OLD and NEW are the trigger's own.
    target.alias := CASE WHEN class.relname IN ('old', 'new') THEN 'slotbell_row' ELSE format('%I', class.relname) END;
    target.rows := format('%s%s AS %s', CASE class.relkind WHEN 'r' THEN 'ONLY ' ELSE '' END, target.qualified, target.alias);
    EXECUTE format('LOCK TABLE ONLY %s IN SHARE UPDATE EXCLUSIVE MODE', target.qualified);

    -- The names that it has, or else names that no other table's have (it was renamed, or a long name was cut).
    SELECT substr(p.proname, 15) INTO target.function_end FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
    WHERE t.tgrelid = relation AND t.tgname = 'slotbell_ring' AND p.proname ~ '^slotbell_ring_.' AND octet_length(p.proname::text) < 63
        AND p.pronamespace = class.relnamespace AND p.proowner = class.relowner;
    FOR n IN 1 .. 1000 LOOP
        EXIT WHEN target.function_end IS NOT NULL;
        -- Cut where the longest of the names would be cut.
        target.function_end := substr(('slotbell_judge_' || CASE n WHEN 1 THEN '' ELSE n || '_' END || class.relname)::name, 16);
        IF EXISTS (
            SELECT FROM pg_proc p WHERE p.pronamespace = class.relnamespace
                AND p.proname IN ('slotbell_ring_' || target.function_end, 'slotbell_rows_' || target.function_end, 'slotbell_judge_' || target.function_end)
                AND (p.proowner <> class.relowner OR EXISTS (
                    SELECT FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
                    WHERE t.tgfoid = p.oid AND c.relname <> 'slotbell_keys_' || target.function_end))
        ) OR EXISTS (
            SELECT FROM pg_class c WHERE c.relnamespace = class.relnamespace AND c.relname = 'slotbell_keys_' || target.function_end
                AND (c.relowner <> class.relowner OR c.relkind <> 'r' OR c.relpersistence <> 'u')
        ) THEN
            target.function_end := NULL;
        END IF;
    END LOOP;
    RETURN target;
END
$$;

-- Leaves what attach() made to the table's owner alone.
CREATE FUNCTION slotbell.attach_own(target slotbell.attach_target, made text, acl aclitem[]) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    grantee text;
BEGIN
    FOR grantee IN
        SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END
        FROM aclexplode(acl) a WHERE a.grantee <> target.owner
    LOOP
        EXECUTE format('REVOKE ALL ON %s FROM %s', made, grantee);
    END LOOP;
END
$$;

-- Makes or replaces one of the functions, and leaves it to the table's owner alone.
CREATE OR REPLACE FUNCTION slotbell.attach_function(target slotbell.attach_target, name text, arguments text, options text, body text) RETURNS regprocedure
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    signature text := format('%I.%I(%s)', target.schema_name, name || target.function_end, arguments);
    made pg_proc;
BEGIN
    -- The settings: what an expression means must not depend on who happens to write. A policy that would hide a row from
    -- its table's owner is an error, for a hidden row would look like a deleted one. Each setting costs at each call: a function that
    -- evaluates nothing of the owner's brings its own.
    EXECUTE format('CREATE OR REPLACE FUNCTION %s %s SECURITY DEFINER%s AS %L', signature, options,
        CASE WHEN strpos(options, 'search_path') > 0 THEN '' ELSE ' SET search_path = pg_catalog, pg_temp SET timezone = ''UTC'''
            ' SET datestyle = ''ISO, YMD'' SET standard_conforming_strings = on SET row_security = off' END, body);
    SELECT p.* INTO made FROM pg_proc p WHERE p.oid = signature::regprocedure;
    PERFORM slotbell.attach_own(target, 'FUNCTION ' || signature, coalesce(made.proacl, acldefault('f', made.proowner)));
    IF made.proowner <> target.owner THEN
        EXECUTE format('ALTER FUNCTION %s OWNER TO %I', signature, pg_get_userbyid(target.owner));
    END IF;
    RETURN signature::regprocedure;
END
$$;

-- The table of keys, if it is not there as it should be. The judge is its trigger.
CREATE FUNCTION slotbell.attach_keys(target slotbell.attach_target, key jsonb, judge regprocedure) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    keys text := format('%I.%I', target.schema_name, 'slotbell_keys_' || target.function_end);
    trigger_name text := format('%I', 'slotbell_judge_' || target.function_end);
    has record;
BEGIN
    SELECT c.oid, EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgfoid = judge AND t.tginitdeferred AND t.tgenabled = 'O') AS is_judged,
        (SELECT string_agg(format('%s %s%s', a.attname, format_type(a.atttypid, a.atttypmod),
                CASE WHEN a.attcollation <> t.typcollation THEN format(' COLLATE %I.%I', n.nspname, o.collname) ELSE '' END), ', ' ORDER BY a.attnum)
         FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
         LEFT JOIN pg_collation o ON o.oid = a.attcollation LEFT JOIN pg_namespace n ON n.oid = o.collnamespace
         WHERE a.attrelid = c.oid AND a.attname ~ '^k[0-9]+$' AND NOT a.attisdropped) AS columns
    INTO has FROM pg_class c WHERE c.oid = to_regclass(keys);
    IF has.oid IS NULL OR NOT has.is_judged OR has.columns IS DISTINCT FROM key ->> 'columns' THEN
        PERFORM slotbell.drop_keys(has.oid);
        EXECUTE format('CREATE UNLOGGED TABLE %s (xact xid8 NOT NULL DEFAULT pg_current_xact_id(), key_hash bytea NOT NULL, operation text NOT NULL, %s,'
            ' PRIMARY KEY (xact, key_hash))', keys, key ->> 'columns');
        EXECUTE format('COMMENT ON TABLE %s IS %L', keys, 'Made by slotbell.attach(): keys of rows that were written in transactions that run.');
        EXECUTE format('CREATE CONSTRAINT TRIGGER %s AFTER INSERT ON %s DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION %s()',
            trigger_name, keys, judge::regproc);
    END IF;
    PERFORM slotbell.attach_own(target, 'TABLE ' || keys, (SELECT c.relacl FROM pg_class c WHERE c.oid = to_regclass(keys)));
END
$$;

-- Drops a table of keys. What this transaction has written to the attached table is judged now, as it would be at COMMIT.
CREATE FUNCTION slotbell.drop_keys(keys regclass) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    late record;
BEGIN
    FOR late IN
        SELECT n.nspname, t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE t.tgrelid = keys AND t.tgdeferrable AND t.tgname ~ '^slotbell_judge_.'
    LOOP
        EXECUTE format('SET CONSTRAINTS %I.%I IMMEDIATE', late.nspname, late.tgname);
    END LOOP;
    IF keys IS NOT NULL THEN
        EXECUTE format('DROP TABLE %s', keys);
    END IF;
END
$$;

-- Puts the triggers on the table, where they are not: so a new mapping needs no lock. Returns whether the mapping is new.
CREATE FUNCTION slotbell.attach_triggers(target slotbell.attach_target, ring_function regprocedure, given jsonb, id text) RETURNS boolean
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- Evaluated with the writer's rights before an event is queued: so it uses nothing of ours.
    loud text := 'coalesce(lower(current_setting(''slotbell.quiet'', true)), '''') NOT IN (''on'', ''true'', ''yes'', ''1'')';
    part record;
    before text := (SELECT a.mapping FROM slotbell.attachment a WHERE a.oid = target.relation);
BEGIN
    FOR part IN
        SELECT wanted.*, t.tgfoid FROM (VALUES
            ('slotbell_ring', 'INSERT OR DELETE', 'ROW', loud),
            ('slotbell_ring_update', 'UPDATE', 'ROW', loud), -- also one that changes nothing: another table may have changed
            ('slotbell_ring_truncate', 'TRUNCATE', 'STATEMENT', loud)) AS wanted (name, event, level, condition)
        LEFT JOIN pg_trigger t ON t.tgrelid = target.relation AND t.tgname = wanted.name
        WHERE t.tgfoid IS DISTINCT FROM ring_function OR left(encode(t.tgargs, 'escape'), 36) <> id
    LOOP
        IF part.tgfoid IS NOT NULL THEN
            EXECUTE format('DROP TRIGGER %I ON %s', part.name, target.qualified);
        END IF;
        EXECUTE format('CREATE TRIGGER %I AFTER %s ON %s FOR EACH %s WHEN (%s) EXECUTE FUNCTION %s',
            part.name, part.event, target.qualified, part.level, part.condition, format('%s(%L)', ring_function::regproc, id));
        before := NULL;
    END LOOP;
    EXECUTE format('COMMENT ON TRIGGER slotbell_ring ON %s IS %L', target.qualified, given);
    RETURN before IS DISTINCT FROM given::text;
END
$$;

-- Attaches a table, or gives an attached one another mapping. Each parameter is the name of a column or an expression
-- over the columns; mailbox, uid, starts_at, duration_minutes or ends_at, time_zone and subject are needed. A row is a
-- booking where only_when is true, cancelled_when is not, and mailbox is not NULL. on_error: 'record' keeps and warns of
-- a row that cannot ring, 'raise' fails its transaction. SQLSTATEs: SB020 the table, SB021 a right, SB022 no column and no
-- expression, SB023 a type, SB024 NULL, SB025 the parameters, SB026 no key.
CREATE OR REPLACE FUNCTION slotbell.attach(
    relation regclass, mailbox text DEFAULT NULL, uid text DEFAULT NULL, starts_at text DEFAULT NULL, duration_minutes text DEFAULT NULL,
    ends_at text DEFAULT NULL, time_zone text DEFAULT NULL, subject text DEFAULT NULL, attendees text DEFAULT NULL, details text DEFAULT NULL,
    organizer text DEFAULT NULL, location text DEFAULT NULL, join_url text DEFAULT NULL, description text DEFAULT NULL,
    cancelled_when text DEFAULT NULL, only_when text DEFAULT NULL, on_error text DEFAULT 'record'
) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    given jsonb := jsonb_strip_nulls(jsonb_build_object('mailbox', mailbox, 'uid', uid, 'starts_at', starts_at, 'duration_minutes', duration_minutes,
        'ends_at', ends_at, 'time_zone', time_zone, 'subject', subject, 'attendees', attendees, 'details', details, 'organizer', organizer,
        'location', location, 'join_url', join_url, 'description', description, 'cancelled_when', cancelled_when, 'only_when', only_when,
        'on_error', on_error));
    target slotbell.attach_target := slotbell.find_attach_target(relation);
    key jsonb := slotbell.attach_key(target);
    sql jsonb := slotbell.attach_expressions(target, given);
    keys text := format('%I.%I', target.schema_name, 'slotbell_keys_' || target.function_end);
    id text;
    is_new boolean;
    booking text;
    judge regprocedure;
    rows_function regprocedure;
    ring_function regprocedure;
    -- Counts the keys that are not judged yet, for number_events().
    unjudged CONSTANT text := 'CASE WHEN current_setting(''slotbell.unjudged'', true) ~ ''^[0-9]{1,9}$'' THEN current_setting(''slotbell.unjudged'', true)::integer ELSE 0 END';
BEGIN
    -- What it is remembered by, across renames and dumps.
    SELECT left(encode(t.tgargs, 'escape'), 36) INTO id FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
    WHERE t.tgrelid = relation AND t.tgname = 'slotbell_ring' AND t.tgnargs = 1 AND encode(t.tgargs, 'escape') ~ '^[0-9a-f-]{36}.000$' AND p.proowner = target.owner;
    is_new := id IS NULL;
    id := coalesce(id, gen_random_uuid()::text);

    rows_function := slotbell.attach_function(target, 'slotbell_rows_', 'text[]', 'RETURNS SETOF jsonb LANGUAGE sql STABLE' || (key ->> 'settings'), format($body$
-- Made by slotbell.attach(), which replaces it: the bookings of these mailboxes that may be to come, for slotbell.resync().
SELECT booking || jsonb_build_object('key', slotbell_key) FROM (
    SELECT %s AS booking, jsonb_build_object('key_hash', %s, %s) AS slotbell_key
    FROM %s
    WHERE %s >= now() - interval '31 days' AND slotbell.fold_address(%s) = ANY ($1)
) AS slotbell_rows WHERE booking IS NOT NULL
$body$, sql ->> 'booking', key ->> 'hash_row', key ->> 'pairs', target.rows, sql ->> 'starts_at', sql ->> 'mailbox'));

    judge := slotbell.attach_function(target, 'slotbell_judge_', '',
        'RETURNS trigger LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan' || (key ->> 'settings'), format($body$
-- Made by slotbell.attach(), which replaces it: says what a row is now that was written in this transaction.
#variable_conflict use_column
DECLARE
    slotbell_booking jsonb;
    slotbell_said text;
    slotbell_detail text;
    slotbell_hint text;
BEGIN
    -- Taken away first: a write that comes after this is noted again.
    DELETE FROM %1$s AS slotbell_keys WHERE slotbell_keys.xact = NEW.xact AND slotbell_keys.key_hash = NEW.key_hash;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    slotbell_said := set_config('slotbell.unjudged', coalesce(nullif(greatest(%2$s - 1, 0), 0)::text, ''), true);
    BEGIN
        slotbell_booking := (SELECT %3$s
            FROM %4$s WHERE %5$s AND %6$s = NEW.key_hash);
        INSERT INTO slotbell.judging (attachment, key_hash, booking) VALUES (%7$L, NEW.key_hash, slotbell_booking);
    EXCEPTION WHEN OTHERS THEN
        -- What is no fault of this row must not let its transaction commit without its bell.
        IF left(SQLSTATE, 2) IN ('08', '25', '40', '53', '55', '57', '58', 'F0', 'XX') THEN
            RAISE;
        END IF;%8$s
    END;
    RETURN NULL;
END
$body$, keys, unjudged, sql ->> 'booking', target.rows, key ->> 'found', key ->> 'hash_row', id, CASE on_error WHEN 'record' THEN format($body$
        slotbell_said := %2$s;
        BEGIN
            PERFORM slotbell.refused(%1$L, NEW.operation, slotbell_booking ->> 'uid', SQLSTATE, SQLERRM, slotbell_said);
        EXCEPTION WHEN OTHERS THEN
            RAISE WARNING USING MESSAGE = 'slotbell: ' || %1$L || ' rings nothing: ' || SQLERRM,
                HINT = 'Its owner needs slotbell_publisher, and Slotbell must be there. DROP TRIGGER ends this.';
        END;$body$, target.qualified, key ->> 'said') ELSE format($body$
        slotbell_said := %2$s;
        GET STACKED DIAGNOSTICS slotbell_detail = PG_EXCEPTION_DETAIL, slotbell_hint = PG_EXCEPTION_HINT;
        RAISE EXCEPTION USING ERRCODE = SQLSTATE, MESSAGE = SQLERRM, HINT = slotbell_hint, DETAIL = concat_ws(' ', nullif(slotbell_detail, ''),
            format('It came of the %%s of a row in %%s%%s.', NEW.operation, %1$L, ', ' || slotbell_said));$body$, target.qualified, key ->> 'said') END));
    PERFORM slotbell.attach_keys(target, key, judge);

    ring_function := slotbell.attach_function(target, 'slotbell_ring_', '',
        'RETURNS trigger LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan' || (key ->> 'settings')
        || CASE WHEN (key ->> 'is_plain')::boolean THEN ' SET search_path = pg_catalog, pg_temp' ELSE '' END, format($body$
-- Made by slotbell.attach(), which replaces it: notes the keys of the rows that are written. %1$s judges them.
#variable_conflict use_column
DECLARE
    slotbell_old bytea;
    slotbell_new bytea;
    slotbell_said text;
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        RAISE WARNING USING MESSAGE = 'slotbell: TRUNCATE rings nothing: what was booked in ' || %2$L || ' stays in the calendars',
            HINT = 'DELETE cancels.';
        INSERT INTO slotbell.judging (attachment) VALUES (%3$L);
        RETURN NULL;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        slotbell_old := %4$s;
        INSERT INTO %5$s (key_hash, operation, %6$s) VALUES (slotbell_old, TG_OP, %7$s) ON CONFLICT DO NOTHING;
        IF FOUND THEN
            slotbell_said := set_config('slotbell.unjudged', (%10$s + 1)::text, true);
        END IF;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        slotbell_new := %8$s;
        IF slotbell_old IS NULL OR slotbell_old <> slotbell_new THEN
            INSERT INTO %5$s (key_hash, operation, %6$s) VALUES (slotbell_new, TG_OP, %9$s) ON CONFLICT DO NOTHING;
            IF FOUND THEN
                slotbell_said := set_config('slotbell.unjudged', (%10$s + 1)::text, true);
            END IF;
        END IF;
    END IF;
    RETURN NULL;%11$s
END
$body$, judge, target.qualified, id, key ->> 'hash_old', keys, key ->> 'names', key ->> 'old', key ->> 'hash_new', key ->> 'new', unjudged,
        CASE on_error WHEN 'record' THEN format($body$
EXCEPTION WHEN OTHERS THEN
    IF left(SQLSTATE, 2) IN ('08', '25', '40', '53', '55', '57', '58', 'F0', 'XX') THEN
        RAISE;
    END IF;
    BEGIN
        PERFORM slotbell.refused(%1$L, TG_OP, NULL, SQLSTATE, SQLERRM);
    EXCEPTION WHEN OTHERS THEN
        RAISE WARNING USING MESSAGE = 'slotbell: ' || %1$L || ' rings nothing: ' || SQLERRM,
            HINT = 'Its owner needs slotbell_publisher, and Slotbell must be there. DROP TRIGGER ends this.';
    END;
    RETURN NULL;$body$, target.qualified) ELSE '' END));

    IF slotbell.attach_triggers(target, ring_function, given, id) THEN
        PERFORM slotbell.need_resync_for_all();
    END IF;
    PERFORM slotbell.forget_detached();
    -- Rows that were published before, by hand or by an attachment of release 0.1.0: a DELETE is to cancel them. No row of the table
    -- changes meanwhile, for its triggers were made in this transaction.
    IF is_new THEN
        BEGIN
            FOR booking IN EXECUTE format('SELECT slotbell_rows::text FROM %s($1) AS slotbell_rows', rows_function::regproc)
                USING ARRAY(SELECT n.mailbox FROM slotbell.needs_resync n)
            LOOP
                INSERT INTO slotbell.judging (attachment, key_hash, booking, head)
                VALUES (id::uuid, (booking::jsonb #>> '{key,key_hash}')::bytea, booking::jsonb, -1);
            END LOOP;
        EXCEPTION WHEN OTHERS THEN
            IF left(SQLSTATE, 2) IN ('08', '25', '40', '53', '55', '57', '58', 'F0', 'XX') THEN
                RAISE;
            END IF;
            RAISE WARNING USING MESSAGE = format('slotbell.attach: the mapping fails for a row of %s, with SQLSTATE %s', target.qualified, SQLSTATE),
                DETAIL = 'So what was published of its rows before is not known.', HINT = 'slotbell.resync() fails as well until it does not.';
        END;
    END IF;
    IF EXISTS (SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = relation AND NOT c.relispartition) THEN
        RAISE WARNING USING MESSAGE = format('slotbell.attach: tables inherit from %s, and their rows do not ring', target.qualified),
            HINT = 'Attach each of them as well.';
    END IF;
END
$$;

-- Takes a table's triggers and functions off. False: it was not attached. Any role with the owner's rights may do it: a table that
-- cannot be attached any more, for its owner cannot log in, still comes off.
CREATE OR REPLACE FUNCTION slotbell.detach(relation regclass) RETURNS boolean
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    owner oid := (SELECT c.relowner FROM pg_class c WHERE c.oid = relation);
    -- Of the table's owner: another's function may be in another's use.
    made text[] := ARRAY(
        SELECT p.oid::regprocedure FROM pg_trigger t JOIN pg_proc ringing ON ringing.oid = t.tgfoid AND ringing.proname ~ '^slotbell_ring_.'
        JOIN pg_proc p ON p.pronamespace = ringing.pronamespace AND p.proowner = owner
            AND (p.oid = ringing.oid OR (p.proname = 'slotbell_judge_' || substr(ringing.proname, 15) AND p.pronargs = 0)
                OR (p.proname = 'slotbell_rows_' || substr(ringing.proname, 15) AND p.pronargs = 1 AND p.proargtypes[0] = 'text[]'::regtype))
        WHERE t.tgrelid = relation AND t.tgname = 'slotbell_ring');
    keys regclass := (
        SELECT c.oid FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid AND p.proname ~ '^slotbell_ring_.' JOIN pg_class c ON c.relnamespace = p.pronamespace
            AND c.relname = 'slotbell_keys_' || substr(p.proname, 15) AND c.relkind = 'r' AND c.relowner = owner
        WHERE t.tgrelid = relation AND t.tgname = 'slotbell_ring');
    part text;
    was_attached boolean := false;
BEGIN
    IF NOT pg_has_role(owner, 'USAGE') THEN
        PERFORM slotbell.refuse_attach('SB021', format('%s belongs to %I', relation, pg_get_userbyid(owner)), format('You are %I.', current_user),
            'Detach it as its owner.');
    END IF;
    PERFORM slotbell.drop_keys(keys);
    FOR part IN SELECT t.tgname FROM pg_trigger t WHERE t.tgrelid = relation AND t.tgname ~ '^slotbell_ring(_update|_truncate)?$' LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', part, relation);
        was_attached := was_attached OR part = 'slotbell_ring';
    END LOOP;
    FOREACH part IN ARRAY made LOOP
        EXECUTE 'DROP FUNCTION ' || part;
    END LOOP;
    PERFORM slotbell.forget_detached();
    RETURN was_attached;
END
$$;

GRANT EXECUTE ON FUNCTION slotbell.attach_own(slotbell.attach_target, text, aclitem[]), slotbell.attach_keys(slotbell.attach_target, jsonb, regprocedure),
    slotbell.drop_keys(regclass), slotbell.attach_triggers(slotbell.attach_target, regprocedure, jsonb, text) TO slotbell_publisher;

RESET ROLE;
