/*
 * ring - the last N readings of one device, in order of their time, ready for a chart.
 *
 * Bound: `capacity` points (the oldest goes first), LIMIT_METRICS columns (further ones are not kept).
 * Holds: times strictly ascend; a late reading is put in its place; one with the time of a point
 *        that is there merges into it; one older than a full ring's oldest point is dropped.
 */
import type { Reading, Values } from './wire';

export const LIMIT_POINTS = 1000;
export const LIMIT_METRICS = 32;

export type Cell = number | null | undefined;
export type Columns = [seconds: number[], ...metrics: Cell[][]];

export class Ring {
  private times: number[] = [];
  private rows: Values[] = [];
  private start = 0;
  private readonly names = new Set<string>();
  /** Grows with each change; a chart redraws when it differs. */
  version = 0;

  constructor(readonly capacity = LIMIT_POINTS) {}

  get length(): number {
    return this.times.length;
  }

  get metrics(): string[] {
    return [...this.names];
  }

  /* True when the reading is kept. */
  push(reading: Reading): boolean {
    const values = this.admit(reading.values);
    let at = this.length;
    while (at > 0 && this.timeAt(at - 1) > reading.at) at--;
    if (at > 0 && this.timeAt(at - 1) === reading.at) {
      this.rows[this.slot(at - 1)] = { ...this.rows[this.slot(at - 1)], ...values };
    } else if (this.length < this.capacity) {
      this.insert(at, reading.at, values);
    } else if (at === 0) {
      return false;
    } else {
      this.replaceOldest(at, reading.at, values);
    }
    this.version++;
    return true;
  }

  clear(): void {
    this.times = [];
    this.rows = [];
    this.start = 0;
    this.names.clear();
    this.version++;
  }

  /* A null that was sent is a gap; a metric that a reading does not speak of is no gap, but undefined. */
  columns(metrics: readonly string[]): Columns {
    const seconds = new Array<number>(this.length);
    const columns = metrics.map(() => new Array<Cell>(this.length));
    for (let i = 0; i < this.length; i++) {
      seconds[i] = this.timeAt(i) / 1000;
      const row = this.rows[this.slot(i)];
      metrics.forEach((name, k) => (columns[k]![i] = row?.[name]));
    }
    return [seconds, ...columns];
  }

  private slot(index: number): number {
    return (this.start + index) % this.capacity;
  }

  private timeAt(index: number): number {
    return this.times[this.slot(index)] ?? -Infinity;
  }

  private admit(values: Values): Values {
    const kept: Values = {};
    for (const [name, value] of Object.entries(values)) {
      if (!this.names.has(name) && this.names.size >= LIMIT_METRICS) continue;
      this.names.add(name);
      kept[name] = value;
    }
    return kept;
  }

  /* Only while it fills: `start` is 0 then, so index and slot are the same. */
  private insert(index: number, time: number, values: Values): void {
    this.times.splice(index, 0, time);
    this.rows.splice(index, 0, values);
  }

  /* Full: the oldest slot becomes the newest, then the point sinks to its place. */
  private replaceOldest(index: number, time: number, values: Values): void {
    this.start = (this.start + 1) % this.capacity;
    let i = this.capacity - 1;
    for (; i > index - 1; i--) {
      this.times[this.slot(i)] = this.times[this.slot(i - 1)]!;
      this.rows[this.slot(i)] = this.rows[this.slot(i - 1)]!;
    }
    this.times[this.slot(i)] = time;
    this.rows[this.slot(i)] = values;
  }
}

const GAP_STEPS = 6;
const GAP_SECONDS_MIN = 5;

/* A silence of many usual steps is shown as one: a row of nulls is put into it. */
export function breakGaps([seconds, ...columns]: Columns): Columns {
  const steps = seconds.slice(1).map((time, i) => time - seconds[i]!).sort((a, b) => a - b);
  const usual = steps[Math.floor(steps.length / 2)] ?? 0;
  const limit = Math.max(GAP_SECONDS_MIN, usual * GAP_STEPS);
  const out: Columns = [[], ...columns.map((): Cell[] => [])];
  seconds.forEach((time, i) => {
    const before = seconds[i - 1];
    if (before !== undefined && time - before > limit) {
      out[0].push(before + usual);
      columns.forEach((_, k) => (out[k + 1] as Cell[]).push(null));
    }
    out[0].push(time);
    columns.forEach((column, k) => (out[k + 1] as Cell[]).push(column[i]));
  });
  return out;
}
