-- The whole first schema. Runs as gito_admin (owner of the database: CREATEROLE, BYPASSRLS).
--
-- Roles: gito_admin owns everything and serves no request; gito_app serves requests, under
-- row-level security, tenant by tenant; gito_ingest is what a node does for itself, across tenants
-- (ingest, look-ups before a tenant is known, membership): gito_app may SET ROLE to it, and does not
-- inherit it.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'gito_ingest') THEN
        CREATE ROLE gito_ingest NOLOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'gito_app') THEN
        CREATE ROLE gito_app LOGIN;
    END IF;
END $$;
ALTER ROLE gito_app NOINHERIT NOCREATEDB NOCREATEROLE;
GRANT gito_ingest TO gito_app;

CREATE TABLE tenants (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended')),
    regions text[] NOT NULL DEFAULT '{}', -- home region first, then where to fail over
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE users (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    email text NOT NULL CHECK (length(email) BETWEEN 3 AND 254),
    full_name text NOT NULL DEFAULT '',
    password_hash text NOT NULL, -- argon2id, encoded form
    role text NOT NULL DEFAULT 'CLIENT'
        CHECK (role IN ('SUPER_ADMIN', 'TENANT_ADMIN', 'SITE_ADMIN', 'CLIENT', 'VIEWER')),
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'disabled')),
    last_login_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX users_email ON users (lower(email)); -- a login names no tenant
CREATE INDEX users_tenant ON users (tenant_id);

-- One row a refresh token; a family is one login. A token used twice revokes its family.
CREATE TABLE refresh_tokens (
    token_hash bytea PRIMARY KEY, -- SHA-256 of the token
    family uuid NOT NULL,
    tenant_id uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    revoked_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX refresh_tokens_family ON refresh_tokens (family);
CREATE INDEX refresh_tokens_user ON refresh_tokens (user_id);

-- status, last_seen, latest: written by the device's actor, at once when the status changes, else
-- coalesced; no index may hold them but the small one of devices that are not offline, so that
-- the updates stay on their page.
CREATE TABLE devices (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    device_type text NOT NULL DEFAULT 'sensor' CHECK (length(device_type) BETWEEN 1 AND 100),
    status text NOT NULL DEFAULT 'offline'
        CHECK (status IN ('online', 'offline', 'idle', 'error', 'provisioning')),
    last_seen timestamptz,
    attributes jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(attributes) = 'object'),
    latest jsonb,          -- payload of the newest reading, some seconds behind
    latest_at timestamptz, -- its timestamp
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);
CREATE INDEX devices_tenant ON devices (tenant_id, created_at, id);
CREATE INDEX devices_awake ON devices (id) WHERE status IN ('online', 'idle');

CREATE TABLE device_credentials (
    device_id uuid PRIMARY KEY REFERENCES devices ON DELETE CASCADE,
    tenant_id uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    secret_hash bytea NOT NULL, -- SHA-256: the secret itself has 256 random bits
    created_at timestamptz NOT NULL DEFAULT now(),
    rotated_at timestamptz
);

