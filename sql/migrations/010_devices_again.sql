-- A device that one tenant deletes and another makes again under its id (it was sold, and its secret
-- is burnt in) begins anew: what it was for the one is nothing to the other. Until it is erased, its
-- readings lie side by side with those of today.

-- As in 001, of the readings of the tenant that has the device: sums of both showed one tenant the
-- other's values, or went to the one that has the device no more.
CREATE OR REPLACE FUNCTION rollup_rebuild(first_hour timestamptz, last_hour timestamptz, device uuid DEFAULT NULL)
    RETURNS bigint LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    n bigint;
BEGIN
    INSERT INTO telemetry_hourly
    SELECT d.tenant_id, t.device_id, date_trunc('hour', t.timestamp, 'UTC'), count(*),
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
    FROM telemetry t JOIN devices d ON d.id = t.device_id AND d.tenant_id = t.tenant_id
    WHERE t.timestamp >= date_trunc('hour', first_hour, 'UTC') AND t.timestamp < last_hour
        AND (device IS NULL OR t.device_id = device)
    GROUP BY d.tenant_id, t.device_id, date_trunc('hour', t.timestamp, 'UTC')
    ON CONFLICT (device_id, hour) DO UPDATE SET (tenant_id, sample_count,
        temperature_count, temperature_min, temperature_max, temperature_sum, temperature_last,
        humidity_count, humidity_min, humidity_max, humidity_sum, humidity_last,
        pressure_count, pressure_min, pressure_max, pressure_sum, pressure_last,
        battery_count, battery_min, battery_max, battery_sum, battery_last,
        rssi_count, rssi_min, rssi_max, rssi_sum, rssi_last) =
        (EXCLUDED.tenant_id, EXCLUDED.sample_count,
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

-- Whose it was, to erase what is left of it where another has it now. NULL, of a row from before or a
-- tool's: a device that is there keeps all. No role is granted it, and no policy lets any in.
ALTER TABLE devices_gone ADD tenant_id uuid;
ALTER TABLE devices_gone ENABLE ROW LEVEL SECURITY;
ALTER TABLE devices_gone FORCE ROW LEVEL SECURITY;
CREATE OR REPLACE FUNCTION devices_gone_add() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = public AS $$
BEGIN
    INSERT INTO devices_gone (device_id, tenant_id) SELECT id, tenant_id FROM old_rows
        ON CONFLICT (device_id) DO UPDATE
            SET gone_at = now(), due_at = now(), tenant_id = EXCLUDED.tenant_id;
    RETURN NULL;
END $$;

-- Deletes about `most` readings of devices that are gone; whether there is more to do now. A device
-- that its tenant made again under its id keeps what is left; one of another tenant keeps that
-- tenant's own. Each statement looks for it in the very snapshot whose readings it deletes.
CREATE OR REPLACE FUNCTION devices_gone_erase(most integer) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
DECLARE
    gone record;
    owner uuid;
    last_of_batch timestamptz;
    n integer;
BEGIN
    FOR gone IN SELECT device_id AS id, tenant_id AS tenant, gone_at FROM devices_gone
                WHERE due_at <= now() ORDER BY due_at LIMIT 100 FOR UPDATE SKIP LOCKED LOOP
        SELECT tenant_id INTO owner FROM devices WHERE id = gone.id;
        IF owner IS NULL OR owner <> gone.tenant THEN
            SELECT timestamp INTO last_of_batch FROM telemetry WHERE device_id = gone.id
                AND (owner IS NULL OR tenant_id <> owner)
                ORDER BY timestamp OFFSET most - 1 LIMIT 1;
            DELETE FROM telemetry t WHERE device_id = gone.id
                AND timestamp <= COALESCE(last_of_batch, 'infinity')
                AND NOT EXISTS (SELECT FROM devices WHERE id = gone.id
                    AND (gone.tenant IS NULL OR tenant_id IN (gone.tenant, t.tenant_id)));
            GET DIAGNOSTICS n = ROW_COUNT;
            most := most - n;
            EXIT WHEN most <= 0;
        END IF;
        IF EXISTS (SELECT FROM devices WHERE id = gone.id
                   AND (gone.tenant IS NULL OR tenant_id = gone.tenant)) THEN
            INSERT INTO rollup_stale (tenant_id, device_id, hour)
                SELECT tenant_id, device_id, hour FROM telemetry_hourly WHERE device_id = gone.id
                ON CONFLICT DO NOTHING;
            DELETE FROM devices_gone WHERE device_id = gone.id;
        ELSE
            DELETE FROM telemetry_hourly h WHERE device_id = gone.id
                AND NOT EXISTS (SELECT FROM devices WHERE id = gone.id
                    AND (gone.tenant IS NULL OR tenant_id IN (gone.tenant, h.tenant_id)));
            DELETE FROM rollup_stale s WHERE device_id = gone.id
                AND NOT EXISTS (SELECT FROM devices WHERE id = gone.id
                    AND (gone.tenant IS NULL OR tenant_id IN (gone.tenant, s.tenant_id)));
            UPDATE devices_gone SET due_at = now() + interval '1 hour' WHERE device_id = gone.id;
            DELETE FROM devices_gone
                WHERE device_id = gone.id AND gone_at < now() - interval '1 hour';
        END IF;
        EXIT WHEN clock_timestamp() > now() + interval '1 second';
    END LOOP;
    RETURN EXISTS (SELECT FROM devices_gone WHERE due_at <= now());
END $$;
