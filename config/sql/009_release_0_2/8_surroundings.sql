-- What surrounds the schema: publications of the whole database, sessions whose triggers are off, and events that such a session left.

SET LOCAL ROLE slotbell_owner;

-- Somebody may publish all tables of the database. Then UPDATE and DELETE need something to know a row by: the primary key, or,
-- where there is none, the whole row, which costs no index. Unlogged tables are never published.
DO $identity$
DECLARE
    one regclass;
BEGIN
    FOR one IN
        SELECT c.oid FROM pg_class c
        WHERE c.relnamespace = 'slotbell'::regnamespace AND c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND c.relreplident <> 'f'
            AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary AND i.indimmediate AND c.relreplident = 'd')
        ORDER BY c.oid
    LOOP
        EXECUTE format('ALTER TABLE %s REPLICA IDENTITY FULL', one);
    END LOOP;
END
$identity$;

-- A session with session_replication_role = replica publishes bookings like any other: the triggers that number them fire always.
-- A subscription's worker has that setting as well. There they find nothing to do: the rows come with their numbers, and unlogged
-- tables do not come. The triggers on mailbox and device stay as they are, for a subscriber gets the rows that they write; where
-- such a session enrols or opens an epoch, the functions do it.
ALTER TABLE slotbell.event ENABLE ALWAYS TRIGGER number_events;
DO $always$
DECLARE
    one record;
BEGIN
    FOR one IN
        SELECT c.oid::regclass AS relation, t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
        WHERE c.relnamespace = 'slotbell'::regnamespace AND c.relpersistence = 'u' AND NOT t.tgisinternal ORDER BY c.oid, t.tgname
    LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', one.relation, one.tgname);
    END LOOP;
END
$always$;

-- Events that were committed without a number, by such a session of before. Those that are what their booking is by now get one,
-- and are delivered; what was published for the booking since then says more than the rest. Returns how many were numbered.
CREATE FUNCTION slotbell.number_left_over() RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp
AS $$
DECLARE
    numbered bigint;
BEGIN
    DELETE FROM slotbell.event e WHERE e.seq IS NULL AND e.xact <> pg_current_xact_id() AND NOT EXISTS (
        SELECT FROM slotbell.booking_state s WHERE s.mailbox_id = e.mailbox_id AND s.uid = e.uid AND s.cancelled = (e.change = 'cancelled')
            AND s.state_hash = sha256(convert_to(ROW(extract(epoch FROM e.starts_at), e.duration_minutes, e.time_zone, e.subject, e.attendees,
                e.details)::text, 'UTF8'))
            AND NOT EXISTS (SELECT FROM slotbell.event later WHERE later.mailbox_id = e.mailbox_id AND later.uid = e.uid AND later.id > e.id));
    UPDATE slotbell.event e SET xact = pg_current_xact_id() WHERE e.seq IS NULL AND e.xact <> pg_current_xact_id();
    GET DIAGNOSTICS numbered = ROW_COUNT;
    IF numbered > 0 THEN
        PERFORM slotbell.number_all();
    END IF;
    RETURN numbered;
END
$$;

DO $left$
DECLARE
    numbered bigint := slotbell.number_left_over();
BEGIN
    IF numbered > 0 THEN
        RAISE WARNING USING MESSAGE = format('%s bookings had been published without a number, and are delivered now', numbered),
            DETAIL = 'Their sessions had session_replication_role = replica, in which triggers do not fire.';
    END IF;
END
$left$;

RESET ROLE;
