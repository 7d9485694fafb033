/*
 * devices - the list of a tenant's devices: paged, searched, filtered, and live.
 */
import { useEffect, useState } from 'react';
import type { Secret } from '../core/api';
import { formatValue, labelOf, plural, sortMetrics } from '../core/format';
import type { LiveDevice } from '../core/store';
import type { Device } from '../core/wire';
import { learnName, useAccount, useDebounced, useLive, useLiveDevice, useLoad, useStatusFrames, useThrottled } from '../hooks';
import { useQuery } from '../router';
import { api, store } from '../services';
import { announce } from '../ui/announcer';
import { Ago, Choice, Empty, Link, Pager, Problem, Skeleton, Status } from '../ui/basics';
import { AddDevice } from '../ui/add_device';
import { Confirm } from '../ui/dialog';
import { SecretDialog } from '../ui/secret';

const PER_PAGE = 25;
const METRICS_SHOWN = 4;
const FILTERS = [['', 'All'], ['online', 'Online'], ['idle', 'Idle'], ['offline', 'Offline']] as const;
type Filter = (typeof FILTERS)[number][0];
/* Who came and went changes the counts and the filtered list: they are read again, but not more often. */
const REREAD_MS = 10_000;

export function DevicesPage() {
  const { tenantId, mayEditDevices: mayEdit } = useAccount();
  const [query, setQuery] = useQuery();
  const page = Math.max(1, Number(query.get('page')) || 1);
  const status = (query.get('status') ?? '') as Filter;
  const [search, setSearch] = useState(query.get('search') ?? '');
  const settled = useDebounced(search.trim(), 300);
  const [adding, setAdding] = useState(false);
  const [secret, setSecret] = useState<Secret | null>(null);
  const [edits, setEdits] = useState(0);
  const edited = () => setEdits((old) => old + 1);
  const [doomed, setDoomed] = useState<Device | null>(null);

  useEffect(() => {
    if (settled !== (query.get('search') ?? '')) setQuery({ search: settled, page: '' });
  }, [settled]);

  const changes = useThrottled(useStatusFrames(), REREAD_MS);
  /* The address was changed by other means than typing. */
  useEffect(() => {
    if (settled !== (query.get('search') ?? '')) setSearch(query.get('search') ?? '');
  }, [query.get('search')]);

  const epoch = useLive({ kind: 'tenant', tenant: tenantId });
  const asked = { page, per_page: PER_PAGE, search: query.get('search') ?? '', status };
  const version = `${epoch} ${changes} ${edits}`;
  const list = useLoad(JSON.stringify(asked), version, async (signal, askedAt) => {
    const answer = await api.devices(tenantId, asked, signal);
    if (!signal.aborted) store.snapshot(answer.items, askedAt);
    answer.items.forEach((device) => learnName(device.id, device.name));
    return answer;
  });

  const counts = useLoad(asked.search, version, (signal) => countByStatus(tenantId, asked.search, signal));
  const options = FILTERS.map(([key, text]) => [key, text, counts.data?.[key]] as const);

  const filtered = asked.search !== '' || status !== '';
  return (
    <section className="page" aria-labelledby="title">
      <div className="page-head">
        <h1 id="title">Devices</h1>
        {mayEdit && <button type="button" className="button primary" onClick={() => setAdding(true)}>Add device</button>}
      </div>
      <div className="tools">
        <input type="search" className="search" placeholder="Search by name" aria-label="Search devices" value={search} onChange={(event) => setSearch(event.target.value)} />
        <Choice label="Status" name="status" options={options} value={status} set={(value) => setQuery({ status: value, page: '' })} />
      </div>
      {list.error && <Problem text={list.error} retry={list.reload} />}
      {!list.data && !list.error && <Skeleton rows={8} label="Loading devices" />}
      {list.data?.items.length === 0 && (
        filtered ? <Empty title="No device matches.">Try another word or another status.</Empty>
          : <Empty title="No devices yet.">Add the first one to receive its credentials.</Empty>
      )}
      {list.data && list.data.items.length > 0 && (
        <div className={list.loading ? 'panel table busy' : 'panel table'}>
          <Rows devices={list.data.items} mayEdit={mayEdit} remove={setDoomed} />
        </div>
      )}
      {list.data && <Pager page={page} perPage={PER_PAGE} total={list.data.total} go={(to) => setQuery({ page: to > 1 ? String(to) : '' })} />}
      <span className="hidden" role="status">{list.data && plural(list.data.total, 'device')}</span>

      {adding && <AddDevice tenant={tenantId} close={() => setAdding(false)} done={(made) => { setAdding(false); setSecret(made); edited(); }} />}
      {secret && <SecretDialog secret={secret} tenant={tenantId} close={() => setSecret(null)} />}
      {doomed && <DeleteDevice device={doomed} tenant={tenantId} close={() => setDoomed(null)} done={edited} />}
    </section>
  );
}

