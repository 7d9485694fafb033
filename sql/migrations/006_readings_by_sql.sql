-- Readings by SQL: what reports and tools may do with telemetry_hot (sql/REPORTS.md). A node writes
-- the table telemetry, by inserts alone, and nothing here runs for those.

-- A tool makes a day's partition inside its own transaction, and others wait for that to end: so a
-- node that finds all of its days takes no lock, and one that does not gives up and comes again.
-- LOCK TABLE, because what has been made meanwhile is seen by a new lock on the table alone.
CREATE FUNCTION partitions_make(first_day date, last_day date) RETURNS integer
    LANGUAGE plpgsql SET search_path = public SET timezone = 'UTC' AS $$
DECLARE
    day date;
    partition text;
    made integer := 0;
BEGIN
    IF NOT EXISTS (SELECT FROM generate_series(first_day, last_day, '1 day') AS d
                   WHERE to_regclass('telemetry_' || to_char(d, 'YYYYMMDD')) IS NULL) THEN
        RETURN 0;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('gito partitions'));
    LOCK TABLE telemetry IN SHARE UPDATE EXCLUSIVE MODE;
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
CREATE OR REPLACE FUNCTION partitions_ensure(first_day date, last_day date) RETURNS integer
    LANGUAGE sql SECURITY DEFINER SET search_path = public SET lock_timeout = '2s' AS
    $$ SELECT partitions_make(first_day, last_day) $$;

-- What retention drops, as the last node that dropped said it: within a day, for a node asks each
-- hour, and none does when RETENTION_DAYS is 0.
CREATE TABLE telemetry_retention (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    first_kept date NOT NULL,
    told_at timestamptz NOT NULL
);
CREATE OR REPLACE FUNCTION partitions_drop_oldest(first_kept date) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public SET lock_timeout = '500ms' AS $$
DECLARE
    partition text;
BEGIN
    IF first_kept > (now() AT TIME ZONE 'UTC')::date THEN
        RAISE EXCEPTION 'today''s readings are not to be dropped';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('gito partitions'));
    INSERT INTO telemetry_retention (first_kept, told_at) VALUES (first_kept, now())
        ON CONFLICT (one) DO UPDATE SET first_kept = EXCLUDED.first_kept, told_at = now();
    SELECT relname INTO partition FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
        WHERE inhparent = 'telemetry'::regclass AND relname ~ '^telemetry_[0-9]{8}$'
            AND to_date(right(relname, 8), 'YYYYMMDD') < first_kept
        ORDER BY relname LIMIT 1;
    IF FOUND THEN
        EXECUTE format('DROP TABLE %I', partition);
    END IF;
    RETURN partition;
END $$;

-- Makes sure of the day of a reading; refuses one that retention would take away within the hour.
CREATE FUNCTION telemetry_day_ensure(at timestamptz) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public SET timezone = 'UTC' AS $$
DECLARE
    day date;
    kept date := (SELECT first_kept FROM telemetry_retention
                  WHERE told_at > now() - interval '1 day');
BEGIN
    IF at < '2000-01-01' OR at > now() + interval '1 year' THEN
        RAISE EXCEPTION 'timestamp % lies before the year 2000 or more than a year ahead', at
            USING ERRCODE = 'datetime_field_overflow';
    END IF;
    day := at::date;
    IF day < kept THEN
        RAISE EXCEPTION 'timestamp % is older than readings are kept (RETENTION_DAYS): since %',
            at, kept USING ERRCODE = 'datetime_field_overflow';
    END IF;
    IF to_regclass('telemetry_' || to_char(day, 'YYYYMMDD')) IS NULL THEN
        BEGIN
            PERFORM partitions_make(day, day);
        EXCEPTION WHEN object_in_use THEN
            RAISE EXCEPTION 'a statement that reads telemetry_hot cannot make the partition of %', day
                USING ERRCODE = 'object_in_use',
                    HINT = format('First: SELECT telemetry_day_ensure(%L)', at);
        END;
    END IF;
END $$;

