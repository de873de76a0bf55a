-- Time zones: which names a booking may have, and what its clock says there.

SET LOCAL ROLE slotbell_owner;

-- The names that PostgreSQL knows and clients do: `localtime` and `posixrules` are files of this machine, posix/ and right/ are
-- copies, and the rest is no place, or is long gone from the IANA's list.
CREATE FUNCTION slotbell.zone_names() RETURNS SETOF text
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp
AS $$
    SELECT n.name FROM pg_timezone_names n
    WHERE n.name ~ '^[A-Z]' COLLATE "C" AND n.name !~ '^SystemV/' AND n.name NOT IN ('Factory', 'US/Pacific-New')
$$;

-- How many names PostgreSQL has learnt and lost since slotbell.time_zone was renewed.
CREATE FUNCTION slotbell.zone_news() RETURNS TABLE (learnt bigint, lost bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp
AS $$
    SELECT count(*) FILTER (WHERE z.name IS NULL), count(*) FILTER (WHERE n.name IS NULL)
    FROM slotbell.zone_names() n(name) FULL JOIN slotbell.time_zone z ON z.name = n.name
$$;

-- Makes slotbell.time_zone what PostgreSQL knows: `slotbellctl db upgrade` does at each run, for tzdata is renewed more often than
-- the schema. An event that waits keeps its name.
CREATE FUNCTION slotbell.renew_zones() RETURNS TABLE (learnt bigint, lost bigint)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp
AS $$
DECLARE
    names text[] := ARRAY(SELECT n FROM slotbell.zone_names() n);
BEGIN
    -- Without its files it knows none. They come back.
    IF cardinality(names) > 0 THEN
        INSERT INTO slotbell.time_zone (name) SELECT n FROM unnest(names) n ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS learnt = ROW_COUNT;
        DELETE FROM slotbell.time_zone z WHERE z.name <> ALL (names);
        GET DIAGNOSTICS lost = ROW_COUNT;
        RETURN NEXT;
    END IF;
END
$$;

-- By a setting, which takes the name of a zone and no abbreviation.
CREATE FUNCTION slotbell.local_time_by_name(starts_at timestamptz, time_zone text) RETURNS timestamp
    LANGUAGE plpgsql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp SET timezone = 'UTC'
AS $$
BEGIN
    PERFORM set_config('timezone', time_zone, true);
    RETURN starts_at::timestamp;
END
$$;

-- What a clock in this zone shows then. CET, EET, MET and others are names of zones with summer time, and to AT TIME ZONE
-- abbreviations without. No name with a slash is one. No SECURITY DEFINER and no SET: so it is inlined.
CREATE FUNCTION slotbell.local_time(starts_at timestamptz, time_zone text) RETURNS timestamp
    LANGUAGE sql STABLE
AS $$
    SELECT CASE WHEN pg_catalog.strpos(time_zone, '/') OPERATOR(pg_catalog.>) 0 THEN starts_at AT TIME ZONE time_zone
        WHEN time_zone OPERATOR(pg_catalog.=) 'UTC' THEN starts_at AT TIME ZONE INTERVAL '0'
        ELSE slotbell.local_time_by_name(starts_at, time_zone) END
$$;

GRANT EXECUTE ON FUNCTION slotbell.zone_news(), slotbell.local_time(timestamptz, text), slotbell.local_time_by_name(timestamptz, text) TO slotbell_admin;

DO $renew$ BEGIN PERFORM slotbell.renew_zones(); END $renew$;

RESET ROLE;
