import { describe, expect, it } from 'vitest';
import { decodeAlert, decodeBuckets, decodeDevice, decodeFrame, decodeReadings, decodeRule, metricsOf } from './wire';

const AT = '2024-05-01T10:00:00.000Z';
const ms = Date.parse(AT);

describe('frames', () => {
  const body = { device_id: 'd', payload: { temperature: 21.5, note: 'x', humidity: null }, timestamp: AT };
  it('of a device and of a tenant say the same', () => {
    const expected = { type: 'telemetry', reading: { deviceId: 'd', at: ms, values: { temperature: 21.5, humidity: null } } };
    expect(decodeFrame(JSON.stringify({ type: 'telemetry', data: body }))).toEqual(expected);
    const { device_id, ...rest } = body;
    expect(decodeFrame(JSON.stringify({ type: 'telemetry', device_id, data: rest }))).toEqual(expected);
  });
  it('of status and alerts', () => {
    expect(decodeFrame(JSON.stringify({ type: 'status', device_id: 'd', data: { status: 'online', last_seen: AT } })))
      .toEqual({ type: 'status', deviceId: 'd', status: 'online', lastSeen: ms });
    const alert = { alert_rule_id: 'r', device_id: 'd', metric: 'rssi', value: -90, message: 'm', timestamp: ms };
    expect(decodeFrame(JSON.stringify({ type: 'alert', data: alert })))
      .toMatchObject({ type: 'alert', alert: { ruleId: 'r', at: ms, value: -90 } });
  });
  it('that make no sense are dropped', () => {
    for (const text of ['', '[]', 'null', '{"type":"x"}', '{"type":"telemetry"}', '{"type":"telemetry","data":{"timestamp":"soon"}}']) {
      expect(decodeFrame(text)).toBeNull();
    }
  });
  it('confirm and refuse subscriptions', () => {
    expect(decodeFrame('{"type":"error","data":{"message":"no"}}')).toEqual({ type: 'refused' });
    expect(decodeFrame('{"type":"subscription_confirmed","device_id":"d"}')).toEqual({ type: 'subscribed', deviceId: 'd' });
    expect(decodeFrame('{"type":"subscription_confirmed"}')).toEqual({ type: 'subscribed', deviceId: null });
  });
});

describe('rows', () => {
  it('take metrics from columns and payload, and nothing else', () => {
    expect(metricsOf({ id: 1, temperature: 20, rssi: null, sample_count: 3, payload: { temperature: 9, rssi: -70, co2: 400, timestamp: 5 } }))
      .toEqual({ temperature: 20, rssi: -70, co2: 400 });
  });
  it('come in the order of time, whether one or many', () => {
    const rows = [{ time_bucket: AT, temperature: 2 }, { time_bucket: '2024-05-01T09:00:00Z', temperature: 1 }];
    expect(decodeReadings(rows, 'd').map((row) => row.values['temperature'])).toEqual([1, 2]);
    expect(decodeReadings(rows[0], 'd')).toHaveLength(1);
    expect(decodeReadings(null, 'd')).toEqual([]);
  });
  it('of buckets are told apart by aggregate', () => {
    const row = { time_bucket: AT, temperature: 2, temperature_min: 1, temperature_max: 4, temperature_last: 3, co2_max: 9, sample_count: 7 };
    const buckets = decodeBuckets([row], 'd');
    expect(buckets.avg[0]!.values).toEqual({ temperature: 2, co2_max: 9 });
    expect([buckets.min, buckets.max, buckets.last].map(([one]) => one!.values['temperature'])).toEqual([1, 4, 3]);
  });
  it('of devices may lack anything', () => {
    expect(decodeDevice({ id: 'd' })).toMatchObject({ name: 'd', status: 'unknown', lastSeen: null, latest: null });
    expect(decodeDevice({ id: 'd', latest_at: AT, latest: { temperature: 5 } }).latest!.at).toBe(ms);
    expect(decodeDevice({ id: 'd', last_seen: AT, latest: { temperature: 4 } }).latest)
      .toEqual({ deviceId: 'd', at: ms, values: { temperature: 4 } });
  });
  it('of rules have their operator as symbol', () => {
    expect(decodeRule({ operator: 'gte' }).operator).toBe('>=');
    expect(decodeRule({ operator: '!=' }).operator).toBe('!=');
    expect(decodeRule({ active: false }).active).toBe(false);
  });
  it('of stored alerts and live alerts have the same key', () => {
    const stored = decodeAlert({ id: 'e', alert_rule_id: 'r', device_id: 'd', metric_name: 'rssi', metric_value: 1, fired_at: AT });
    const live = decodeAlert({ alert_rule_id: 'r', device_id: 'd', metric: 'rssi', value: 1, timestamp: ms });
    expect(stored).toEqual(live);
  });
});
