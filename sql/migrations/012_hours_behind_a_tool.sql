-- Sums up the marked hours, each day's together. A mark stays while a node may still be filling its
-- hour, which it would close with sums of its own: that of the newest reading up to now and later
-- ones; of a device that speaks, those from the newest reading on that it sent itself, for a tool may
-- have written newer ones, of which its actor knows nothing. The hour that such a device is filling
-- has to be complete as well, and so have those behind which a tool wrote readings ahead of now. An
-- hour without readings has no row, but one whose day retention took keeps its sums.
--
-- The rows are taken before they are summed up, also those that are not there yet: a node may be
-- writing one with a late reading that is not seen here, and must not be overwritten without it.
CREATE OR REPLACE FUNCTION rollup_refresh(device uuid) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
DECLARE
    owner uuid := (SELECT tenant_id FROM devices WHERE id = device);
    newest timestamptz;
    filling timestamptz;
    own timestamptz;
    marked timestamptz[];
    piece record;
BEGIN
    SELECT date_trunc('hour', timestamp, 'UTC') INTO newest FROM telemetry WHERE device_id = device
        ORDER BY timestamp DESC LIMIT 1;
    SELECT date_trunc('hour', timestamp, 'UTC') INTO filling FROM telemetry
        WHERE device_id = device AND timestamp <= now() ORDER BY timestamp DESC LIMIT 1;
    filling := COALESCE(filling, newest);
    own := LEAST(filling, (SELECT date_trunc('hour', latest_at, 'UTC') FROM devices
                           WHERE id = device AND status = 'online'));
    WITH gone AS (DELETE FROM rollup_stale WHERE device_id = device AND hour < own RETURNING hour)
    SELECT array_agg(hour) INTO marked FROM
        (SELECT hour FROM gone UNION SELECT own WHERE own < filling
         UNION SELECT hour FROM rollup_stale
            WHERE device_id = device AND hour >= own AND hour < filling) hours;
    FOR piece IN
        SELECT min(hour) AS first, max(hour) + interval '1 hour' AS last FROM unnest(marked) AS hour
            WHERE to_regclass('telemetry_' || to_char(hour AT TIME ZONE 'UTC', 'YYYYMMDD')) IS NOT NULL
            GROUP BY date_trunc('day', hour, 'UTC')
        UNION ALL SELECT filling, newest WHERE filling < newest
    LOOP
        INSERT INTO telemetry_hourly (tenant_id, device_id, hour, sample_count, temperature_count,
                                      humidity_count, pressure_count, battery_count, rssi_count)
            SELECT owner, device, hour, 0, 0, 0, 0, 0, 0
            FROM generate_series(piece.first, piece.last - interval '1 hour', '1 hour') AS hour
            WHERE owner IS NOT NULL
            ON CONFLICT (device_id, hour) DO UPDATE SET sample_count = telemetry_hourly.sample_count;
        DELETE FROM telemetry_hourly
            WHERE device_id = device AND hour >= piece.first AND hour < piece.last;
        PERFORM rollup_rebuild(piece.first, piece.last, device);
    END LOOP;
END $$;
