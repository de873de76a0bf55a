-- Row types: nobody needs them. A column of another's table that has the type of one of ours would stop an ALTER TABLE here.

SET LOCAL ROLE slotbell_owner;

DO $types$
DECLARE
    one regtype;
BEGIN
    FOR one IN
        SELECT t.oid FROM pg_type t WHERE t.typnamespace = 'slotbell'::regnamespace AND t.typtype = 'c' AND t.typowner = 'slotbell_owner'::regrole
    LOOP
        EXECUTE format('REVOKE USAGE ON TYPE %s FROM PUBLIC', one);
    END LOOP;
END
$types$;

RESET ROLE;
