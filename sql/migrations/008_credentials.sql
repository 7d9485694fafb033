-- Whoever is connected goes when what let him in does so no more. A row of `changes` with
-- `credentials` is about who may connect: a device, or a service account, whose id stands in
-- device_id (no device has it, so that a node of the version before does nothing by it).
ALTER TABLE changes ADD credentials boolean NOT NULL DEFAULT false;

-- What lets a device or service account in, as one number that is another after any change of it; 0:
-- nothing does. A connection keeps the one of its login, so that one that was made after the
-- change is not taken for one from before it.
CREATE FUNCTION credentials_mark(tenant uuid, holder uuid) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN EXISTS (SELECT FROM tenants WHERE id = tenant AND status = 'active') THEN COALESCE(
        (SELECT hashtextextended(encode(secret_hash, 'hex'), 0) FROM device_credentials
         WHERE device_id = holder AND tenant_id = tenant),
        (SELECT hashtextextended(ROW (username, password_hash, publish_filters, subscribe_filters,
                                      mount_point)::text, 0) FROM service_accounts
         WHERE id = holder AND tenant_id = tenant AND active),
        0) ELSE 0 END
$$;

CREATE FUNCTION changes_add_credentials() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = public AS $$
BEGIN
    INSERT INTO changes (tenant_id, device_id, credentials)
        SELECT tenant_id, device_id, true FROM old_rows;
    IF FOUND THEN
        PERFORM pg_notify('gito_changes', '');
    END IF;
    RETURN NULL;
END $$;
CREATE FUNCTION changes_add_account() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = public AS $$
BEGIN
    INSERT INTO changes (tenant_id, device_id, credentials)
        SELECT tenant_id, id, true FROM old_rows;
    IF FOUND THEN
        PERFORM pg_notify('gito_changes', '');
    END IF;
    RETURN NULL;
END $$;
-- A suspended tenant's are shut out together.
CREATE FUNCTION changes_add_tenant() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = public AS $$
BEGIN
    INSERT INTO changes (tenant_id, device_id, credentials)
        SELECT tenant_id, device_id, true FROM device_credentials WHERE tenant_id = OLD.id
        UNION ALL SELECT tenant_id, id, true FROM service_accounts WHERE tenant_id = OLD.id;
    IF FOUND THEN
        PERFORM pg_notify('gito_changes', '');
    END IF;
    RETURN NULL;
END $$;

DROP TRIGGER changes_delete ON device_credentials;
DROP TRIGGER changes_update ON device_credentials;
CREATE TRIGGER changes_delete AFTER DELETE ON device_credentials
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION changes_add_credentials();
CREATE TRIGGER changes_update AFTER UPDATE ON device_credentials
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION changes_add_credentials();
CREATE TRIGGER changes_delete AFTER DELETE ON service_accounts
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION changes_add_account();
CREATE TRIGGER changes_update AFTER UPDATE ON service_accounts
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION changes_add_account();
CREATE TRIGGER changes_suspend AFTER UPDATE OF status ON tenants FOR EACH ROW
    WHEN (OLD.status = 'active' AND NEW.status <> 'active') EXECUTE FUNCTION changes_add_tenant();

REVOKE EXECUTE ON FUNCTION credentials_mark, changes_add_credentials, changes_add_account,
    changes_add_tenant FROM PUBLIC;
GRANT EXECUTE ON FUNCTION credentials_mark TO gito_ingest;
GRANT EXECUTE ON FUNCTION changes_add_credentials, changes_add_account TO gito_app;
