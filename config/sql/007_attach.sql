-- attach(): a table that a backend writes to rings, with no change to the backend.
--
-- Three kinds of code, each with rights of its own:
--   attach, detach              the caller's: they do nothing that the caller could not do by hand;
--   slotbell_ring_<table> and   made by attach, with the rights of the table's owner: they hold the owner's expressions,
--   slotbell_rows_<table>       which so run neither with our rights nor with those of whoever writes to the table;
--   ring, refused, …            ours (008_ring.sql): they are given values, never text to run.
-- Whoever writes to the table needs no right here at all.

SET LOCAL ROLE slotbell_owner;

-- Which tables are attached: what the triggers say, so that a dropped, renamed or restored table leaves no list to put right.
CREATE VIEW slotbell.attachment AS
    SELECT t.tgrelid AS oid, format('%I.%I', n.nspname, c.relname) AS relation, pg_get_userbyid(listing.proowner) AS runs_as,
        ringing.oid::regprocedure AS ring_function, listing.oid::regprocedure AS rows_function,
        obj_description(t.oid, 'pg_trigger') AS mapping
    FROM pg_trigger t
    JOIN pg_class c ON c.oid = t.tgrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_proc ringing ON ringing.oid = t.tgfoid AND ringing.proname ~ '^slotbell_ring_.'
    JOIN pg_proc listing ON listing.pronamespace = ringing.pronamespace AND listing.proname = 'slotbell_rows_' || substr(ringing.proname, 15)
        -- What would run with the rights of whoever calls resync() is not called.
        AND listing.prosecdef AND listing.pronargs = 1 AND listing.proargtypes[0] = 'text[]'::regtype
    WHERE t.tgname = 'slotbell_ring' AND t.tgparentid = 0;

-- What is known of the table while it is attached.
CREATE TYPE slotbell.attach_target AS (
    relation regclass,
    owner oid,
    schema_name text,
    qualified text,      -- schema.table
    alias text,          -- the name by which expressions know a row
    rows text,           -- what to select from
    written text,        -- in a trigger: the row that was written, as it is now
    function_end text    -- what the names of its two functions end in
);

