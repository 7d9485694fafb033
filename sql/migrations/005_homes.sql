-- Nodes read who is at home in a region of its own, at their start and then what is new.
CREATE INDEX tenants_home ON tenants (created_at) WHERE home_region IS NOT NULL;
CREATE INDEX devices_home ON devices (created_at) WHERE home_region IS NOT NULL;
