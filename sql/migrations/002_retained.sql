-- Retained MQTT messages (MQTT 5, 3.3.1.3), but for …/status, which devices.status says. Topics are
-- compared byte by byte: what lies below a prefix is one range of the key.
CREATE TABLE retained_messages (
    tenant_id uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    topic text COLLATE "C" NOT NULL,
    payload bytea NOT NULL,
    qos smallint NOT NULL CHECK (qos BETWEEN 0 AND 2),
    retained_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, topic)
);
ALTER TABLE retained_messages ENABLE ROW LEVEL SECURITY;
ALTER TABLE retained_messages FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_sees_its_own ON retained_messages TO gito_app
    USING (tenant_id = (SELECT NULLIF(current_setting('app.tenant_id', true), '')::uuid))
    WITH CHECK (tenant_id = (SELECT NULLIF(current_setting('app.tenant_id', true), '')::uuid));
CREATE POLICY node_sees_all ON retained_messages TO gito_ingest USING (true) WITH CHECK (true);
GRANT SELECT ON retained_messages TO gito_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON retained_messages TO gito_ingest;