-- Says no, in the four parts that a developer needs.
CREATE FUNCTION slotbell.refuse_attach(code text, message text, detail text, hint text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = code, MESSAGE = 'slotbell.attach: ' || message, DETAIL = detail, HINT = hint;
END
$$;

-- Can this table be attached, may its owner do all that it takes, and may the caller act for the owner?
CREATE FUNCTION slotbell.check_attach(relation regclass, class pg_class, schema_name text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    owner text := pg_get_userbyid(class.relowner);
    problem text := CASE
        WHEN relation IS NULL THEN 'It is NULL.'
        WHEN class.relkind NOT IN ('r', 'p') THEN 'It is no table.'
        WHEN class.relpersistence = 't' THEN 'It is temporary: no other session sees it.'
        WHEN class.relispartition THEN format('It is a partition of %s.', pg_partition_root(relation))
        WHEN schema_name IN ('pg_catalog', 'information_schema', 'slotbell') THEN format('It is in the schema %s.', schema_name)
    END;
BEGIN
    IF problem IS NOT NULL THEN
        PERFORM slotbell.refuse_attach('SB020', format('%s cannot be attached', coalesce(relation::text, 'this')), problem,
            'Attach the table that bookings are written to; of a partitioned one the whole.');
    ELSIF NOT pg_has_role(class.relowner, 'USAGE') THEN
        PERFORM slotbell.refuse_attach('SB021', format('%s belongs to %I', relation, owner), format('You are %I.', current_user),
            format('Call it as %I, or as a role that has its rights.', owner));
    ELSIF NOT has_function_privilege(class.relowner, 'slotbell.ring(text,text,jsonb,jsonb)', 'EXECUTE') THEN
        PERFORM slotbell.refuse_attach('SB021', format('%I, who owns %s, may not publish', owner, relation),
            'What is attached rings with the rights of the table''s owner.', format('GRANT slotbell_publisher TO %I;', owner));
    ELSIF NOT has_schema_privilege(class.relowner, class.relnamespace, 'CREATE') THEN
        PERFORM slotbell.refuse_attach('SB021', format('%I, who owns %s, may not create functions beside it', owner, relation),
            'The mapping becomes two functions in the schema of the table.', format('GRANT CREATE ON SCHEMA %I TO %I;', schema_name, owner));
    ELSIF class.relforcerowsecurity AND NOT (SELECT r.rolsuper OR r.rolbypassrls FROM pg_roles r WHERE r.oid = class.relowner) THEN
        PERFORM slotbell.refuse_attach('SB021', format('policies hide rows of %s from %I, who owns it', relation, owner),
            'What is attached rings with the rights of the table''s owner.', format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY;', relation));
    END IF;
END
$$;

-- The target, checked, and locked against another attach() of it; its writers go on.
CREATE FUNCTION slotbell.find_attach_target(relation regclass) RETURNS slotbell.attach_target
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

    -- By its primary key: a trigger of the backend's own may have changed the row since, and that change has rung already.
    -- Where there is no key that PostgreSQL can compare by itself, as it was written.
    SELECT format('%s WHERE %s', target.rows, string_agg(format('%s.%I = NEW.%2$I', target.alias, a.attname), ' AND ')) INTO target.written
    FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey) JOIN pg_type t ON t.oid = a.atttypid
    WHERE i.indrelid = relation AND i.indisprimary
    HAVING bool_and(t.typnamespace = 'pg_catalog'::regnamespace);
    target.written := coalesce(target.written, format('(SELECT NEW.*) AS %s', target.alias));

    -- The functions that it has, or else names that no other table's have (it was renamed, or a long name was cut).
    SELECT substr(p.proname, 15) INTO target.function_end FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
    WHERE t.tgrelid = relation AND t.tgname = 'slotbell_ring' AND p.proname ~ '^slotbell_ring_.'
        AND p.pronamespace = class.relnamespace AND p.proowner = class.relowner;
    FOR n IN 1 .. 1000 LOOP
        EXIT WHEN target.function_end IS NOT NULL;
        target.function_end := substr(('slotbell_ring_' || CASE n WHEN 1 THEN '' ELSE n || '_' END || class.relname)::name, 15);
        IF EXISTS (
            SELECT FROM pg_proc p WHERE p.pronamespace = class.relnamespace
                AND p.proname IN ('slotbell_ring_' || target.function_end, 'slotbell_rows_' || target.function_end)
                AND (p.proowner <> class.relowner OR EXISTS (SELECT FROM pg_trigger t WHERE t.tgfoid = p.oid))
        ) THEN
            target.function_end := NULL;
        END IF;
    END LOOP;
    RETURN target;
END
$$;

-- One parameter of attach() as SQL over a row: the column of exactly this name, or else an expression. It is looked at
-- here, so that what cannot work is said now and by name. NULL where it is not given.
CREATE FUNCTION slotbell.attach_expression(target slotbell.attach_target, parameter text, given text, kind text, may_be_null boolean)
    RETURNS text
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET row_security = off
AS $$
DECLARE
    what text := format('%s => %L', parameter, given);
    sql text;
    problem text;
    found_type regtype;
    base regtype;
    found_column pg_attribute;
BEGIN
    IF given IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT a.* INTO found_column FROM pg_attribute a
    WHERE a.attrelid = target.relation AND a.attname::text = given AND a.attnum > 0 AND NOT a.attisdropped;
    sql := CASE
        WHEN found_column.attname IS NOT NULL THEN format('%s.%I', target.alias, found_column.attname)
        WHEN parameter = 'time_zone' AND EXISTS (SELECT FROM slotbell.time_zone z WHERE z.name = given) THEN quote_literal(given)
        ELSE format(E'(%s\n)', given) -- the new line ends a comment
    END;
    BEGIN
        EXECUTE format('SELECT pg_typeof((SELECT %s FROM %s LIMIT 0))', sql, target.rows) INTO found_type;
        EXECUTE format('SELECT FROM %s WHERE %s::text IS NULL LIMIT 0', target.rows, sql); -- no aggregates, no sets
    EXCEPTION WHEN OTHERS THEN
        problem := SQLERRM;
    END;
    IF problem IS NOT NULL THEN
        PERFORM slotbell.refuse_attach('SB022', format('%s is no column of %s, nor an expression over its columns', what, target.qualified),
            problem, format('Its columns: %s. Functions and other tables need their schema; a fixed text its quotes, as in ''''Meeting''''.',
                (SELECT left(string_agg(format('%I', a.attname), ', ' ORDER BY a.attnum), 1000)
                 FROM pg_attribute a WHERE a.attrelid = target.relation AND a.attnum > 0 AND NOT a.attisdropped)));
    END IF;

    WITH RECURSIVE layer AS (
        SELECT t.oid, t.typbasetype FROM pg_type t WHERE t.oid = found_type
        UNION ALL SELECT t.oid, t.typbasetype FROM layer l JOIN pg_type t ON t.oid = l.typbasetype
    )
    SELECT l.oid INTO base FROM layer l WHERE l.typbasetype = 0;
    IF NOT (SELECT CASE kind
        WHEN 'a text' THEN t.typcategory IN ('S', 'E')
        WHEN 'a text, a number or a uuid' THEN t.typcategory IN ('S', 'E', 'N') OR base = 'uuid'::regtype
        WHEN 'a timestamptz' THEN base = 'timestamptz'::regtype
        WHEN 'a number of minutes, or an interval' THEN base = ANY ('{int2,int4,int8,numeric,float4,float8,interval}'::regtype[])
        WHEN 'a jsonb' THEN base = ANY ('{json,jsonb}'::regtype[])
        WHEN 'a boolean' THEN base = 'boolean'::regtype
    END FROM pg_type t WHERE t.oid = base) THEN
        PERFORM slotbell.refuse_attach('SB023', format('%s is of type %s', what, found_type), format('It should be %s.', kind),
            CASE WHEN base = 'timestamp'::regtype AND kind = 'a timestamptz'
                THEN format('Say in which zone it is: %s => %L.', parameter,
                    format('(%s) AT TIME ZONE ''UTC''', coalesce(quote_ident(found_column.attname), given)))
                ELSE 'Give an expression that makes one of it.' END);
    END IF;
    IF NOT may_be_null AND found_column.attname IS NOT NULL AND NOT found_column.attnotnull
        AND NOT (SELECT t.typnotnull FROM pg_type t WHERE t.oid = found_column.atttypid) THEN
        PERFORM slotbell.refuse_attach('SB024', format('%s may be NULL', what), format('A booking needs it, and the column has no NOT NULL.'),
            format('ALTER TABLE %s ALTER COLUMN %I SET NOT NULL; or say what stands in for it, by coalesce(…),'
                ' or which rows are bookings, by only_when.', target.qualified, given));
    END IF;
    RETURN CASE
        WHEN kind = 'a boolean' THEN sql
        WHEN kind = 'a timestamptz' THEN sql || '::timestamptz'
        WHEN kind = 'a jsonb' THEN sql || '::jsonb'
        WHEN kind <> 'a number of minutes, or an interval' THEN sql || '::text'
        WHEN base = 'interval'::regtype THEN format('ceil(extract(epoch FROM %s) / 60)::integer', sql)
        ELSE sql || '::integer'
    END;
END
$$;

-- The expressions of all that was given to attach(), by parameter, and under `booking` the whole: the row as ring() takes
-- it, NULL where it does not ring. Its other columns may hold anything then.
CREATE FUNCTION slotbell.attach_expressions(target slotbell.attach_target, given jsonb) RETURNS jsonb
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    missing text := (SELECT string_agg(needed, ', ') FROM unnest('{mailbox,uid,starts_at,time_zone,subject}'::text[]) needed
                     WHERE NOT given ? needed);
    sql jsonb := '{}';
    part record;
BEGIN
    IF missing IS NOT NULL THEN
        PERFORM slotbell.refuse_attach('SB025', missing || ' is not given',
            'A booking needs mailbox, uid, starts_at, duration_minutes or ends_at, time_zone and subject.',
            'Name for each the column that has it, or an expression over the columns, as in mailbox => ''host_email''.');
    ELSIF (given ? 'duration_minutes') = (given ? 'ends_at') THEN
        PERFORM slotbell.refuse_attach('SB025', 'either duration_minutes or ends_at is needed',
            CASE WHEN given ? 'ends_at' THEN 'Both are given.' ELSE 'Neither is given.' END, 'Name the column that the table has.');
    ELSIF coalesce(given ->> 'on_error' NOT IN ('record', 'raise'), true) THEN
        PERFORM slotbell.refuse_attach('SB025', format('on_error => %L is not known', given ->> 'on_error'),
            'It says what happens to a row that cannot ring.', 'Give ''record'' (keep and warn) or ''raise'' (fail the statement).');
    END IF;
    FOR part IN
        SELECT * FROM (VALUES
            ('mailbox', 'a text', true), ('uid', 'a text, a number or a uuid', false), ('starts_at', 'a timestamptz', false),
            ('duration_minutes', 'a number of minutes, or an interval', false), ('ends_at', 'a timestamptz', false),
            ('time_zone', 'a text', false), ('subject', 'a text', false), ('attendees', 'a jsonb', true), ('details', 'a jsonb', true),
            ('organizer', 'a jsonb', true), ('location', 'a text', true), ('join_url', 'a text', true), ('description', 'a text', true),
            ('cancelled_when', 'a boolean', true), ('only_when', 'a boolean', true)) AS parameters (name, kind, may_be_null)
    LOOP
        sql := sql || jsonb_build_object(part.name, slotbell.attach_expression(target, part.name, given ->> part.name, part.kind,
            part.may_be_null OR given ? 'only_when'));
    END LOOP;
    sql := jsonb_strip_nulls(sql);
    RETURN sql || jsonb_build_object('booking', format(
        'CASE WHEN %s IS TRUE AND %s IS NOT TRUE AND %s IS NOT NULL THEN jsonb_build_object(%s) END',
        coalesce(sql ->> 'only_when', 'true'), coalesce(sql ->> 'cancelled_when', 'false'), sql ->> 'mailbox',
        concat_ws(', ',
            format('''mailbox'', %s, ''uid'', %s, ''starts_at'', %s', sql ->> 'mailbox', sql ->> 'uid', sql ->> 'starts_at'),
            format('''minutes'', %s', coalesce(sql ->> 'duration_minutes',
                format('ceil(extract(epoch FROM %s - %s) / 60)::integer', sql ->> 'ends_at', sql ->> 'starts_at'))),
            format('''time_zone'', %s, ''subject'', %s', sql ->> 'time_zone', sql ->> 'subject'),
            '''attendees'', ' || (sql ->> 'attendees'), -- NULL, and so left out, where it is not given
            format('''details'', nullif(coalesce(nullif(%s, ''null''), ''{}'') || jsonb_strip_nulls(jsonb_build_object(%s)), ''{}'')',
                coalesce(sql ->> 'details', 'NULL::jsonb'),
                (SELECT string_agg(format('%L, %s', d.name, sql ->> d.name), ', ')
                 FROM unnest('{organizer,location,join_url,description}'::text[]) d (name) WHERE sql ? d.name)))));
END
$$;

-- Makes or replaces one of the two functions, and leaves it to the table's owner alone.
CREATE FUNCTION slotbell.attach_function(target slotbell.attach_target, name text, arguments text, options text, body text) RETURNS regprocedure
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    signature text := format('%I.%I(%s)', target.schema_name, name || target.function_end, arguments);
    made pg_proc;
    grantee text;
BEGIN
    -- The settings: what an expression means must not depend on who happens to write. A policy that would hide a row from
    -- its table's owner is an error, for a hidden row would look like a deleted one.
    EXECUTE format('CREATE OR REPLACE FUNCTION %s %s SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = ''UTC'''
        ' SET datestyle = ''ISO, YMD'' SET standard_conforming_strings = on SET row_security = off AS %L', signature, options, body);
    SELECT p.* INTO made FROM pg_proc p WHERE p.oid = signature::regprocedure;
    FOR grantee IN
        SELECT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END
        FROM aclexplode(coalesce(made.proacl, acldefault('f', made.proowner))) a WHERE a.grantee <> made.proowner
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM %s', signature, grantee);
    END LOOP;
    IF made.proowner <> target.owner THEN
        EXECUTE format('ALTER FUNCTION %s OWNER TO %I', signature, pg_get_userbyid(target.owner));
    END IF;
    RETURN signature::regprocedure;
END
$$;

-- Puts the triggers on the table, where they are not: so a new mapping needs no lock. Returns whether the mapping is new.
CREATE FUNCTION slotbell.attach_triggers(target slotbell.attach_target, ring_function regprocedure, given jsonb) RETURNS boolean
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- Looked at before an event is queued, by whoever writes: so there is nothing of ours in it.
    loud text := 'coalesce(lower(current_setting(''slotbell.quiet'', true)), '''') NOT IN (''on'', ''true'', ''yes'', ''1'')';
    part record;
    before text := (SELECT a.mapping FROM slotbell.attachment a WHERE a.oid = target.relation);
BEGIN
    FOR part IN
        SELECT wanted.*, t.tgfoid FROM (VALUES
            ('slotbell_ring', 'INSERT OR DELETE', 'ROW', loud),
            ('slotbell_ring_update', 'UPDATE', 'ROW', loud || ' AND OLD.* *<> NEW.*'), -- byte by byte: no type's own operator runs
            ('slotbell_ring_truncate', 'TRUNCATE', 'STATEMENT', loud)) AS wanted (name, event, level, condition)
        LEFT JOIN pg_trigger t ON t.tgrelid = target.relation AND t.tgname = wanted.name
        WHERE t.tgfoid IS DISTINCT FROM ring_function
    LOOP
        IF part.tgfoid IS NOT NULL THEN
            EXECUTE format('DROP TRIGGER %I ON %s', part.name, target.qualified);
        END IF;
        EXECUTE format('CREATE TRIGGER %I AFTER %s ON %s FOR EACH %s WHEN (%s) EXECUTE FUNCTION %s',
            part.name, part.event, target.qualified, part.level, part.condition, ring_function::regproc || '()');
        before := NULL;
    END LOOP;
    EXECUTE format('COMMENT ON TRIGGER slotbell_ring ON %s IS %L', target.qualified, given);
    RETURN before IS DISTINCT FROM given::text;
END
$$;

-- Attaches a table, or gives an attached one another mapping. Each parameter is the name of a column or an expression
-- over the columns; mailbox, uid, starts_at, duration_minutes or ends_at, time_zone and subject are needed. A row is a
-- booking where only_when is true, cancelled_when is not, and mailbox is not NULL. on_error: 'record' keeps and warns of
-- a row that cannot ring, 'raise' fails its statement. SQLSTATEs: SB020 the table, SB021 a right, SB022 no column and no
-- expression, SB023 a type, SB024 NULL, SB025 the parameters.
CREATE FUNCTION slotbell.attach(
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
    sql jsonb := slotbell.attach_expressions(target, given);
    ring_function regprocedure;
BEGIN
    PERFORM slotbell.attach_function(target, 'slotbell_rows_', 'text[]', 'RETURNS SETOF jsonb LANGUAGE sql STABLE', format($body$
-- Made by slotbell.attach(), which replaces it: the bookings of these mailboxes that may be to come, for slotbell.resync().
SELECT booking FROM (
    SELECT %s AS booking
    FROM %s
    WHERE %s >= now() - interval '31 days' AND lower(%s COLLATE "default") = ANY ($1)
) AS slotbell_rows WHERE booking IS NOT NULL
$body$, sql ->> 'booking', target.rows, sql ->> 'starts_at', sql ->> 'mailbox'));

    ring_function := slotbell.attach_function(target, 'slotbell_ring_', '', 'RETURNS trigger LANGUAGE plpgsql', format($body$
-- Made by slotbell.attach(), which replaces it.
#variable_conflict use_column
DECLARE
    slotbell_was jsonb;
    slotbell_becomes jsonb;
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        RAISE WARNING USING MESSAGE = 'slotbell: TRUNCATE rings nothing: what was booked in ' || %4$L || ' stays in the calendars',
            HINT = 'DELETE cancels.';
        RETURN NULL;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        slotbell_was := (SELECT %1$s
            FROM (SELECT OLD.*) AS %2$s);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        slotbell_becomes := (SELECT %1$s
            FROM %3$s);
    END IF;
    IF slotbell_was IS DISTINCT FROM slotbell_becomes THEN
        PERFORM slotbell.ring(%4$L, TG_OP, slotbell_was, slotbell_becomes);
    END IF;
    RETURN NULL;%5$s
END
$body$, sql ->> 'booking', target.alias, target.written, target.qualified, CASE on_error WHEN 'record' THEN format($body$
EXCEPTION WHEN OTHERS THEN
    -- What is no fault of this row must not let its statement commit without its bell.
    IF left(SQLSTATE, 2) IN ('08', '25', '40', '53', '55', '57', '58', 'F0', 'XX') THEN
        RAISE;
    END IF;
    BEGIN
        PERFORM slotbell.refused(%1$L, TG_OP, coalesce(slotbell_becomes, slotbell_was) ->> 'uid', SQLSTATE, SQLERRM);
    EXCEPTION WHEN OTHERS THEN
        RAISE WARNING USING MESSAGE = 'slotbell: ' || %1$L || ' rings nothing: ' || SQLERRM,
            HINT = 'Its owner needs slotbell_publisher, and Slotbell must be there. DROP TRIGGER ends this.';
    END;
    RETURN NULL;$body$, target.qualified) ELSE '' END));

    IF slotbell.attach_triggers(target, ring_function, given) THEN
        PERFORM slotbell.need_resync_for_all();
    END IF;
    IF EXISTS (SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = relation AND NOT c.relispartition) THEN
        RAISE WARNING USING MESSAGE = format('slotbell.attach: tables inherit from %s, and their rows do not ring', target.qualified),
            HINT = 'Attach each of them as well.';
    END IF;
END
$$;

-- Takes a table's triggers and functions off. False: it was not attached.
CREATE FUNCTION slotbell.detach(relation regclass) RETURNS boolean
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    owner oid := (SELECT c.relowner FROM pg_class c WHERE c.oid = relation);
    made text[] := (SELECT ARRAY[a.ring_function, a.rows_function]::text[] FROM slotbell.attachment a WHERE a.oid = detach.relation);
    part text;
BEGIN
    IF NOT pg_has_role(owner, 'USAGE') THEN
        PERFORM slotbell.refuse_attach('SB021', format('%s belongs to %I', relation, pg_get_userbyid(owner)), format('You are %I.', current_user),
            'Detach it as its owner.');
    END IF;
    FOR part IN SELECT t.tgname FROM pg_trigger t WHERE t.tgrelid = relation AND t.tgname ~ '^slotbell_ring(_update|_truncate)?$' LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', part, relation);
    END LOOP;
    FOREACH part IN ARRAY coalesce(made, '{}') LOOP
        EXECUTE 'DROP FUNCTION ' || part;
    END LOOP;
    RETURN made IS NOT NULL;
END
$$;

GRANT SELECT ON slotbell.attachment TO slotbell_publisher, slotbell_admin;
GRANT EXECUTE ON FUNCTION slotbell.attach(regclass, text, text, text, text, text, text, text, text, text, text, text, text, text, text, text, text),
    slotbell.detach(regclass), slotbell.find_attach_target(regclass), slotbell.check_attach(regclass, pg_class, text),
    slotbell.attach_expressions(slotbell.attach_target, jsonb),
    slotbell.attach_expression(slotbell.attach_target, text, text, text, boolean),
    slotbell.attach_function(slotbell.attach_target, text, text, text, text),
    slotbell.attach_triggers(slotbell.attach_target, regprocedure, jsonb), slotbell.refuse_attach(text, text, text, text)
    TO slotbell_publisher;

RESET ROLE;
