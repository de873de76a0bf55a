-- The schema `slotbell`: roles and tables.
--
-- Applied by `slotbellctl db init`, in one transaction, as a superuser or as a
-- role with CREATEROLE and CREATE on the database. Everything belongs to
-- slotbell_owner, who cannot log in; the three others are groups that an
-- operator's own login roles are granted.

DO $roles$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['slotbell_owner', 'slotbell_daemon', 'slotbell_publisher', 'slotbell_admin'] LOOP
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
                EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
            END IF;
        EXCEPTION
            -- Another database of this cluster was initialised at the same time: roles are the cluster's.
            WHEN duplicate_object OR unique_violation THEN NULL;
        END;
    END LOOP;
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        EXECUTE format('GRANT slotbell_owner TO %I', current_user);
        EXECUTE format('GRANT CREATE ON DATABASE %I TO slotbell_owner', current_database());
    END IF;
END
$roles$;

ALTER SCHEMA slotbell OWNER TO slotbell_owner;
ALTER TABLE slotbell.migration OWNER TO slotbell_owner;

SET LOCAL ROLE slotbell_owner;

-- What is made from here on is nobody's to call or read until it is granted.
ALTER DEFAULT PRIVILEGES FOR ROLE slotbell_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
REVOKE ALL ON SCHEMA slotbell FROM PUBLIC;
GRANT USAGE ON SCHEMA slotbell TO slotbell_daemon, slotbell_publisher, slotbell_admin;

-- IANA names that a booking may have. A table, for pg_timezone_names reads some hundred files at every look.
CREATE TABLE slotbell.time_zone (
    name text PRIMARY KEY
);
INSERT INTO slotbell.time_zone SELECT name FROM pg_timezone_names WHERE name !~ '^(posix|right)/' AND name <> 'posixrules';

-- A mailbox: the Outlook calendar that bookings go into, and its numbering.
CREATE TABLE slotbell.mailbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    address text NOT NULL UNIQUE,            -- lower case
    head bigint NOT NULL DEFAULT 0,          -- the newest seq
    floor bigint NOT NULL DEFAULT 0,         -- events up to here may have been deleted unseen
    base bigint NOT NULL DEFAULT 0,          -- where the previous epoch ended
    epoch text NOT NULL,
    previous_epoch text,
    system_id bigint NOT NULL,               -- the cluster and timeline that numbered last
    timeline integer NOT NULL,
    device_count integer NOT NULL DEFAULT 0, -- devices neither revoked nor stale; 0: bookings are not kept
    CHECK (address = lower(address) AND head >= base AND base >= 0 AND device_count >= 0)
) WITH (fillfactor = 70);

-- A device: one installed plug-in, with one token, for one mailbox.
CREATE TABLE slotbell.device (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    mailbox_id bigint NOT NULL REFERENCES slotbell.mailbox,
    label text NOT NULL DEFAULT '',
    salt bytea NOT NULL CHECK (octet_length(salt) = 16),
    hash bytea NOT NULL CHECK (octet_length(hash) = 32), -- SHA-256(salt || SHA-256(the token's secret))
    session_no bigint NOT NULL DEFAULT 0,                -- raised by each session that takes over
    acked bigint NOT NULL,                               -- the last seq that it has dealt with
    floor bigint NOT NULL DEFAULT 0,                     -- as the mailbox's, for this device alone: while it was stale
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    revoked_at timestamptz,
    last_seen_at timestamptz,                            -- to within an hour, in a session within a day
    stale_at timestamptz                                 -- not seen for so long that nothing is kept for it since then
) WITH (fillfactor = 70);
CREATE INDEX device_mailbox ON slotbell.device (mailbox_id);

-- An event: one change of a booking. Without seq until its transaction commits.
CREATE TABLE slotbell.event (
    id bigint GENERATED ALWAYS AS IDENTITY,
    mailbox_id bigint NOT NULL,
    seq bigint,
    change text NOT NULL CHECK (change IN ('created', 'updated', 'cancelled')),
    published_at timestamptz,                      -- when its commit began
    xact xid8 NOT NULL DEFAULT pg_current_xact_id(), -- whose it is, until it is numbered
    uid text NOT NULL,
    starts_at timestamptz,
    starts_local timestamp,                        -- frozen at publish
    time_zone text,
    duration_minutes integer,
    subject text,
    attendees jsonb,
    details jsonb,
    octets integer NOT NULL
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX event_seq ON slotbell.event (mailbox_id, seq) WHERE seq IS NOT NULL;
-- By transaction, so that a commit touches its own events only, however many dead entries others left; and in it by
-- booking, so that one event of many is found at once.
CREATE INDEX event_unnumbered ON slotbell.event (xact, uid, id) WHERE seq IS NULL;

-- What dedupe needs of a booking; it outlives the event and holds no personal data.
CREATE TABLE slotbell.booking_state (
    mailbox_id bigint NOT NULL,
    uid text NOT NULL,
    version bigint,              -- the seq of its newest event
    state_hash bytea NOT NULL,
    cancelled boolean NOT NULL,
    ends_at timestamptz NOT NULL, -- or when it was published last, if that is later
    PRIMARY KEY (mailbox_id, uid)
) WITH (fillfactor = 70);

-- The version that this database has; a daemon or slotbellctl compares it with its own.
CREATE FUNCTION slotbell.schema_version() RETURNS integer
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, slotbell, pg_temp
    AS 'SELECT max(version) FROM slotbell.migration';
GRANT EXECUTE ON FUNCTION slotbell.schema_version() TO slotbell_daemon, slotbell_publisher, slotbell_admin;

RESET ROLE;
