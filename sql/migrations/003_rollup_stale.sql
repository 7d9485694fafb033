-- Readings that tools write by SQL (telemetry_hot) pass no actor, so nobody closes their hours: the
-- hours are marked, and whoever reads a device's sums has them rebuilt first (rollup_refresh).
CREATE TABLE rollup_stale (
    tenant_id uuid NOT NULL,
    device_id uuid NOT NULL,
    hour timestamptz NOT NULL,
    PRIMARY KEY (device_id, hour)
);
ALTER TABLE rollup_stale ENABLE ROW LEVEL SECURITY;
ALTER TABLE rollup_stale FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_sees_its_own ON rollup_stale TO gito_app
    USING (tenant_id = (SELECT NULLIF(current_setting('app.tenant_id', true), '')::uuid))
    WITH CHECK (tenant_id = (SELECT NULLIF(current_setting('app.tenant_id', true), '')::uuid));
GRANT SELECT ON rollup_stale TO gito_app;

-- The hour of a reading to come, and that of the newest so far, which it may close. DO UPDATE, so
-- that a mark waits for a refresh that is just taking it away.
CREATE FUNCTION rollup_mark(tenant uuid, device uuid, at timestamptz) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = public AS $$
    INSERT INTO rollup_stale (tenant_id, device_id, hour)
    SELECT tenant, device, date_trunc('hour', at, 'UTC')
    UNION
    SELECT tenant, device, date_trunc('hour', newest.timestamp, 'UTC') FROM
        (SELECT timestamp FROM telemetry WHERE device_id = device
         ORDER BY timestamp DESC LIMIT 1) newest
    WHERE newest.timestamp < at
    ON CONFLICT (device_id, hour) DO UPDATE SET hour = EXCLUDED.hour
$$;

CREATE FUNCTION rollup_refresh(device uuid) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
DECLARE
    newest timestamptz;
    first_hour timestamptz;
    last_hour timestamptz;
BEGIN
    SELECT timestamp INTO newest FROM telemetry WHERE device_id = device
        ORDER BY timestamp DESC LIMIT 1;
    WITH gone AS (DELETE FROM rollup_stale
        WHERE device_id = device AND hour < date_trunc('hour', newest, 'UTC') RETURNING hour)
    SELECT min(hour), max(hour) INTO first_hour, last_hour FROM gone;
    IF first_hour IS NOT NULL THEN
        PERFORM rollup_rebuild(first_hour, last_hour + interval '1 hour', device);
    END IF;
END $$;
REVOKE EXECUTE ON FUNCTION rollup_mark, rollup_refresh FROM PUBLIC;
GRANT EXECUTE ON FUNCTION rollup_mark, rollup_refresh TO gito_app;

CREATE OR REPLACE FUNCTION telemetry_hot_insert() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    p jsonb := COALESCE(NEW.payload, '{}');
BEGIN
    NEW.timestamp := COALESCE(NEW.timestamp, now());
    PERFORM rollup_mark(NEW.tenant_id, NEW.device_id, NEW.timestamp);
    INSERT INTO telemetry (tenant_id, device_id, timestamp, created_at, seq, temperature, humidity,
                           pressure, battery, rssi, extra)
    VALUES (NEW.tenant_id, NEW.device_id, NEW.timestamp, COALESCE(NEW.created_at, now()),
        ('x' || substr(md5(gen_random_uuid()::text), 1, 16))::bit(64)::bigint,
        COALESCE(NEW.temperature, (p ->> 'temperature')::float8), COALESCE(NEW.humidity, (p ->> 'humidity')::float8),
        COALESCE(NEW.pressure, (p ->> 'pressure')::float8), COALESCE(NEW.battery, (p ->> 'battery')::float8),
        COALESCE(NEW.rssi, (p ->> 'rssi')::float8),
        NULLIF(p - '{temperature,humidity,pressure,battery,rssi}'::text[], '{}'));
    RETURN NEW;
END $$;