-- Filters are relative to the tenant: '#' is all of it, 'devices/+/telemetry' its telemetry.
CREATE TABLE service_accounts (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    username text NOT NULL UNIQUE CHECK (length(username) BETWEEN 1 AND 200 AND username !~ ':'),
    password_hash text NOT NULL, -- argon2id, encoded form
    publish_filters text[] NOT NULL DEFAULT '{#}',
    subscribe_filters text[] NOT NULL DEFAULT '{#}',
    mount_point boolean NOT NULL DEFAULT false,
    active boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX service_accounts_tenant ON service_accounts (tenant_id);

-- seq: given by the actor. Upper 32 bits are a hash of client id, packet id and payload (a
-- redelivery has the same), lower 32 bits count. With (device_id, timestamp) it is the key
-- that makes the retry of a batch idempotent.
CREATE TABLE telemetry (
    tenant_id uuid NOT NULL,
    device_id uuid NOT NULL,
    timestamp timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    seq bigint NOT NULL,
    temperature float8,
    humidity float8,
    pressure float8,
    battery float8,
    rssi float8,
    extra jsonb, -- what the columns do not hold: other metrics, nulls, the timestamp as sent
    PRIMARY KEY (device_id, timestamp, seq)
) PARTITION BY RANGE (timestamp);

-- The readings as reports know them.
CREATE VIEW telemetry_hot WITH (security_invoker = true) AS
SELECT tenant_id, device_id, temperature, humidity, pressure, battery, rssi,
       jsonb_strip_nulls(jsonb_build_object('temperature', temperature, 'humidity', humidity,
           'pressure', pressure, 'battery', battery, 'rssi', rssi))
           || COALESCE(extra, '{}'::jsonb) AS payload,
       timestamp, created_at
FROM telemetry;

-- One row an hour and device. Every hour before that of a device's newest reading is complete: the
-- transaction that stores the first reading of a newer hour, or a late reading, writes it.
CREATE TABLE telemetry_hourly (
    tenant_id uuid NOT NULL,
    device_id uuid NOT NULL,
    hour timestamptz NOT NULL,
    sample_count bigint NOT NULL,
    temperature_count bigint NOT NULL, temperature_min float8, temperature_max float8,
    temperature_sum float8, temperature_last float8,
    humidity_count bigint NOT NULL, humidity_min float8, humidity_max float8,
    humidity_sum float8, humidity_last float8,
    pressure_count bigint NOT NULL, pressure_min float8, pressure_max float8,
    pressure_sum float8, pressure_last float8,
    battery_count bigint NOT NULL, battery_min float8, battery_max float8,
    battery_sum float8, battery_last float8,
    rssi_count bigint NOT NULL, rssi_min float8, rssi_max float8,
    rssi_sum float8, rssi_last float8,
    PRIMARY KEY (device_id, hour)
);

CREATE TABLE telemetry_rejected (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), -- given by the writer: a retry finds its own
    tenant_id uuid NOT NULL,
    device_id uuid,
    topic text NOT NULL,
    reason text NOT NULL,
    payload text NOT NULL, -- its first KiB; bytes that are not UTF-8 are escaped
    received_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX telemetry_rejected_tenant ON telemetry_rejected (tenant_id, received_at);

CREATE TABLE alert_rules (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    device_id uuid NOT NULL REFERENCES devices ON DELETE CASCADE,
    metric text NOT NULL CHECK (metric ~ '^[A-Za-z0-9_]{1,64}$'),
    operator text NOT NULL CHECK (operator IN ('>', '>=', '<', '<=', '==', '!=')),
    threshold float8 NOT NULL CHECK (threshold BETWEEN -1e10 AND 1e10),
    cooldown_minutes integer NOT NULL DEFAULT 5 CHECK (cooldown_minutes BETWEEN 1 AND 1440),
    active boolean NOT NULL DEFAULT true,
    last_fired_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 80);
CREATE INDEX alert_rules_device ON alert_rules (device_id);
CREATE INDEX alert_rules_tenant ON alert_rules (tenant_id, created_at, id);

CREATE TABLE alert_events (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), -- given by the actor: a retry finds its own
    tenant_id uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    alert_rule_id uuid NOT NULL REFERENCES alert_rules ON DELETE CASCADE,
    device_id uuid NOT NULL REFERENCES devices ON DELETE CASCADE,
    metric_name text NOT NULL,
    metric_value float8,
    message text,
    notification_sent boolean NOT NULL DEFAULT false,
    notification_sent_at timestamptz,
    fired_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX alert_events_tenant ON alert_events (tenant_id, fired_at DESC, id);
CREATE INDEX alert_events_device ON alert_events (device_id, fired_at DESC);
CREATE INDEX alert_events_rule ON alert_events (alert_rule_id, fired_at DESC);

-- What is to leave the platform, written by the transaction that caused it.
CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    kind text NOT NULL CHECK (kind IN ('email')),
    alert_event_id uuid NOT NULL REFERENCES alert_events ON DELETE CASCADE,
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    claimed_by text,           -- node/incarnation that is sending it
    claimed_until timestamptz, -- after this another may
    last_error text,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (kind, alert_event_id)
);
CREATE INDEX outbox_due ON outbox (next_attempt_at);

CREATE TABLE audit_logs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    user_id uuid,
    action text NOT NULL,        -- e.g. device.create
    resource_type text NOT NULL,
    resource_id text,
    details jsonb NOT NULL DEFAULT '{}',
    ip_address text,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX audit_logs_tenant ON audit_logs (tenant_id, created_at DESC, id);

-- The cluster.
CREATE TABLE cluster_version (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    version bigint NOT NULL
);
INSERT INTO cluster_version (version) VALUES (1);

