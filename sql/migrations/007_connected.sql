-- Whether the device had a connection of its own when its status was last written. When its owner
-- and the node that it was connected to die together, nobody is left who sees the connection go:
-- whoever owns it next asks whether anybody has it, and else it is offline after its grace.
ALTER TABLE devices ADD COLUMN connected boolean NOT NULL DEFAULT false;
GRANT UPDATE (connected) ON devices TO gito_ingest;
