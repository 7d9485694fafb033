-- Whom a mail is still for, where the server took it for some and asked to be tried later for others
-- (452, too many recipients; 450, 451). NULL: for all.
ALTER TABLE outbox ADD recipients text[];