-- The hour of a reading to come, and that of the newest before it, which it may close. DO UPDATE, so
-- that a mark waits for a refresh that is just taking it away; a mark of this very transaction needs
-- neither, which makes a backfill ten times as fast.
CREATE OR REPLACE FUNCTION rollup_mark(tenant uuid, device uuid, at timestamptz) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
BEGIN
    IF EXISTS (SELECT FROM rollup_stale WHERE device_id = device
               AND hour = date_trunc('hour', at, 'UTC') AND xmin = pg_current_xact_id()::xid) THEN
        RETURN;
    END IF;
    INSERT INTO rollup_stale (tenant_id, device_id, hour)
    SELECT tenant, device, date_trunc('hour', at, 'UTC')
    UNION
    SELECT tenant, device, date_trunc('hour', before.timestamp, 'UTC') FROM
        (SELECT timestamp FROM telemetry WHERE device_id = device AND timestamp < at
         ORDER BY timestamp DESC LIMIT 1) before
    ON CONFLICT (device_id, hour) DO UPDATE SET hour = EXCLUDED.hour;
END $$;

-- Readings that go or change by SQL leave their hours to be summed up anew. Triggers of the statement,
-- on deletes and updates alone: nodes do neither.
CREATE FUNCTION rollup_mark_all() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = public AS $$
BEGIN
    PERFORM rollup_mark(tenant, device, at) FROM
        (SELECT (array_agg(tenant_id))[1] AS tenant, device_id AS device, min(timestamp) AS at
         FROM readings GROUP BY device_id, date_trunc('hour', timestamp, 'UTC')
         ORDER BY device_id, at) hours
        WHERE EXISTS (SELECT FROM devices WHERE id = device);
    RETURN NULL;
END $$;
CREATE TRIGGER rollup_delete AFTER DELETE ON telemetry
    REFERENCING OLD TABLE AS readings FOR EACH STATEMENT EXECUTE FUNCTION rollup_mark_all();
CREATE TRIGGER rollup_update_old AFTER UPDATE ON telemetry
    REFERENCING OLD TABLE AS readings FOR EACH STATEMENT EXECUTE FUNCTION rollup_mark_all();
CREATE TRIGGER rollup_update_new AFTER UPDATE ON telemetry
    REFERENCING NEW TABLE AS readings FOR EACH STATEMENT EXECUTE FUNCTION rollup_mark_all();

-- Sums up the marked hours, each day's together. A mark stays while a node may still be filling its
-- hour, which it would close with sums of its own: that of the newest reading up to now and later
-- ones. Where a tool wrote readings ahead of now, those hours have to be complete already. An hour
-- without readings has no row, but one whose day retention took keeps its sums.
CREATE OR REPLACE FUNCTION rollup_refresh(device uuid) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
DECLARE
    newest timestamptz;
    filling timestamptz;
    marked timestamptz[];
    piece record;
BEGIN
    SELECT date_trunc('hour', timestamp, 'UTC') INTO newest FROM telemetry WHERE device_id = device
        ORDER BY timestamp DESC LIMIT 1;
    SELECT date_trunc('hour', timestamp, 'UTC') INTO filling FROM telemetry
        WHERE device_id = device AND timestamp <= now() ORDER BY timestamp DESC LIMIT 1;
    filling := COALESCE(filling, newest);
    WITH gone AS (DELETE FROM rollup_stale WHERE device_id = device AND hour < filling RETURNING hour)
    SELECT array_agg(hour) INTO marked FROM gone;
    FOR piece IN
        SELECT min(hour) AS first, max(hour) + interval '1 hour' AS last FROM unnest(marked) AS hour
            WHERE to_regclass('telemetry_' || to_char(hour AT TIME ZONE 'UTC', 'YYYYMMDD')) IS NOT NULL
            GROUP BY date_trunc('day', hour, 'UTC')
        UNION ALL SELECT filling, newest WHERE filling < newest
    LOOP
        DELETE FROM telemetry_hourly
            WHERE device_id = device AND hour >= piece.first AND hour < piece.last;
        PERFORM rollup_rebuild(piece.first, piece.last, device);
    END LOOP;
END $$;

