-- A cluster of many nodes. What a node is to the others: a number (small, of its node_id, never
-- another's while its row is there), a weight, its threads, its key on the mesh. A row without a
-- number is for the fence alone (a benchmark's writer): no member.
ALTER TABLE cluster_nodes
    ADD number integer UNIQUE CHECK (number BETWEEN 0 AND 255),
    ADD weight integer NOT NULL DEFAULT 100 CHECK (weight >= 0),
    ADD edges integer NOT NULL DEFAULT 1,
    ADD shards integer NOT NULL DEFAULT 1,
    ADD mesh_key text NOT NULL DEFAULT '',
    ADD mesh_version integer NOT NULL DEFAULT 0,
    ADD left_at timestamptz, -- when it died or left
    DROP CONSTRAINT cluster_nodes_state_check,
    -- condemned: voted or ordered out. Its renewals and its fence are refused; it is declared dead
    -- when its lease has run out.
    ADD CONSTRAINT cluster_nodes_state_check
        CHECK (state IN ('joining', 'active', 'draining', 'condemned', 'dead', 'left'));
UPDATE cluster_nodes SET number = given.number FROM
    (SELECT node_id, row_number() OVER (ORDER BY started_at, node_id) - 1 AS number
     FROM cluster_nodes) given
    WHERE given.node_id = cluster_nodes.node_id;
UPDATE cluster_nodes SET left_at = now() WHERE state IN ('dead', 'left');

-- Numbers are fixed for ever: they are half of a slot's name in messages.
CREATE TABLE cluster_regions (
    number integer PRIMARY KEY CHECK (number BETWEEN 0 AND 15),
    region text NOT NULL UNIQUE CHECK (region ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    made_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
INSERT INTO cluster_regions (number, region)
    SELECT row_number() OVER (ORDER BY region) - 1, region FROM
        (SELECT DISTINCT region FROM cluster_slots) known;

ALTER TABLE cluster_slots
    ADD changed bigint NOT NULL DEFAULT 1, -- cluster_version of its last change
    ADD FOREIGN KEY (region) REFERENCES cluster_regions (region);
CREATE INDEX cluster_slots_changed ON cluster_slots (changed);
CREATE INDEX cluster_slots_owner ON cluster_slots (owner);

CREATE TABLE cluster_suspicions (
    voter text NOT NULL,
    voter_incarnation bigint NOT NULL,
    suspect text NOT NULL,
    suspect_incarnation bigint NOT NULL,
    voted_at timestamptz NOT NULL,
    PRIMARY KEY (suspect, voter)
);

CREATE VIEW cluster_live WITH (security_invoker = true) AS
    SELECT * FROM cluster_nodes
    WHERE number IS NOT NULL AND state IN ('joining', 'active', 'draining', 'condemned');

-- When the slots of each region may go to nodes of others. Not while a node of its own is waited
-- for; at once when its nodes live and want none (draining, weight 0); else a hold-down after its
-- last node ended, or after the oldest node that could take them came: a cluster that starts waits
-- for all its regions.
CREATE FUNCTION cluster_failover(hold_down interval)
    RETURNS TABLE (number integer, region text, due_at timestamptz) LANGUAGE sql STABLE AS $$
    SELECT r.number, r.region,
        CASE WHEN bool_or(n.state IN ('active', 'draining')) THEN '-infinity'
             WHEN bool_or(n.state IN ('joining', 'condemned')) THEN 'infinity'
             ELSE GREATEST(max(n.left_at), r.made_at,
                 (SELECT min(started_at) FROM cluster_live WHERE state = 'active')) + hold_down
        END
    FROM cluster_regions r LEFT JOIN cluster_nodes n ON n.region = r.region AND n.number IS NOT NULL
    GROUP BY r.number, r.region, r.made_at
$$;

-- Where devices are at home: fixed when they are made, for their slot belongs to that region.
ALTER TABLE tenants ADD home_region text REFERENCES cluster_regions (region);
ALTER TABLE devices ADD home_region text REFERENCES cluster_regions (region);
CREATE FUNCTION home_region_is_fixed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the home region of a % is fixed when it is made',
        CASE TG_TABLE_NAME WHEN 'tenants' THEN 'tenant' ELSE 'device' END
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER home_region_is_fixed BEFORE UPDATE OF home_region ON tenants FOR EACH ROW
    WHEN (OLD.home_region IS DISTINCT FROM NEW.home_region)
    EXECUTE FUNCTION home_region_is_fixed();
CREATE TRIGGER home_region_is_fixed BEFORE UPDATE OF home_region ON devices FOR EACH ROW
    WHEN (OLD.home_region IS DISTINCT FROM NEW.home_region)
    EXECUTE FUNCTION home_region_is_fixed();

-- The number of a device's region: its own, else its tenant's, else 0. Without a device (NULL), the
-- tenant's. Whoever asks needs the rows' policies.
CREATE FUNCTION region_of(tenant uuid, device uuid) RETURNS integer LANGUAGE sql STABLE AS $$
    SELECT COALESCE((SELECT number FROM cluster_regions WHERE region = COALESCE(
        (SELECT home_region FROM devices WHERE id = device AND tenant_id = tenant),
        (SELECT home_region FROM tenants WHERE id = tenant))), 0)
$$;

REVOKE EXECUTE ON FUNCTION cluster_failover, home_region_is_fixed, region_of FROM PUBLIC;
GRANT EXECUTE ON FUNCTION cluster_failover TO gito_ingest;
GRANT EXECUTE ON FUNCTION region_of TO gito_app, gito_ingest;
GRANT SELECT ON cluster_live TO gito_ingest;
GRANT SELECT ON cluster_regions TO gito_app;
GRANT SELECT, INSERT ON cluster_regions TO gito_ingest;
GRANT SELECT, INSERT, UPDATE, DELETE ON cluster_suspicions TO gito_ingest;
