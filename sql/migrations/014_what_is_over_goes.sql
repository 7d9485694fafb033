-- A login that is refreshed every hour leaves a used token each time, and each can be told from one
-- that never was until it has expired. Nodes sweep those out, whoever signs in or not.
CREATE INDEX refresh_tokens_expires ON refresh_tokens (expires_at);
GRANT DELETE ON refresh_tokens TO gito_ingest;
