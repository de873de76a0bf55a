-- Attached tables: the owner's code runs in the owner's own session, or in triggers on the owner's tables, as the owner.
--
-- No look at the catalog makes a call of somebody else's function safe. What was looked at can be replaced before the call,
-- a deferred trigger runs at COMMIT with the session's rights, a cast runs where its value is assigned, and SET ROLE is
-- undone by a RESET ROLE inside. So attach() and resync(), which run expressions of the owner, refuse every other session.
-- detach() is DDL only and runs nothing of the owner's that would not run at COMMIT.
--
-- What attach() makes is the owner's, beside the table, and holds the owner's expressions:
--   slotbell_ring_<table>    immediate trigger on the table: notes the keys of the rows that are written;
--   slotbell_keys_<table>    the keys that are noted and not judged yet: empty but for transactions that run;
--   slotbell_judge_<table>   deferred trigger on that: reads each row once, and says what it is (4_judge.sql). On the user's
--                            table, a deferred trigger would stop ALTER TABLE and TRUNCATE in the same transaction;
--   slotbell_rows_<table>    lists the rows of mailboxes, for resync().

SET LOCAL ROLE slotbell_owner;

-- The role that this session belongs to, if nothing in it can have another's rights: it logged in as this role, which is
-- no superuser, and SET ROLE, SET SESSION AUTHORIZATION or a SECURITY DEFINER function changed nothing since. Else NULL.
-- usesysid stays what it was at the login.
CREATE FUNCTION slotbell.own_session() RETURNS name
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT r.rolname FROM pg_stat_get_activity(pg_backend_pid()) a JOIN pg_roles r ON r.oid = a.usesysid
            WHERE r.rolname = session_user AND r.rolname = current_user AND NOT r.rolsuper);
END
$$;

-- ---- what is attached ----

-- So that no other role can make a cast of this type.
REVOKE USAGE ON TYPE slotbell.attach_target FROM PUBLIC;

-- Only what a publisher owns counts, and nothing temporary: anybody who may connect can give a table a trigger of this name.
CREATE OR REPLACE VIEW slotbell.attachment AS
    SELECT t.tgrelid AS oid, format('%I.%I', n.nspname, c.relname) AS relation, pg_get_userbyid(listing.proowner) AS runs_as,
        ringing.oid::regprocedure AS ring_function, listing.oid::regprocedure AS rows_function,
        obj_description(t.oid, 'pg_trigger') AS mapping, pg_get_userbyid(c.relowner) AS owner,
        -- NULL: attached by release 0.1.0, and rings as it did.
        CASE WHEN t.tgnargs = 1 AND encode(t.tgargs, 'escape') ~ '^[0-9a-f-]{36}.000$' THEN left(encode(t.tgargs, 'escape'), 36) END AS id
    FROM pg_trigger t
    JOIN pg_class c ON c.oid = t.tgrelid AND c.relpersistence <> 't'
    JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_proc ringing ON ringing.oid = t.tgfoid AND ringing.proname ~ '^slotbell_ring_.'
    JOIN pg_namespace home ON home.oid = ringing.pronamespace AND home.nspname !~ '^pg_'
    JOIN pg_proc listing ON listing.pronamespace = home.oid AND listing.proname = 'slotbell_rows_' || substr(ringing.proname, 15)
        AND listing.pronargs = 1 AND listing.proargtypes[0] = 'text[]'::regtype AND listing.proowner = ringing.proowner
    WHERE t.tgname = 'slotbell_ring' AND t.tgparentid = 0
        AND has_function_privilege(listing.proowner, 'slotbell.ring(text,text,jsonb,jsonb)'::regprocedure, 'EXECUTE');

-- Can this table be attached, may its owner do all that it takes, and is this session the owner's?
CREATE OR REPLACE FUNCTION slotbell.check_attach(relation regclass, class pg_class, schema_name text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    owner text := pg_get_userbyid(class.relowner);
    role record;
    other record;
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
    END IF;
    SELECT r.rolsuper, r.rolcanlogin, r.rolbypassrls INTO role FROM pg_roles r WHERE r.oid = class.relowner;
    IF role.rolsuper OR NOT role.rolcanlogin THEN
        PERFORM slotbell.refuse_attach('SB021', format('%s belongs to %I, which %s', relation, owner,
                CASE WHEN role.rolsuper THEN 'is a superuser' ELSE 'cannot log in' END),
            'What is attached runs with the rights of the table''s owner, and only a session of the owner may attach and resync it.',
            format('ALTER TABLE %s OWNER TO …: a role that can log in and is no superuser.', relation));
    ELSIF NOT has_function_privilege(class.relowner, 'slotbell.ring(text,text,jsonb,jsonb)', 'EXECUTE') THEN
        PERFORM slotbell.refuse_attach('SB021', format('%I, who owns %s, may not publish', owner, relation),
            'What is attached rings with the rights of the table''s owner.', format('GRANT slotbell_publisher TO %I;', owner));
    ELSIF NOT has_schema_privilege(class.relowner, class.relnamespace, 'CREATE') THEN
        PERFORM slotbell.refuse_attach('SB021', format('%I, who owns %s, may not create functions beside it', owner, relation),
            'The mapping becomes functions and a table in the schema of the table.', format('GRANT CREATE ON SCHEMA %I TO %I;', schema_name, owner));
    ELSIF class.relforcerowsecurity AND NOT role.rolbypassrls THEN
        PERFORM slotbell.refuse_attach('SB021', format('policies hide rows of %s from %I, who owns it', relation, owner),
            'What is attached rings with the rights of the table''s owner.', format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY;', relation));
    ELSIF slotbell.own_session() IS DISTINCT FROM owner THEN
        PERFORM slotbell.refuse_attach('SB021', format('%s belongs to %I', relation, owner),
            format('You are %I, and this session is that of %I.', current_user, session_user),
            format('Log in as %I: neither SET ROLE nor SET SESSION AUTHORIZATION keeps the owner''s code from your rights.', owner));
    END IF;
    -- A query over the whole evaluates the constraints and index expressions of the parts, which are their owners' code.
    SELECT c.oid::regclass AS part, pg_get_userbyid(c.relowner) AS owner INTO other
    FROM pg_partition_tree(relation) p JOIN pg_class c ON c.oid = p.relid JOIN pg_roles r ON r.oid = c.relowner
    WHERE c.relowner <> class.relowner AND NOT r.rolsuper ORDER BY 1 LIMIT 1;
    IF FOUND THEN
        PERFORM slotbell.refuse_attach('SB021', format('%s, a partition of %s, belongs to %I', other.part, relation, other.owner),
            'Its owner''s code would run with the rights of the whole''s.', format('ALTER TABLE %s OWNER TO %I;', other.part, owner));
    END IF;
END
$$;

RESET ROLE;
