/*
 * alerts - every alert of the tenant, live, filtered by device when asked.
 */
import { useState } from 'react';
import { useAccount, useDebounced, useLive, useLoad } from '../hooks';
import { useQuery } from '../router';
import { api } from '../services';
import { AlertList } from '../ui/alert_list';

const CHOICES = 20;

export function AlertsPage() {
  const { tenantId } = useAccount();
  const [query, setQuery] = useQuery();
  const deviceId = query.get('device') ?? '';
  const epoch = useLive({ kind: 'tenant', tenant: tenantId });
  return (
    <section className="page" aria-labelledby="title">
      <div className="page-head"><h1 id="title">Alerts</h1></div>
      <div className="tools"><DeviceFilter tenant={tenantId} value={deviceId} set={(id) => setQuery({ device: id, page: '' })} /></div>
      <AlertList tenant={tenantId} deviceId={deviceId} epoch={epoch} page={Math.max(1, Number(query.get('page')) || 1)}
        go={(page) => setQuery({ page: page > 1 ? String(page) : '' })} perPage={25} showDevice />
    </section>
  );
}

/* Names are searched on the server: a tenant may have more devices than any menu can hold. */
function DeviceFilter({ tenant, value, set }: { tenant: string; value: string; set: (id: string) => void }) {
  const [word, setWord] = useState('');
  const settled = useDebounced(word.trim(), 300);
  const found = useLoad(settled, 0, (signal) => api.devices(tenant, { search: settled, page: 1, per_page: CHOICES }, signal));
  const chosen = useLoad(value, 0, (signal) => (value ? api.device(tenant, value, signal) : Promise.resolve(null)));
  const options = (found.data?.items ?? []).filter((device) => device.id !== value);
  return (
    <>
      <input type="search" className="search" placeholder="Find a device" aria-label="Find a device to filter by" value={word} onChange={(event) => setWord(event.target.value)} />
      <select className="select" aria-label="Device" value={value} onChange={(event) => set(event.target.value)}>
        <option value="">All devices</option>
        {value && <option value={value}>{chosen.data?.name ?? value}</option>}
        {options.map((device) => <option key={device.id} value={device.id}>{device.name}</option>)}
      </select>
    </>
  );
}
