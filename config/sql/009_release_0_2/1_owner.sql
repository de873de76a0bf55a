-- slotbell_owner keeps no right on the database: where db init was run without a superuser, the first step granted CREATE,
-- which nothing needs once the schema is there.

DO $owner$
DECLARE
    may_create CONSTANT text := 'SELECT EXISTS (SELECT FROM pg_database d CROSS JOIN LATERAL aclexplode(d.datacl) a'
        ' WHERE d.datname = current_database() AND a.grantee = ''slotbell_owner''::regrole AND a.privilege_type = ''CREATE'')';
    revoke CONSTANT text := format('REVOKE CREATE ON DATABASE %I FROM slotbell_owner', current_database());
    may boolean;
BEGIN
    EXECUTE may_create INTO may;
    IF may THEN
        EXECUTE revoke;
        EXECUTE may_create INTO may;
    END IF;
    IF may THEN
        RAISE WARNING 'slotbell_owner may still create schemas in this database, which it does not need'
            USING HINT = 'As the role that granted it: ' || revoke || ';';
    END IF;
END
$owner$;
