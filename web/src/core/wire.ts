/*
 * wire - what the node sends, turned into what the dashboard works with.
 *
 * Strict in what is sent, tolerant in what is read: a field of the wrong type becomes null,
 * a frame that makes no sense becomes null and is dropped by the caller. Nothing here throws.
 */

export const STATUSES = ['online', 'idle', 'offline', 'error', 'provisioning'] as const;
export type DeviceStatus = (typeof STATUSES)[number] | 'unknown';
export type Values = Record<string, number | null>;
export type Json = Record<string, unknown>;

export interface Reading {
  deviceId: string;
  at: number; /* epoch milliseconds */
  values: Values;
}

export interface Device {
  id: string;
  name: string;
  type: string;
  status: DeviceStatus;
  lastSeen: number | null;
  createdAt: number | null;
  attributes: Json;
  latest: Reading | null;
}

export interface AlertEvent {
  key: string;
  ruleId: string;
  deviceId: string;
  metric: string;
  value: number | null;
  message: string;
  at: number;
}

export interface AlertRule {
  id: string;
  deviceId: string;
  metric: string;
  operator: string; /* always as symbol */
  threshold: number;
  cooldownMinutes: number;
  active: boolean;
  lastFiredAt: number | null;
}

export interface User {
  id: string;
  email: string;
  role: string;
  tenantId: string | null;
}

export type Frame =
  | { type: 'telemetry'; reading: Reading }
  | { type: 'alert'; alert: AlertEvent }
  | { type: 'status'; deviceId: string; status: DeviceStatus; lastSeen: number | null }
  | { type: 'pong' }
  | { type: 'refused' } /* of what was said last */
  | { type: 'subscribed'; deviceId: string | null };

export const OPERATORS = ['>', '>=', '<', '<=', '==', '!='] as const;
const SYMBOL_OF: Record<string, string> = { gt: '>', gte: '>=', lt: '<', lte: '<=', eq: '==', neq: '!=' };

/* Columns of a reading that are about it, not measured by it. */
const NOT_METRICS = new Set([
  'timestamp', 'time_bucket', 'sample_count', 'device_id', 'tenant_id', 'id', 'seq', 'created_at', 'payload',
]);

export function asObject(value: unknown): Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : {};
}

export function asList(value: unknown): Json[] {
  return Array.isArray(value) ? value.map(asObject) : [];
}

export function asText(value: unknown, fallback = ''): string {
  return typeof value === 'string' ? value : fallback;
}

/* RFC 3339 text or epoch milliseconds; null for anything else. */
export function asTime(value: unknown): number | null {
  if (typeof value === 'number') return Number.isFinite(value) ? value : null;
  if (typeof value !== 'string' || value === '') return null;
  const at = Date.parse(value);
  return Number.isNaN(at) ? null : at;
}

function asNumber(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}

export function asStatus(value: unknown): DeviceStatus {
  const text = asText(value).toLowerCase();
  return STATUSES.find((status) => status === text) ?? 'unknown';
}

/* Every metric of a reading: its columns first, then what only its payload holds. */
export function metricsOf(row: Json): Values {
  const values: Values = {};
  for (const source of [row, asObject(row['payload'])]) {
    for (const [name, value] of Object.entries(source)) {
      if (NOT_METRICS.has(name) || values[name] != null) continue;
      if (value === null || typeof value === 'number') values[name] = asNumber(value);
    }
  }
  return values;
}

export function decodeReading(row: Json, deviceId = ''): Reading | null {
  const at = asTime(row['timestamp'] ?? row['time_bucket'] ?? asObject(row['payload'])['timestamp']);
  if (at === null) return null;
  return { deviceId: asText(row['device_id'], deviceId), at, values: metricsOf(row) };
}

export function decodeReadings(data: unknown, deviceId: string): Reading[] {
  const rows = Array.isArray(data) ? asList(data) : data == null ? [] : [asObject(data)];
  return rows.flatMap((row) => decodeReading(row, deviceId) ?? []).sort((a, b) => a.at - b.at);
}

