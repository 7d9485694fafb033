import { describe, expect, it } from 'vitest';
import { LIMIT_ALERTS, LiveStore } from './store';
import type { Device, Frame } from './wire';

const device = (over: Partial<Device> = {}): Device => ({
  id: 'd', name: 'D', type: 's', status: 'offline', lastSeen: 1000, createdAt: null, attributes: {}, latest: null, ...over,
});
const telemetry = (at: number, value: number | null, name = 'temperature'): Frame =>
  ({ type: 'telemetry', reading: { deviceId: 'd', at, values: { [name]: value } } });
const status = (name: 'online' | 'offline' | 'idle', lastSeen: number | null): Frame =>
  ({ type: 'status', deviceId: 'd', status: name, lastSeen });
const alert = (at: number): Frame =>
  ({ type: 'alert', alert: { key: `r|d|${at}`, ruleId: 'r', deviceId: 'd', metric: 'm', value: 1, message: '', at } });

function rig(first = device()) {
  const due: (() => void)[] = [];
  const store = new LiveStore((run) => due.push(run));
  store.snapshot([first], 0);
  return { store, due };
}

describe('readings', () => {
  it('never give way to an older one, each metric by itself', () => {
    const { store } = rig();
    store.apply(telemetry(5000, 21), 1);
    store.apply(telemetry(4000, 99), 2);
    store.apply(telemetry(4000, 50, 'humidity'), 3);
    expect(store.get('d')!.metrics).toEqual({ temperature: { value: 21, at: 5000 }, humidity: { value: 50, at: 4000 } });
    expect(store.get('d')!.lastSeen).toBe(5000);
  });
  it('survive a snapshot that knows only an older value', () => {
    const { store } = rig();
    store.apply(telemetry(5000, 21), 1);
    store.snapshot([device({ latest: { deviceId: 'd', at: 3000, values: { temperature: 3 } } })], 2);
    expect(store.get('d')!.metrics['temperature']).toEqual({ value: 21, at: 5000 });
  });
  it('of devices that are not on the screen are not kept, but reach the taps', () => {
    const { store } = rig();
    const seen: number[] = [];
    store.tap((reading) => seen.push(reading.at));
    store.apply({ type: 'telemetry', reading: { deviceId: 'other', at: 7, values: {} } }, 1);
    expect(store.get('other')).toBeUndefined();
    expect(seen).toEqual([7]);
  });
  it('leave the view untouched when nothing is new', () => {
    const { store } = rig();
    store.apply(telemetry(5000, 21), 1);
    const view = store.get('d');
    store.apply(telemetry(4000, 20), 2);
    expect(store.get('d')).toBe(view);
  });
});

describe('status', () => {
  it('follows frames in the order of last_seen', () => {
    const { store } = rig();
    store.apply(status('online', 3000), 10);
    store.apply(status('offline', 2000), 11);
    expect(store.get('d')!.status).toBe('online');
    store.apply(status('idle', 3000), 12);
    expect(store.get('d')!.status).toBe('idle');
  });
  it('goes offline although the device sent readings with a clock that runs ahead', () => {
    const { store } = rig();
    store.apply(status('online', 3000), 10);
    store.apply(telemetry(9000, 1), 11);
    store.apply(status('offline', 4000), 12);
    expect(store.get('d')!.status).toBe('offline');
  });
  it('is not taken back by an answer that was asked for earlier', () => {
    const { store } = rig();
    store.apply(status('online', 1000), 50);
    store.snapshot([device({ status: 'offline' })], 40);
    expect(store.get('d')!.status).toBe('online');
    store.snapshot([device({ status: 'offline', lastSeen: 1500 })], 60);
    expect(store.get('d')!.status).toBe('offline');
  });
});

describe('listeners', () => {
  it('are called once for many frames', () => {
    const { store, due } = rig();
    due.splice(0).forEach((run) => run());
    let calls = 0;
    store.listen(() => calls++);
    for (let at = 0; at < 100; at++) store.apply(telemetry(at, at), at);
    expect(due).toHaveLength(1);
    due[0]!();
    expect(calls).toBe(1);
  });
});

describe('alerts', () => {
  it('stand newest first, once each, within their bound', () => {
    const { store } = rig();
    for (const at of [3, 1, 2, 3]) store.apply(alert(at), at);
    expect(store.alerts.map((one) => one.at)).toEqual([3, 2, 1]);
    for (let at = 10; at < 10 + LIMIT_ALERTS; at++) store.apply(alert(at), at);
    expect(store.alerts).toHaveLength(LIMIT_ALERTS);
  });
});