-- A reading that comes or changes by SQL. What the statement sets of its columns counts before its
-- payload, and either before what was; the payload is kept as it was given, and NEW leaves as what was
-- stored, for RETURNING. The view does not tell readings apart that are alike in all it shows: they
-- change together, for a condition cannot mean one of them.
DROP TRIGGER telemetry_hot_insert ON telemetry_hot;
DROP FUNCTION telemetry_hot_insert;
CREATE FUNCTION telemetry_hot_write() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    p jsonb := COALESCE(NEW.payload, '{}');
    metrics jsonb := jsonb_build_object('temperature', NEW.temperature, 'humidity', NEW.humidity,
        'pressure', NEW.pressure, 'battery', NEW.battery, 'rssi', NEW.rssi);
    before jsonb := jsonb_build_object('temperature', OLD.temperature, 'humidity', OLD.humidity,
        'pressure', OLD.pressure, 'battery', OLD.battery, 'rssi', OLD.rssi);
    wrong text;
    more jsonb;
BEGIN
    IF jsonb_typeof(p) <> 'object' THEN
        RAISE EXCEPTION 'payload must be a JSON object, and is: %', left(p::text, 100)
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT (p - array_agg(key)) || jsonb_strip_nulls(jsonb_object_agg(key, value)) INTO more
        FROM jsonb_each(metrics) WHERE value <> before -> key;
    p := COALESCE(more, p);
    SELECT key INTO wrong FROM jsonb_each(p)
        WHERE metrics ? key AND jsonb_typeof(value) NOT IN ('number', 'null');
    IF FOUND THEN
        RAISE EXCEPTION 'metric % must be a number or null, and is: %', wrong, left(p ->> wrong, 100)
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF NOT EXISTS (SELECT FROM devices WHERE id = NEW.device_id AND tenant_id = NEW.tenant_id) THEN
        RAISE EXCEPTION 'tenant % has no device %', NEW.tenant_id, NEW.device_id
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    NEW.payload := p;
    NEW.temperature := (p ->> 'temperature')::float8;
    NEW.humidity := (p ->> 'humidity')::float8;
    NEW.pressure := (p ->> 'pressure')::float8;
    NEW.battery := (p ->> 'battery')::float8;
    NEW.rssi := (p ->> 'rssi')::float8;
    NEW.timestamp := COALESCE(NEW.timestamp, now());
    NEW.created_at := COALESCE(NEW.created_at, now());
    metrics := jsonb_strip_nulls(jsonb_build_object('temperature', NEW.temperature,
        'humidity', NEW.humidity, 'pressure', NEW.pressure, 'battery', NEW.battery,
        'rssi', NEW.rssi));
    SELECT jsonb_object_agg(key, value) INTO more FROM jsonb_each(p)
        WHERE value::text IS DISTINCT FROM (metrics -> key)::text;
    PERFORM telemetry_day_ensure(NEW.timestamp);
    IF TG_OP = 'INSERT' THEN
        PERFORM rollup_mark(NEW.tenant_id, NEW.device_id, NEW.timestamp);
        INSERT INTO telemetry (tenant_id, device_id, timestamp, created_at, seq, temperature, humidity,
                               pressure, battery, rssi, extra)
        VALUES (NEW.tenant_id, NEW.device_id, NEW.timestamp, NEW.created_at,
            ('x' || substr(md5(gen_random_uuid()::text), 1, 16))::bit(64)::bigint,
            NEW.temperature, NEW.humidity, NEW.pressure, NEW.battery, NEW.rssi, more);
        RETURN NEW;
    END IF;
    UPDATE telemetry SET tenant_id = NEW.tenant_id, device_id = NEW.device_id,
        timestamp = NEW.timestamp, created_at = NEW.created_at, temperature = NEW.temperature,
        humidity = NEW.humidity, pressure = NEW.pressure, battery = NEW.battery, rssi = NEW.rssi,
        extra = more
    WHERE device_id = OLD.device_id AND timestamp = OLD.timestamp AND created_at = OLD.created_at
        AND jsonb_strip_nulls(jsonb_build_object('temperature', temperature, 'humidity', humidity,
            'pressure', pressure, 'battery', battery, 'rssi', rssi)) || COALESCE(extra, '{}')
            = OLD.payload;
    RETURN NEW;
END $$;
CREATE TRIGGER telemetry_hot_write INSTEAD OF INSERT OR UPDATE ON telemetry_hot
    FOR EACH ROW EXECUTE FUNCTION telemetry_hot_write();

