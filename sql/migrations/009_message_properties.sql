-- What MQTT 5 says of a retained message besides its payload: the properties that go on to its
-- subscribers, as they are on the wire (MQTT 5, 2.2.2), and when it is of no use any more (3.3.2.3.3).
-- An expired one is given to nobody; the nodes drop it soon after.
ALTER TABLE retained_messages
    ADD COLUMN properties bytea NOT NULL DEFAULT '',
    ADD COLUMN expires_at timestamptz;
CREATE INDEX retained_messages_expires ON retained_messages (expires_at) WHERE expires_at IS NOT NULL;
