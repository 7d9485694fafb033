import { useState, type FormEvent } from 'react';
import type { Secret } from '../core/api';
import { useAction } from '../hooks';
import { api } from '../services';
import { Dialog } from './dialog';

export function AddDevice({ tenant, close, done }: { tenant: string; close: () => void; done: (secret: Secret) => void }) {
  const [name, setName] = useState('');
  const [type, setType] = useState('');
  const { busy, error, run } = useAction();
  const submit = (event: FormEvent) => {
    event.preventDefault();
    void run(async () => done(await api.createDevice(tenant, name.trim(), type.trim())));
  };
  return (
    <Dialog title="Add a device" close={close}>
      <form onSubmit={submit}>
        <label className="field">Name
          <input required maxLength={200} value={name} onChange={(event) => setName(event.target.value)} autoFocus />
        </label>
        <label className="field">Type
          <input required maxLength={100} value={type} onChange={(event) => setType(event.target.value)} placeholder="sensor" list="device-types" />
        </label>
        <datalist id="device-types"><option value="sensor" /><option value="gateway" /><option value="meter" /><option value="actuator" /></datalist>
        {error && <p className="form-error" role="alert">{error}</p>}
        <div className="dialog-buttons">
          <button type="button" className="button" onClick={close}>Cancel</button>
          <button type="submit" className="button primary" disabled={busy}>{busy ? 'Adding…' : 'Add device'}</button>
        </div>
      </form>
    </Dialog>
  );
}
