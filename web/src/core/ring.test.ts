import { expect, it } from 'vitest';
import { LIMIT_METRICS, Ring, breakGaps } from './ring';

const fill = (ring: Ring, ...points: [number, number][]) =>
  points.map(([at, value]) => ring.push({ deviceId: 'd', at: at * 1000, values: { t: value } }));

it('keeps the newest points only', () => {
  const ring = new Ring(3);
  fill(ring, [1, 1], [2, 2], [3, 3], [4, 4], [5, 5]);
  expect(ring.columns(['t'])).toEqual([[3, 4, 5], [3, 4, 5]]);
});

it('puts a late reading in its place, also when full', () => {
  const ring = new Ring(4);
  fill(ring, [1, 1], [5, 5], [3, 3]);
  expect(ring.columns(['t'])[0]).toEqual([1, 3, 5]);
  fill(ring, [7, 7], [4, 4], [6, 6]);
  expect(ring.columns(['t'])).toEqual([[4, 5, 6, 7], [4, 5, 6, 7]]);
});

it('drops what is older than a full ring', () => {
  const ring = new Ring(2);
  expect(fill(ring, [2, 2], [3, 3], [1, 1])).toEqual([true, true, false]);
});

it('merges readings of the same time', () => {
  const ring = new Ring(4);
  fill(ring, [1, 1], [2, 2]);
  ring.push({ deviceId: 'd', at: 2000, values: { h: 40 } });
  expect(ring.columns(['t', 'h'])).toEqual([[1, 2], [1, 2], [undefined, 40]]);
});

it('agrees with sorting for any order of arrival', () => {
  const ring = new Ring(50);
  let seed = 7;
  const next = () => (seed = (seed * 1103515245 + 12345) % 2147483648);
  const kept: number[] = [];
  for (let i = 0; i < 500; i++) {
    const at = next() % 1000;
    if (ring.push({ deviceId: 'd', at: at * 1000, values: { t: at } }) && !kept.includes(at)) kept.push(at);
    kept.sort((a, b) => a - b).splice(0, Math.max(0, kept.length - 50));
    expect(ring.columns(['t'])).toEqual([kept, kept]);
  }
});

it('bounds the number of metrics', () => {
  const ring = new Ring(2);
  const values = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`m${i}`, i]));
  ring.push({ deviceId: 'd', at: 1, values });
  expect(ring.metrics).toHaveLength(LIMIT_METRICS);
});

it('shows a long silence as a gap', () => {
  expect(breakGaps([[0, 10, 20, 300], [1, 2, 3, 4]])).toEqual([[0, 10, 20, 30, 300], [1, 2, 3, null, 4]]);
  expect(breakGaps([[], []])).toEqual([[], []]);
});