CREATE TABLE cluster_nodes (
    node_id text PRIMARY KEY CHECK (node_id ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    incarnation bigint NOT NULL,
    region text NOT NULL,
    state text NOT NULL CHECK (state IN ('joining', 'active', 'draining', 'dead', 'left')),
    lease_until timestamptz NOT NULL,
    endpoints jsonb NOT NULL DEFAULT '{}',
    version text NOT NULL,
    started_at timestamptz NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE cluster_slots (
    region text NOT NULL,
    slot integer NOT NULL CHECK (slot BETWEEN 0 AND 4095),
    owner text,
    epoch bigint NOT NULL DEFAULT 0,
    state text NOT NULL DEFAULT 'free' CHECK (state IN ('free', 'owned', 'moving')),
    target text,
    PRIMARY KEY (region, slot)
) WITH (fillfactor = 50);

-- Every writing transaction of a node calls this first: it holds the node's row against whoever
-- would declare the node dead, and refuses when somebody has.
CREATE FUNCTION fence(node text, node_incarnation bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM cluster_nodes
        WHERE node_id = node AND incarnation = node_incarnation AND state IN ('active', 'draining')
        FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'incarnation % of node % is fenced off', node_incarnation, node
            USING ERRCODE = 'GT001';
    END IF;
END $$;

-- What actors must read anew. A reader keeps the xmin of its last snapshot and reads from there:
-- ids alone would miss a transaction that commits late.
CREATE TABLE changes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    tenant_id uuid NOT NULL,
    device_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX changes_xid ON changes (xid);

CREATE FUNCTION changes_add_new() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = public AS $$
BEGIN
    INSERT INTO changes (tenant_id, device_id) SELECT DISTINCT tenant_id, device_id FROM new_rows;
    IF FOUND THEN
        PERFORM pg_notify('gito_changes', '');
    END IF;
    RETURN NULL;
END $$;
CREATE FUNCTION changes_add_old() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = public AS $$
BEGIN
    INSERT INTO changes (tenant_id, device_id) SELECT DISTINCT tenant_id, device_id FROM old_rows;
    IF FOUND THEN
        PERFORM pg_notify('gito_changes', '');
    END IF;
    RETURN NULL;
END $$;
-- An update of last_fired_at by a node's own alert is not a change to tell, nor is a touch of a
-- device's status: those nodes run as gito_ingest. (A statement trigger with transition tables
-- cannot name columns.)
CREATE FUNCTION changes_add_both() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = public AS $$
BEGIN
    INSERT INTO changes (tenant_id, device_id)
        SELECT tenant_id, device_id FROM new_rows UNION SELECT tenant_id, device_id FROM old_rows;
    IF FOUND THEN
        PERFORM pg_notify('gito_changes', '');
    END IF;
    RETURN NULL;
END $$;
CREATE FUNCTION changes_add_device() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = public AS $$
BEGIN
    INSERT INTO changes (tenant_id, device_id) SELECT tenant_id, id FROM old_rows;
    IF FOUND THEN
        PERFORM pg_notify('gito_changes', '');
    END IF;
    RETURN NULL;
END $$;
CREATE FUNCTION node_is_writing() RETURNS boolean LANGUAGE sql STABLE AS
    $$ SELECT current_user = 'gito_ingest' $$;

CREATE TRIGGER changes_insert AFTER INSERT ON alert_rules
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION changes_add_new();
CREATE TRIGGER changes_delete AFTER DELETE ON alert_rules
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION changes_add_old();
CREATE TRIGGER changes_update AFTER UPDATE ON alert_rules
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT
    WHEN (NOT node_is_writing()) EXECUTE FUNCTION changes_add_both();
CREATE TRIGGER changes_delete AFTER DELETE ON devices
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION changes_add_device();
CREATE TRIGGER changes_delete AFTER DELETE ON device_credentials
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION changes_add_old();
CREATE TRIGGER changes_update AFTER UPDATE ON device_credentials
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT
    EXECUTE FUNCTION changes_add_both();

-- Row-level security on every table that holds a tenant's rows. FORCE binds the owner too.
DO $$
DECLARE
    t text;
    mine text;
BEGIN
    FOREACH t IN ARRAY ARRAY['tenants', 'users', 'refresh_tokens', 'devices', 'device_credentials',
        'service_accounts', 'telemetry', 'telemetry_hourly', 'telemetry_rejected', 'alert_rules',
        'alert_events', 'outbox', 'audit_logs', 'changes'] LOOP
        mine := format('%s = (SELECT NULLIF(current_setting(''app.tenant_id'', true), '''')::uuid)',
                       CASE t WHEN 'tenants' THEN 'id' ELSE 'tenant_id' END);
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY tenant_sees_its_own ON %I TO gito_app USING (%s) WITH CHECK (%s)',
                       t, mine, mine);
        EXECUTE format('CREATE POLICY node_sees_all ON %I TO gito_ingest USING (true) WITH CHECK (true)', t);
    END LOOP;
END $$;

-- Partitions: made ahead, one a UTC day. No grants on them, and forced row-level security without
-- a policy: a partition queried directly would otherwise skip its parent's policy. ATTACH waits for
-- no reader; CREATE … PARTITION OF would, with all writers behind it.
CREATE FUNCTION partitions_ensure(first_day date, last_day date) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public SET timezone = 'UTC' AS $$
DECLARE
    day date;
    partition text;
    made integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('gito partitions'));
    FOR day IN SELECT generate_series(first_day, last_day, '1 day')::date LOOP
        partition := 'telemetry_' || to_char(day, 'YYYYMMDD');
        CONTINUE WHEN to_regclass(partition) IS NOT NULL;
        EXECUTE format('CREATE TABLE %I (LIKE telemetry INCLUDING ALL)', partition);
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', partition);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', partition);
        EXECUTE format('ALTER TABLE telemetry ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                       partition, day::timestamptz, (day + 1)::timestamptz);
        made := made + 1;
    END LOOP;
    RETURN made;
END $$;

-- Drops the oldest partition that ends on or before `first_kept`; its name, or NULL: there is none.
-- A node is not the owner, so that this runs in a function, where DETACH … CONCURRENTLY cannot:
-- it takes the whole table for a moment, waits for that at most half a second with the writers
-- behind it, and is called again later when it fails.
CREATE FUNCTION partitions_drop_oldest(first_kept date) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public SET lock_timeout = '500ms' AS $$
DECLARE
    partition text;
BEGIN
    IF first_kept > (now() AT TIME ZONE 'UTC')::date THEN
        RAISE EXCEPTION 'today''s readings are not to be dropped';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('gito partitions'));
    SELECT relname INTO partition FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
        WHERE inhparent = 'telemetry'::regclass AND relname ~ '^telemetry_[0-9]{8}$'
            AND to_date(right(relname, 8), 'YYYYMMDD') < first_kept
        ORDER BY relname LIMIT 1;
    IF FOUND THEN
        EXECUTE format('DROP TABLE %I', partition);
    END IF;
    RETURN partition;
END $$;
SELECT partitions_ensure((now() - interval '33 days')::date, (now() + interval '7 days')::date);

-- The rows of telemetry_hourly for the hours of [first, last) of one device, or of all (NULL),
-- from the readings themselves. Planned anew each time: a plan for any `device` could not use the
-- index for one.
CREATE FUNCTION rollup_rebuild(first_hour timestamptz, last_hour timestamptz, device uuid DEFAULT NULL)
    RETURNS bigint LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    n bigint;
BEGIN
    INSERT INTO telemetry_hourly
    SELECT (array_agg(t.tenant_id))[1], t.device_id, date_trunc('hour', t.timestamp, 'UTC'), count(*),
        count(temperature), min(temperature), max(temperature), sum(temperature),
        (array_agg(temperature ORDER BY timestamp DESC, seq DESC) FILTER (WHERE temperature IS NOT NULL))[1],
        count(humidity), min(humidity), max(humidity), sum(humidity),
        (array_agg(humidity ORDER BY timestamp DESC, seq DESC) FILTER (WHERE humidity IS NOT NULL))[1],
        count(pressure), min(pressure), max(pressure), sum(pressure),
        (array_agg(pressure ORDER BY timestamp DESC, seq DESC) FILTER (WHERE pressure IS NOT NULL))[1],
        count(battery), min(battery), max(battery), sum(battery),
        (array_agg(battery ORDER BY timestamp DESC, seq DESC) FILTER (WHERE battery IS NOT NULL))[1],
        count(rssi), min(rssi), max(rssi), sum(rssi),
        (array_agg(rssi ORDER BY timestamp DESC, seq DESC) FILTER (WHERE rssi IS NOT NULL))[1]
    FROM telemetry t
    WHERE t.timestamp >= date_trunc('hour', first_hour, 'UTC') AND t.timestamp < last_hour
        AND (device IS NULL OR t.device_id = device)
    GROUP BY t.device_id, date_trunc('hour', t.timestamp, 'UTC')
    ON CONFLICT (device_id, hour) DO UPDATE SET (sample_count,
        temperature_count, temperature_min, temperature_max, temperature_sum, temperature_last,
        humidity_count, humidity_min, humidity_max, humidity_sum, humidity_last,
        pressure_count, pressure_min, pressure_max, pressure_sum, pressure_last,
        battery_count, battery_min, battery_max, battery_sum, battery_last,
        rssi_count, rssi_min, rssi_max, rssi_sum, rssi_last) = (EXCLUDED.sample_count,
        EXCLUDED.temperature_count, EXCLUDED.temperature_min, EXCLUDED.temperature_max,
        EXCLUDED.temperature_sum, EXCLUDED.temperature_last,
        EXCLUDED.humidity_count, EXCLUDED.humidity_min, EXCLUDED.humidity_max,
        EXCLUDED.humidity_sum, EXCLUDED.humidity_last,
        EXCLUDED.pressure_count, EXCLUDED.pressure_min, EXCLUDED.pressure_max,
        EXCLUDED.pressure_sum, EXCLUDED.pressure_last,
        EXCLUDED.battery_count, EXCLUDED.battery_min, EXCLUDED.battery_max,
        EXCLUDED.battery_sum, EXCLUDED.battery_last,
        EXCLUDED.rssi_count, EXCLUDED.rssi_min, EXCLUDED.rssi_max,
        EXCLUDED.rssi_sum, EXCLUDED.rssi_last);
    GET DIAGNOSTICS n = ROW_COUNT;
    RETURN n;
END $$;

-- Tools that write readings by SQL write the view.
CREATE FUNCTION telemetry_hot_insert() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    p jsonb := COALESCE(NEW.payload, '{}');
BEGIN
    INSERT INTO telemetry (tenant_id, device_id, timestamp, created_at, seq, temperature, humidity,
                           pressure, battery, rssi, extra)
    VALUES (NEW.tenant_id, NEW.device_id, COALESCE(NEW.timestamp, now()), COALESCE(NEW.created_at, now()),
        ('x' || substr(md5(gen_random_uuid()::text), 1, 16))::bit(64)::bigint,
        COALESCE(NEW.temperature, (p ->> 'temperature')::float8), COALESCE(NEW.humidity, (p ->> 'humidity')::float8),
        COALESCE(NEW.pressure, (p ->> 'pressure')::float8), COALESCE(NEW.battery, (p ->> 'battery')::float8),
        COALESCE(NEW.rssi, (p ->> 'rssi')::float8),
        NULLIF(p - '{temperature,humidity,pressure,battery,rssi}'::text[], '{}'));
    RETURN NEW;
END $$;
CREATE TRIGGER telemetry_hot_insert INSTEAD OF INSERT ON telemetry_hot
    FOR EACH ROW EXECUTE FUNCTION telemetry_hot_insert();

-- Grants: what each role needs, and no more.
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO gito_app, gito_ingest;
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC;
GRANT EXECUTE ON FUNCTION fence, partitions_ensure, partitions_drop_oldest, rollup_rebuild, node_is_writing
    TO gito_ingest;
GRANT EXECUTE ON FUNCTION node_is_writing, telemetry_hot_insert, changes_add_new, changes_add_old,
    changes_add_both, changes_add_device TO gito_app;

GRANT SELECT ON tenants, telemetry_hourly, telemetry_rejected TO gito_app;
GRANT SELECT, INSERT ON telemetry, telemetry_hot TO gito_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON users, refresh_tokens, devices, device_credentials,
    service_accounts, alert_rules TO gito_app;
GRANT SELECT, INSERT, UPDATE ON alert_events TO gito_app;
GRANT SELECT, INSERT ON audit_logs TO gito_app;

GRANT SELECT ON tenants, users, device_credentials, service_accounts TO gito_ingest;
GRANT UPDATE (last_login_at) ON users TO gito_ingest;
GRANT SELECT, INSERT, UPDATE ON refresh_tokens TO gito_ingest;
GRANT SELECT, UPDATE (status, last_seen, latest, latest_at) ON devices TO gito_ingest;
GRANT SELECT, INSERT ON telemetry, telemetry_rejected, audit_logs TO gito_ingest;
GRANT SELECT, INSERT, UPDATE ON telemetry_hourly TO gito_ingest;
GRANT SELECT, UPDATE (last_fired_at) ON alert_rules TO gito_ingest;
GRANT SELECT, INSERT, UPDATE (notification_sent, notification_sent_at) ON alert_events TO gito_ingest;
GRANT SELECT, INSERT, UPDATE, DELETE ON outbox, cluster_nodes, cluster_slots, cluster_version TO gito_ingest;
GRANT SELECT, DELETE ON changes TO gito_ingest;