async function countByStatus(tenant: string, search: string, signal: AbortSignal): Promise<Record<Filter, number>> {
  const count = async ([status]: (typeof FILTERS)[number]) =>
    [status, (await api.devices(tenant, { search, status, page: 1, per_page: 1 }, signal)).total] as const;
  return Object.fromEntries(await Promise.all(FILTERS.map(count))) as Record<Filter, number>;
}

export function DeleteDevice({ device, tenant, close, done }: { device: Device; tenant: string; close: () => void; done: () => void }) {
  const work = async () => {
    await api.deleteDevice(tenant, device.id);
    announce(`${device.name} was deleted.`);
    close();
    done();
  };
  return (
    <Confirm title={`Delete ${device.name}?`} verb="Delete device" close={close} work={work}>
      <p>It can no longer connect, and its rules are removed with it. This cannot be undone.</p>
    </Confirm>
  );
}

function Rows({ devices, mayEdit, remove }: { devices: Device[]; mayEdit: boolean; remove: (device: Device) => void }) {
  return (
    <table className="devices">
      <thead>
        <tr><th scope="col">Device</th><th scope="col">Status</th><th scope="col">Latest values</th><th scope="col">Last seen</th>{mayEdit && <th scope="col"><span className="hidden">Actions</span></th>}</tr>
      </thead>
      <tbody>{devices.map((device) => <Row key={device.id} device={device} mayEdit={mayEdit} remove={remove} />)}</tbody>
    </table>
  );
}

function Row({ device, mayEdit, remove }: { device: Device; mayEdit: boolean; remove: (device: Device) => void }) {
  const now = useLiveDevice(device.id);
  return (
    <tr>
      <th scope="row"><Link to={`/devices/${device.id}`} className="device-name">{device.name}</Link><span className="muted device-type">{device.type}</span></th>
      <td className="cell-status"><Status status={now?.status ?? device.status} /></td>
      <td className="cell-values"><Values device={now} /></td>
      <td className="cell-seen"><Ago at={now?.lastSeen ?? device.lastSeen} /></td>
      {mayEdit && <td className="cell-actions"><button type="button" className="button small quiet" aria-label={`Delete ${device.name}`} onClick={() => remove(device)}>Delete</button></td>}
    </tr>
  );
}

function Values({ device }: { device: LiveDevice | undefined }) {
  const names = sortMetrics(Object.keys(device?.metrics ?? {}));
  if (!device || names.length === 0) return <span className="muted">No values yet</span>;
  const more = names.length - METRICS_SHOWN;
  return (
    <ul className="values">
      {names.slice(0, METRICS_SHOWN).map((name) => (
        <li key={name}><span className="value-name">{labelOf(name)}</span><span className="value">{formatValue(name, device.metrics[name]?.value)}</span></li>
      ))}
      {more > 0 && <li className="muted">+{more}</li>}
    </ul>
  );
}
