/*
 * store - what is known now about the devices on the screen, from REST answers and live frames alike.
 *
 * In:    snapshot (devices, when it was asked for), apply (frame, when it came).
 * Out:   get (id), alerts; listeners are called once per tick of the scheduler given, however many
 *        frames came in between; taps see each reading at once.
 * Bound: only the watched devices are kept (LIMIT_WATCHED), LIMIT_ALERTS live alerts.
 * Holds: a value never gives way to an older one; an answer that was asked for before a status frame
 *        came never takes that status back.
 */
import type { AlertEvent, Device, DeviceStatus, Frame, Reading } from './wire';

export const LIMIT_WATCHED = 500;
export const LIMIT_ALERTS = 200;

export interface Metric {
  value: number | null;
  at: number;
}

/* Replaced, never changed in place: a view that is the same object has nothing new. */
export interface LiveDevice {
  id: string;
  status: DeviceStatus;
  statusAt: number | null; /* last_seen as the platform said it with the status */
  statusCameAt: number; /* our clock */
  lastSeen: number | null;
  metrics: Readonly<Record<string, Metric>>;
}

export interface LiveAlert extends AlertEvent {
  cameAt: number;
}

export type Schedule = (run: () => void) => void;

function newest(a: number | null, b: number | null): number | null {
  return a === null ? b : b === null ? a : Math.max(a, b);
}

export class LiveStore {
  private devices = new Map<string, LiveDevice>();
  private recent: readonly LiveAlert[] = [];
  private readonly listeners = new Set<() => void>();
  private readonly taps = new Set<(reading: Reading) => void>();
  private scheduled = false;
  /** Status frames so far, of all devices: lists and counts that depend on them are read again. */
  statusFrames = 0;

  constructor(private readonly schedule: Schedule) {}

  listen = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  tap(listener: (reading: Reading) => void): () => void {
    this.taps.add(listener);
    return () => this.taps.delete(listener);
  }

  get(id: string): LiveDevice | undefined {
    return this.devices.get(id);
  }

  /* Newest first. */
  get alerts(): readonly LiveAlert[] {
    return this.recent;
  }

  /* From now on exactly these devices are kept; what is newer than the answer stays. */
  snapshot(answer: readonly Device[], askedAt: number): void {
    const kept = new Map<string, LiveDevice>();
    for (const device of answer.slice(0, LIMIT_WATCHED)) {
      kept.set(device.id, this.merge(this.devices.get(device.id), device, askedAt));
    }
    this.devices = kept;
    this.changed();
  }

  apply(frame: Frame, now: number): void {
    if (frame.type === 'telemetry') {
      this.addReading(frame.reading);
      this.taps.forEach((tap) => tap(frame.reading));
    } else if (frame.type === 'status') {
      this.setStatus(frame.deviceId, frame.status, frame.lastSeen, now);
    } else if (frame.type === 'alert') {
      this.addAlert(frame.alert, now);
    }
  }

  addReading(reading: Reading): void {
    const old = this.devices.get(reading.deviceId);
    if (!old) return;
    const next = this.withReading(old, reading);
    if (next !== old) this.put(next);
  }

  clear(): void {
    this.devices.clear();
    this.recent = [];
    this.changed();
  }

  private merge(old: LiveDevice | undefined, device: Device, askedAt: number): LiveDevice {
    const fresh: LiveDevice = {
      id: device.id, status: device.status, statusAt: device.lastSeen, statusCameAt: 0,
      lastSeen: device.lastSeen, metrics: {},
    };
    const before = old ?? fresh;
    const stale = before.statusCameAt >= askedAt || (before.statusAt ?? 0) > (device.lastSeen ?? 0);
    const merged: LiveDevice = stale ? before : { ...fresh, statusCameAt: before.statusCameAt, metrics: before.metrics };
    const seen = { ...merged, lastSeen: newest(before.lastSeen, device.lastSeen) };
    return device.latest ? this.withReading(seen, device.latest) : seen;
  }

  private withReading(old: LiveDevice, reading: Reading): LiveDevice {
    const metrics: Record<string, Metric> = { ...old.metrics };
    let changed = false;
    for (const [name, value] of Object.entries(reading.values)) {
      const known = metrics[name];
      if (known && known.at > reading.at) continue;
      metrics[name] = { value, at: reading.at };
      changed = true;
    }
    const lastSeen = newest(old.lastSeen, reading.at);
    return changed || lastSeen !== old.lastSeen ? { ...old, metrics, lastSeen } : old;
  }

  private setStatus(id: string, status: DeviceStatus, lastSeen: number | null, now: number): void {
    this.statusFrames++;
    this.changed();
    const old = this.devices.get(id);
    if (!old || (lastSeen !== null && old.statusAt !== null && lastSeen < old.statusAt)) return;
    const statusAt = newest(old.statusAt, lastSeen);
    this.put({ ...old, status, statusAt, statusCameAt: now, lastSeen: newest(old.lastSeen, lastSeen) });
  }

  private addAlert(alert: AlertEvent, now: number): void {
    if (this.recent.some((known) => known.key === alert.key)) return;
    const sorted = [{ ...alert, cameAt: now }, ...this.recent].sort((a, b) => b.at - a.at);
    this.recent = sorted.slice(0, LIMIT_ALERTS);
    this.changed();
  }

  private put(device: LiveDevice): void {
    this.devices.set(device.id, device);
    this.changed();
  }

  private changed(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    this.schedule(() => {
      this.scheduled = false;
      this.listeners.forEach((listener) => listener());
    });
  }
}
