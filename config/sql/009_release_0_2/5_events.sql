-- The events of a mailbox after a seq, for `slotbellctl tail`, with their versions: head and epoch always, seq NULL where there is no
-- event. 0.1.0's slotbellctl calls it too, and names its columns.

SET LOCAL ROLE slotbell_owner;

DROP FUNCTION slotbell.events(text, bigint, integer);
CREATE FUNCTION slotbell.events(mailbox text, after bigint, max_events integer)
    RETURNS TABLE (seq bigint, version bigint, change text, published_at timestamptz, uid text, starts_at timestamptz, time_zone text,
        duration_minutes integer, subject text, attendees jsonb, details jsonb, head bigint, epoch text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp
AS $$
    SELECT e.seq, coalesce(e.version, e.seq), e.change, e.published_at, e.uid, e.starts_at, e.time_zone, e.duration_minutes, e.subject,
        e.attendees, e.details, m.head, m.epoch
    FROM slotbell.mailbox m LEFT JOIN LATERAL (
        SELECT * FROM slotbell.event e WHERE e.mailbox_id = m.id AND e.seq > after ORDER BY e.seq LIMIT max_events
    ) e ON true
    WHERE m.address = lower(mailbox) ORDER BY e.seq
$$;
REVOKE EXECUTE ON FUNCTION slotbell.events(text, bigint, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION slotbell.events(text, bigint, integer) TO slotbell_admin;

RESET ROLE;
