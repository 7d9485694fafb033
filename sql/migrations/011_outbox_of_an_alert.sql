-- Deleting a device or a rule deletes its alerts, and each of those looks for its row here: with the
-- kind first the index is searched from end to end, and while mail was away, and many rows waited,
-- nothing that had fired could be deleted.
ALTER TABLE outbox DROP CONSTRAINT outbox_kind_alert_event_id_key, ADD UNIQUE (alert_event_id, kind);
