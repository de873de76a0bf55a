-- What attach() makes of its parameters: the key by which a row is known, and the expressions of the mapping.

SET LOCAL ROLE slotbell_owner;

-- The key of the table: its primary key, or else a unique index over columns that are NOT NULL. As SQL:
--   columns    of the table of keys: k1 bigint, …; names: k1, …
--   old, new   the columns in the two rows of a trigger; hash_old, hash_new, hash_row   SHA-256 of the key as text
--   found      which row of the table has the key NEW of the table of keys, to the letter: 'A' and 'a' may be equal and are two keys
--   pairs      the names and values of a row, as text, for resync()
--   said       what a message may tell of it: whole numbers and uuids, or NULL
--   settings   what the text of a value depends on; is_plain: on none
CREATE FUNCTION slotbell.attach_key(target slotbell.attach_target) RETURNS jsonb
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    made jsonb;
    hash CONSTANT text := 'sha256(convert_to(format(%L, %s), ''UTF8''))';
    shape text;
BEGIN
    SELECT jsonb_build_object(
        'count', count(*), 'columns', string_agg(format('k%s %s%s', k.nth, format_type(a.atttypid, a.atttypmod),
            CASE WHEN a.attcollation <> t.typcollation THEN format(' COLLATE %I.%I', cn.nspname, c.collname) ELSE '' END), ', ' ORDER BY k.nth),
        'names', string_agg('k' || k.nth, ', ' ORDER BY k.nth),
        'old', string_agg(format('OLD.%I', a.attname), ', ' ORDER BY k.nth), 'new', string_agg(format('NEW.%I', a.attname), ', ' ORDER BY k.nth),
        'row', string_agg(format('%s.%I', target.alias, a.attname), ', ' ORDER BY k.nth),
        'found', string_agg(format('%s.%I OPERATOR(%I.%s) NEW.k%s', target.alias, a.attname, opn.nspname, op.oprname, k.nth), ' AND ' ORDER BY k.nth),
        'pairs', string_agg(format('''k%s'', format(''%%s'', %s.%I)', k.nth, target.alias, a.attname), ', ' ORDER BY k.nth),
        'said', coalesce('concat_ws('', '', ' || string_agg(format('%L || NEW.k%s', format('%I = ', a.attname), k.nth), ', ' ORDER BY k.nth)
            FILTER (WHERE t.oid = ANY ('{int2,int4,int8,uuid}'::regtype[])) || ')', 'NULL::text'),
        'is_plain', bool_and(t.oid = ANY ('{int2,int4,int8,uuid,text,varchar,bpchar}'::regtype[])),
        'settings', CASE WHEN bool_and(t.oid = ANY ('{int2,int4,int8,uuid,text,varchar,bpchar,date,timestamp,timestamptz}'::regtype[])) THEN ''
            ELSE ' SET extra_float_digits = 1 SET intervalstyle = postgres SET bytea_output = hex SET lc_monetary = ''C''' END)
    INTO made
    FROM (SELECT i.* FROM pg_index i
          WHERE i.indrelid = target.relation AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
              AND NOT EXISTS (SELECT FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, nth)
                  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum WHERE k.nth <= i.indnkeyatts AND NOT a.attnotnull)
          ORDER BY i.indisprimary DESC, i.indimmediate DESC, i.indnkeyatts, i.indexrelid LIMIT 1) i
    CROSS JOIN unnest(i.indkey::int2[], i.indclass::oid[]) WITH ORDINALITY AS k (attnum, opclass, nth)
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
    JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_collation c ON c.oid = a.attcollation
    LEFT JOIN pg_namespace cn ON cn.oid = c.collnamespace
    JOIN pg_opclass oc ON oc.oid = k.opclass
    JOIN pg_amop am ON am.amopfamily = oc.opcfamily AND am.amopstrategy = 3 AND am.amoplefttype = oc.opcintype AND am.amoprighttype = oc.opcintype
    JOIN pg_operator op ON op.oid = am.amopopr
    JOIN pg_namespace opn ON opn.oid = op.oprnamespace
    WHERE k.nth <= i.indnkeyatts;
    IF (made ->> 'count')::integer = 0 THEN
        PERFORM slotbell.refuse_attach('SB026', format('%s has no key', target.qualified),
            'What was published for a row is remembered by its key: a primary key, or a unique index over columns that are NOT NULL,'
            ' without a condition and without expressions.',
            format('ALTER TABLE %s ADD PRIMARY KEY (…); or ADD COLUMN … bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY.', target.qualified));
    END IF;
    shape := rtrim(repeat('%L,', (made ->> 'count')::integer), ',');
    RETURN made || jsonb_build_object('hash_old', format(hash, shape, made ->> 'old'), 'hash_new', format(hash, shape, made ->> 'new'),
        'hash_row', format(hash, shape, made ->> 'row'));
END
$$;

-- One parameter of attach() as SQL over a row: the column of exactly this name, or else an expression. It is looked at
-- here, so that what cannot work is said now and by name. NULL where it is not given.
CREATE OR REPLACE FUNCTION slotbell.attach_expression(target slotbell.attach_target, parameter text, given text, kind text, may_be_null boolean)
    RETURNS text
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET row_security = off
AS $$
DECLARE
    what text := format('%s => %L', parameter, given);
    sql text;
    problem text;
    found_type regtype;
    checked text;
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
    -- A column whose type is changed later is an error, unless it means the same: not read as something else.
    checked := CASE
        WHEN base = ANY ('{text,varchar,bpchar,name}'::regtype[]) THEN format('slotbell.same_text(%s)', sql)
        WHEN base = ANY ('{int2,int4,int8}'::regtype[]) THEN format('slotbell.same_whole(%s)', sql)
        ELSE format('slotbell.same_type(%s, NULL::%s)', sql, found_type)
    END;
    RETURN CASE
        WHEN kind = 'a boolean' THEN sql
        WHEN kind = 'a timestamptz' THEN checked || '::timestamptz'
        WHEN kind = 'a jsonb' THEN checked || '::jsonb'
        WHEN kind <> 'a number of minutes, or an interval' THEN checked || '::text'
        WHEN base = 'interval'::regtype THEN format('ceil(extract(epoch FROM %s) / 60)::integer', checked)
        ELSE format('ceil(%s)::integer', sql) -- of any number, and of nothing else
    END;
END
$$;

GRANT EXECUTE ON FUNCTION slotbell.attach_key(slotbell.attach_target) TO slotbell_publisher;

RESET ROLE;