-- A rule is for a device of its own tenant: the foreign key alone takes any device. One of both columns
-- would need a second unique index on devices.
CREATE FUNCTION alert_rule_is_of_its_tenant() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM devices WHERE id = NEW.device_id AND tenant_id = NEW.tenant_id) THEN
        RAISE EXCEPTION 'tenant % has no device %', NEW.tenant_id, NEW.device_id
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER alert_rule_is_of_its_tenant BEFORE INSERT OR UPDATE OF tenant_id, device_id
    ON alert_rules FOR EACH ROW EXECUTE FUNCTION alert_rule_is_of_its_tenant();

-- Devices that were deleted, until their readings are: those are too many for the deletion's own
-- transaction, so nodes delete them bit by bit. Once more after an hour: a reading may have been on
-- its way.
CREATE TABLE devices_gone (
    device_id uuid PRIMARY KEY,
    gone_at timestamptz NOT NULL DEFAULT now(),
    due_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX devices_gone_due ON devices_gone (due_at);
CREATE FUNCTION devices_gone_add() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = public AS $$
BEGIN
    INSERT INTO devices_gone (device_id) SELECT id FROM old_rows
        ON CONFLICT (device_id) DO UPDATE SET gone_at = now(), due_at = now();
    RETURN NULL;
END $$;
CREATE TRIGGER devices_gone_add AFTER DELETE ON devices
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION devices_gone_add();

-- Deletes about `most` readings of devices that are gone; whether there is more to do now. A device
-- that was made again under its id keeps what is left: each statement looks for it in the very
-- snapshot whose readings it deletes.
CREATE FUNCTION devices_gone_erase(most integer) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
DECLARE
    gone record;
    last_of_batch timestamptz;
    n integer;
BEGIN
    FOR gone IN SELECT device_id AS id, gone_at FROM devices_gone WHERE due_at <= now()
                ORDER BY due_at LIMIT 100 FOR UPDATE SKIP LOCKED LOOP
        SELECT timestamp INTO last_of_batch FROM telemetry WHERE device_id = gone.id
            ORDER BY timestamp OFFSET most - 1 LIMIT 1;
        DELETE FROM telemetry WHERE device_id = gone.id
            AND timestamp <= COALESCE(last_of_batch, 'infinity')
            AND NOT EXISTS (SELECT FROM devices WHERE id = gone.id);
        GET DIAGNOSTICS n = ROW_COUNT;
        most := most - n;
        EXIT WHEN most <= 0;
        IF EXISTS (SELECT FROM devices WHERE id = gone.id) THEN
            INSERT INTO rollup_stale (tenant_id, device_id, hour)
                SELECT tenant_id, device_id, hour FROM telemetry_hourly WHERE device_id = gone.id
                ON CONFLICT DO NOTHING;
            DELETE FROM devices_gone WHERE device_id = gone.id;
        ELSE
            DELETE FROM telemetry_hourly WHERE device_id = gone.id
                AND NOT EXISTS (SELECT FROM devices WHERE id = gone.id);
            DELETE FROM rollup_stale WHERE device_id = gone.id
                AND NOT EXISTS (SELECT FROM devices WHERE id = gone.id);
            UPDATE devices_gone SET due_at = now() + interval '1 hour' WHERE device_id = gone.id;
            DELETE FROM devices_gone
                WHERE device_id = gone.id AND gone_at < now() - interval '1 hour';
        END IF;
        EXIT WHEN clock_timestamp() > now() + interval '1 second';
    END LOOP;
    RETURN EXISTS (SELECT FROM devices_gone WHERE due_at <= now());
END $$;

REVOKE EXECUTE ON FUNCTION partitions_make, telemetry_day_ensure, rollup_mark_all,
    telemetry_hot_write, alert_rule_is_of_its_tenant, devices_gone_add,
    devices_gone_erase FROM PUBLIC;
GRANT EXECUTE ON FUNCTION telemetry_day_ensure TO gito_app;
GRANT DELETE ON telemetry, telemetry_hot, alert_events TO gito_app;
GRANT EXECUTE ON FUNCTION devices_gone_erase TO gito_ingest;