export const AGGREGATES = ['avg', 'min', 'max', 'last'] as const;
export type Aggregate = (typeof AGGREGATES)[number];
export type Buckets = Record<Aggregate, Reading[]>;

/* A bucket has the average under the metric's name, and name_min, name_max, name_last beside it. */
export function decodeBuckets(data: unknown, deviceId: string): Buckets {
  const out: Buckets = { avg: [], min: [], max: [], last: [] };
  for (const row of decodeReadings(data, deviceId)) {
    const own = (name: string) => !/_(min|max|last)$/.test(name) || !(name.replace(/_(min|max|last)$/, '') in row.values);
    const names = Object.keys(row.values).filter(own);
    for (const kind of AGGREGATES) {
      const suffix = kind === 'avg' ? '' : `_${kind}`;
      const values = names.map((name) => [name, row.values[name + suffix] ?? null] as const);
      out[kind].push({ deviceId, at: row.at, values: Object.fromEntries(values) });
    }
  }
  return out;
}

export function decodeDevice(row: Json): Device {
  const id = asText(row['id']);
  const lastSeen = asTime(row['last_seen']);
  const latest = row['latest'] == null ? null : asObject(row['latest']);
  return {
    id,
    name: asText(row['name'], id),
    type: asText(row['device_type']),
    status: asStatus(row['status']),
    lastSeen,
    createdAt: asTime(row['created_at']),
    attributes: asObject(row['attributes']),
    latest: latest && decodeReading({ ...latest, timestamp: row['latest_at'] ?? latest['timestamp'] ?? lastSeen }, id),
  };
}

export function decodeRule(row: Json): AlertRule {
  const operator = asText(row['operator'], '>');
  return {
    id: asText(row['id']),
    deviceId: asText(row['device_id']),
    metric: asText(row['metric']),
    operator: SYMBOL_OF[operator] ?? operator,
    threshold: asNumber(row['threshold']) ?? 0,
    cooldownMinutes: asNumber(row['cooldown_minutes']) ?? 5,
    active: row['active'] !== false,
    lastFiredAt: asTime(row['last_fired_at']),
  };
}

/* Both the stored row (metric_name, metric_value, fired_at) and the live frame (metric, value, timestamp). */
export function decodeAlert(row: Json, deviceId = ''): AlertEvent | null {
  const at = asTime(row['fired_at'] ?? row['timestamp']);
  if (at === null) return null;
  const ruleId = asText(row['alert_rule_id'] ?? row['rule_id']);
  const device = asText(row['device_id'], deviceId);
  return {
    key: `${ruleId}|${device}|${at}`,
    ruleId,
    deviceId: device,
    metric: asText(row['metric_name'] ?? row['metric']),
    value: asNumber(row['metric_value'] ?? row['value']),
    message: asText(row['message']),
    at,
  };
}

export function decodeUser(row: Json): User {
  return {
    id: asText(row['id']),
    email: asText(row['email']),
    role: asText(row['role']),
    tenantId: asText(row['tenant_id']) || null,
  };
}

/* One text message of the live socket; null when it is none of ours. */
export function decodeFrame(text: string): Frame | null {
  let top: Json;
  try {
    top = asObject(JSON.parse(text));
  } catch {
    return null;
  }
  const data = asObject(top['data']);
  const deviceId = asText(top['device_id'] ?? data['device_id']);
  switch (top['type']) {
    case 'pong':
      return { type: 'pong' };
    case 'error':
      return { type: 'refused' };
    case 'subscription_confirmed':
      return { type: 'subscribed', deviceId: deviceId || null };
    case 'telemetry': {
      const reading = decodeReading(data, deviceId);
      return reading && { type: 'telemetry', reading };
    }
    case 'alert': {
      const alert = decodeAlert(data, deviceId);
      return alert && { type: 'alert', alert };
    }
    case 'status':
      if (deviceId === '') return null;
      return { type: 'status', deviceId, status: asStatus(data['status']), lastSeen: asTime(data['last_seen']) };
    default:
      return null;
  }
}
