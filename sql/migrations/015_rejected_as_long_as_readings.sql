-- Readings that were refused are kept as long as those that were stored: a device that sends nothing
-- good left a row a message for ever.
CREATE INDEX telemetry_rejected_received ON telemetry_rejected (received_at);
GRANT DELETE ON telemetry_rejected TO gito_ingest;
