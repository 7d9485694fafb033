/*
 * device - one device: what it says now, how that went, what watches it and what was noticed.
 */
import { useEffect, useState } from 'react';
import type { Secret } from '../core/api';
import { formatDate, isoTime } from '../core/format';
import type { Device } from '../core/wire';
import { learnName, useAccount, useLive, useLiveDevice, useLoad } from '../hooks';
import { navigate } from '../router';
import { api, store } from '../services';
import { Ago, Copy, Link, Problem, Skeleton, Status } from '../ui/basics';
import { AlertList } from '../ui/alert_list';
import { Confirm } from '../ui/dialog';
import { Readings } from '../ui/readings';
import { Rules } from '../ui/rules';
import { SecretDialog } from '../ui/secret';
import { DeleteDevice } from './devices';

/* The device and its newest values; the store decides which of them are news. */
async function loadDevice(tenant: string, id: string, signal: AbortSignal, askedAt: number): Promise<Device> {
  const [device, latest] = await Promise.all([
    api.device(tenant, id, signal),
    api.latest(tenant, id, signal).catch(() => []),
  ]);
  if (signal.aborted) return device;
  store.snapshot([device], askedAt);
  latest.forEach((reading) => store.addReading({ ...reading, deviceId: id }));
  learnName(id, device.name);
  return device;
}

export function DevicePage({ id }: { id: string }) {
  const { tenantId } = useAccount();
  const epoch = useLive({ kind: 'devices', ids: [id] });
  const device = useLoad(id, epoch, (signal, askedAt) => loadDevice(tenantId, id, signal, askedAt));
  const [alertPage, setAlertPage] = useState(1);

  useEffect(() => {
    if (device.data) document.title = `${device.data.name} · Gito`;
  }, [device.data?.name]);

  if (!device.data) {
    return (
      <section className="page">
        <p className="crumbs"><Link to="/devices">Devices</Link></p>
        {device.error ? <Problem text={device.error} retry={device.reload} /> : <Skeleton rows={8} label="Loading the device" />}
      </section>
    );
  }
  return (
    <section className="page" aria-labelledby="title">
      <p className="crumbs"><Link to="/devices">Devices</Link></p>
      <Head device={device.data} tenant={tenantId} />
      {device.error && <Problem text={device.error} retry={device.reload} />}
      <div className="columns">
        <div className="column-main">
          <Readings id={id} tenant={tenantId} epoch={epoch} />
          <section aria-labelledby="alerts-title">
            <div className="section-head"><h2 id="alerts-title">Alerts</h2></div>
            <AlertList tenant={tenantId} deviceId={id} epoch={epoch} page={alertPage} go={setAlertPage} perPage={10} />
          </section>
        </div>
        <div className="column-side">
          <Rules deviceId={id} tenant={tenantId} epoch={epoch} />
          <Facts device={device.data} />
        </div>
      </div>
    </section>
  );
}

type Open = 'delete' | 'rotate' | null;

function Head({ device, tenant }: { device: Device; tenant: string }) {
  const { mayEditDevices: mayEdit } = useAccount();
  const now = useLiveDevice(device.id);
  const [open, setOpen] = useState<Open>(null);
  const [secret, setSecret] = useState<Secret | null>(null);
  const close = () => setOpen(null);
  const rotate = async () => {
    const made = await api.rotate(tenant, device.id);
    close();
    setSecret(made);
  };
  return (
    <div className="page-head device-head">
      <div>
        <h1 id="title">{device.name}</h1>
        <p className="device-sub">
          <Status status={now?.status ?? device.status} />
          <span className="muted">{device.type}</span>
          <span className="muted">Last seen <Ago at={now?.lastSeen ?? device.lastSeen} /></span>
        </p>
      </div>
      {mayEdit && (
        <div className="head-buttons">
          <button type="button" className="button" onClick={() => setOpen('rotate')}>Rotate credentials</button>
          <button type="button" className="button danger-quiet" onClick={() => setOpen('delete')}>Delete</button>
        </div>
      )}
      {open === 'rotate' && (
        <Confirm title="Rotate the credentials?" verb="Rotate" close={close} work={rotate}>
          <p>{device.name} gets a new secret. With the old one it can no longer connect.</p>
        </Confirm>
      )}
      {open === 'delete' && <DeleteDevice device={device} tenant={tenant} close={close} done={() => navigate('/devices')} />}
      {secret && <SecretDialog secret={secret} tenant={tenant} close={() => setSecret(null)} />}
    </div>
  );
}

function Facts({ device }: { device: Device }) {
  const attributes = Object.entries(device.attributes);
  return (
    <section aria-labelledby="facts-title">
      <div className="section-head"><h2 id="facts-title">Details</h2></div>
      <dl className="panel facts">
        <div><dt>Id</dt><dd><code>{device.id}</code> <Copy text={device.id} label="Device id" /></dd></div>
        {device.createdAt !== null && <div><dt>Created</dt><dd><time title={isoTime(device.createdAt)}>{formatDate(device.createdAt)}</time></dd></div>}
        {attributes.map(([name, value]) => (
          <div key={name}><dt>{name}</dt><dd>{typeof value === 'string' ? value : JSON.stringify(value)}</dd></div>
        ))}
      </dl>
    </section>
  );
}
