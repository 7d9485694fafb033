/*
 * alert_list - stored alerts page by page; on the first page the live ones stand above them.
 *
 * An alert that came after the page was asked for may not be in the answer: it is shown from the live
 * store until the page is read again, which happens a moment later.
 */
import { useEffect } from 'react';
import { formatValue, labelOf } from '../core/format';
import type { AlertEvent } from '../core/wire';
import { useDeviceName, useFreshAlerts, useLoad } from '../hooks';
import { api } from '../services';
import { announce } from './announcer';
import { Ago, Empty, Link, Pager, Problem, Skeleton, When } from './basics';

interface Props {
  tenant: string;
  deviceId: string; /* empty: all */
  epoch: number;
  page: number;
  go: (page: number) => void;
  perPage: number;
  showDevice?: boolean;
}

export function AlertList({ tenant, deviceId, epoch, page, go, perPage, showDevice = false }: Props) {
  const query = { device_id: deviceId, page, per_page: perPage };
  const list = useLoad(JSON.stringify(query), epoch, (signal) => api.alerts(tenant, query, signal));
  const fresh = useFreshAlerts(list, deviceId);
  const newest = fresh[0];

  useEffect(() => {
    if (newest && list.askedAt > 0) announce(`Alert: ${newest.message || labelOf(newest.metric)}`);
  }, [newest?.key, list.askedAt > 0]);

  if (list.error && !list.data) return <Problem text={list.error} retry={list.reload} />;
  if (!list.data) return <Skeleton rows={5} label="Loading alerts" />;
  const stored = list.data.items;
  const both = page === 1 ? [...fresh, ...stored] : stored;
  const rows = [...new Map(both.map((alert) => [alert.key, alert])).values()];
  return (
    <>
      {list.error && <Problem text={list.error} retry={list.reload} />}
      {rows.length === 0 && <Empty title="No alerts.">Nothing has crossed a threshold.</Empty>}
      {rows.length > 0 && (
        <ul className="panel alerts">
          {rows.map((alert) => <AlertRow key={alert.key} alert={alert} tenant={showDevice ? tenant : null} />)}
        </ul>
      )}
      <Pager page={page} perPage={perPage} total={list.data.total} go={go} />
    </>
  );
}

function AlertRow({ alert, tenant }: { alert: AlertEvent; tenant: string | null }) {
  return (
    <li className={tenant ? 'alert with-device' : 'alert'}>
      <span className="alert-mark" aria-hidden="true">!</span>
      <p className="alert-message">{alert.message || `${labelOf(alert.metric)} crossed its threshold`}</p>
      {tenant && <p className="alert-device"><DeviceLink id={alert.deviceId} tenant={tenant} /></p>}
      <p className="alert-value"><span className="hidden">{labelOf(alert.metric)} </span>{formatValue(alert.metric, alert.value)}</p>
      <p className="alert-when muted"><When at={alert.at} /><span className="alert-ago"><Ago at={alert.at} /></span></p>
    </li>
  );
}

function DeviceLink({ id, tenant }: { id: string; tenant: string }) {
  const name = useDeviceName(id, tenant);
  return <Link to={`/devices/${id}`}>{name ?? id}</Link>;
}
