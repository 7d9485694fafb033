/*
 * api - the REST calls of the dashboard, each a method that says what it returns.
 *
 * Holds: a 401 leads to one refresh and one more try, never to a loop; it ends the session only when
 *        the refresh was refused, or of no use; every failure is an ApiError.
 */
import type { Fetch, Session } from './auth';
import { ApiError, isAbort, problemOf } from './problem';
import * as wire from './wire';

export interface Page<T> {
  items: T[];
  page: number;
  perPage: number;
  total: number;
}

export interface Secret {
  deviceId: string;
  secret: string;
}

export type RuleDraft = Pick<wire.AlertRule, 'deviceId' | 'metric' | 'operator' | 'threshold' | 'cooldownMinutes' | 'active'>;
/* More rules than this on one device are not listed. */
const RULES_MAX = 500;

export type Query = Record<string, string | number | undefined>;

export function queryOf(query: Query): string {
  const pairs = Object.entries(query).filter(([, value]) => value !== undefined && value !== '');
  return pairs.length === 0 ? '' : `?${new URLSearchParams(pairs.map(([k, v]) => [k, String(v)]))}`;
}

function pageOf<T>(body: wire.Json, decode: (row: wire.Json) => T | null): Page<T> {
  const rows = wire.asList(body['data']);
  const meta = wire.asObject(body['meta']);
  const count = (name: string, fallback: number) => (typeof meta[name] === 'number' ? (meta[name] as number) : fallback);
  return {
    items: rows.flatMap((row) => decode(row) ?? []),
    page: count('page', 1),
    perPage: count('per_page', rows.length),
    total: count('total', rows.length),
  };
}

/* The secret is shown once by the server; where it stands in the answer is read with some tolerance. */
function secretOf(data: wire.Json, deviceId: string): Secret {
  const inner = wire.asObject(data['credentials']);
  const secret = wire.asText(data['secret']) || wire.asText(data['device_secret']) || wire.asText(inner['secret']);
  return { deviceId: wire.asText(data['id']) || deviceId, secret };
}

function ruleBody(rule: RuleDraft): wire.Json {
  return {
    device_id: rule.deviceId, metric: rule.metric, operator: rule.operator,
    threshold: rule.threshold, cooldown_minutes: rule.cooldownMinutes, active: rule.active,
  };
}

export class Api {
  constructor(private readonly session: Session, private readonly fetch: Fetch) {}

  async me(signal?: AbortSignal): Promise<wire.User> {
    return wire.decodeUser(wire.asObject((await this.call('GET', '/auth/me', undefined, signal))['data']));
  }

  async devices(tenant: string, query: Query, signal?: AbortSignal): Promise<Page<wire.Device>> {
    return pageOf(await this.call('GET', `/tenants/${tenant}/devices${queryOf(query)}`, undefined, signal), wire.decodeDevice);
  }

  async device(tenant: string, id: string, signal?: AbortSignal): Promise<wire.Device> {
    const body = await this.call('GET', `/tenants/${tenant}/devices/${id}`, undefined, signal);
    return wire.decodeDevice(wire.asObject(body['data']));
  }

  async createDevice(tenant: string, name: string, type: string): Promise<Secret> {
    const body = await this.call('POST', `/tenants/${tenant}/devices`, { name, device_type: type, attributes: {} });
    return secretOf(wire.asObject(body['data']), '');
  }

  async deleteDevice(tenant: string, id: string): Promise<void> {
    await this.call('DELETE', `/tenants/${tenant}/devices/${id}`);
  }

  async rotate(tenant: string, id: string): Promise<Secret> {
    const body = await this.call('POST', `/tenants/${tenant}/devices/${id}/credentials`, {});
    return { ...secretOf(wire.asObject(body['data']), id), deviceId: id };
  }

  async latest(tenant: string, id: string, signal?: AbortSignal): Promise<wire.Reading[]> {
    const path = `/tenants/${tenant}/devices/${id}/telemetry/latest`;
    return wire.decodeReadings((await this.call('GET', path, undefined, signal))['data'], id);
  }

  async telemetry(tenant: string, id: string, query: Query, signal?: AbortSignal): Promise<wire.Reading[]> {
    const path = `/tenants/${tenant}/devices/${id}/telemetry${queryOf(query)}`;
    return wire.decodeReadings((await this.call('GET', path, undefined, signal))['data'], id);
  }

  async aggregated(tenant: string, id: string, from: number, to: number, signal?: AbortSignal): Promise<wire.Buckets> {
    const query = { start_time: new Date(from).toISOString(), end_time: new Date(to).toISOString() };
    const path = `/tenants/${tenant}/devices/${id}/telemetry/aggregated${queryOf(query)}`;
    return wire.decodeBuckets((await this.call('GET', path, undefined, signal))['data'], id);
  }

  async rules(tenant: string, deviceId: string, signal?: AbortSignal): Promise<wire.AlertRule[]> {
    const path = `/tenants/${tenant}/alert-rules${queryOf({ device_id: deviceId, page: 1, per_page: RULES_MAX })}`;
    return pageOf(await this.call('GET', path, undefined, signal), wire.decodeRule).items;
  }

  async saveRule(tenant: string, id: string | null, rule: RuleDraft): Promise<void> {
    const path = `/tenants/${tenant}/alert-rules`;
    await (id === null ? this.call('POST', path, ruleBody(rule)) : this.call('PUT', `${path}/${id}`, ruleBody(rule)));
  }

  async deleteRule(tenant: string, id: string): Promise<void> {
    await this.call('DELETE', `/tenants/${tenant}/alert-rules/${id}`);
  }

  async alerts(tenant: string, query: Query, signal?: AbortSignal): Promise<Page<wire.AlertEvent>> {
    return pageOf(await this.call('GET', `/tenants/${tenant}/alert-events${queryOf(query)}`, undefined, signal), (row) => wire.decodeAlert(row));
  }

  private async call(method: string, path: string, body?: wire.Json, signal?: AbortSignal): Promise<wire.Json> {
    let answer = await this.send(method, path, body, signal);
    if (answer.status === 401) {
      const refreshed = await this.session.refresh();
      /* Whoever cannot be asked has refused nothing: the session stays, and is tried again. */
      if (refreshed === 'unreachable') throw new ApiError(0, 'The server cannot be reached.');
      if (refreshed === 'ok') answer = await this.send(method, path, body, signal);
      if (answer.status === 401) this.session.end('Your session has ended. Please sign in again.');
    }
    if (!answer.ok) throw await problemOf(answer);
    return answer.status === 204 ? {} : wire.asObject(await answer.json().catch(() => null));
  }

  private async send(method: string, path: string, body?: wire.Json, signal?: AbortSignal): Promise<Response> {
    const headers: Record<string, string> = { Accept: 'application/json' };
    if (this.session.token) headers['Authorization'] = `Bearer ${this.session.token}`;
    if (body) headers['Content-Type'] = 'application/json';
    try {
      return await this.fetch(`/api/v1${path}`, {
        method, headers, ...(body && { body: JSON.stringify(body) }), ...(signal && { signal }),
      });
    } catch (error) {
      if (isAbort(error)) throw error;
      throw new ApiError(0, 'The server cannot be reached.');
    }
  }
}
