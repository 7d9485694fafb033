/*
 * secret - a device's credentials, shown this once.
 */
import type { Secret } from '../core/api';
import { Copy } from './basics';
import { Dialog } from './dialog';

function Line({ label, text }: { label: string; text: string }) {
  return (
    <div className="secret-line">
      <span className="secret-label">{label}</span>
      <code tabIndex={0}>{text}</code>
      <Copy text={text} label={label} />
    </div>
  );
}

export function SecretDialog({ secret, tenant, close }: { secret: Secret; tenant: string; close: () => void }) {
  return (
    <Dialog title="Credentials of the device" close={close}>
      <p className="dialog-text">The secret is shown this once and cannot be read again. Keep it before you close this window.</p>
      <Line label="MQTT user name" text={`${tenant}:${secret.deviceId}`} />
      <Line label="Secret" text={secret.secret} />
      <Line label="Topic" text={`${tenant}/devices/${secret.deviceId}/telemetry`} />
      <div className="dialog-buttons">
        <button type="button" className="button primary" onClick={close}>I have kept it</button>
      </div>
    </Dialog>
  );
}
