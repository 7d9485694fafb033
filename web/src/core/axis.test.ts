import { describe, expect, it } from 'vitest';
import { timeRange, valueRange } from './axis';

const T = 1_800_000_000;

describe('the time axis', () => {
  it.each([
    ['one point: the minute up to it', [T], [T - 60, T]],
    ['points closer than a minute: the minute up to the last', [T - 1, T - 0.5, T], [T - 60, T]],
    ['more than a minute: what they span', [T - 900, T - 3, T], [T - 900, T]],
    ['no point: nothing', [], [null, null]],
  ])('shows for %s', (_, seconds, range) => {
    expect(timeRange(seconds)).toEqual(range);
  });
});

describe('the value axis', () => {
  it.each([
    ['one value', 21.5, 21.5, [21.25, 21.75]],
    ['a large one', 1000, 1000, [995, 1005]],
    ['a large negative one', -1000, -1000, [-1005, -995]],
    ['a small one', 0.003, 0.003, [0, 0.006]],
    ['zero', 0, 0, [-0.25, 0.25]],
    ['a span', 0, 100, [-12, 112]],
    ['none', null, null, [0, 1]],
  ])('has room around %s', (_, min, max, [low, high]) => {
    const range = valueRange(min, max);
    expect(range[0]).toBeCloseTo(low!, 9);
    expect(range[1]).toBeCloseTo(high!, 9);
  });
});
