/*
 * axis - how far the axes of a chart reach. Pure.
 *
 * uPlot widens a lone time by itself before it asks, to years; so the times are asked here, not its range.
 */

/* Short enough that the first readings soon fill it, long enough that neighbouring ticks differ in their text. */
export const WINDOW_SECONDS_MIN = 60;

/* From the first time to the last (they ascend), or the minute up to the last where they span less. */
export function timeRange(seconds: ArrayLike<number>): [number, number] | [null, null] {
  const first = seconds[0];
  const last = seconds[seconds.length - 1];
  if (first === undefined || last === undefined) return [null, null];
  return [Math.min(first, last - WINDOW_SECONDS_MIN), last];
}

/* A flat line still needs room above and below, though not so much that a small value looks like none. */
export function valueRange(min: number | null, max: number | null): [number, number] {
  if (min === null || max === null) return [0, 1];
  const size = Math.max(Math.abs(min), Math.abs(max));
  const least = size === 0 ? 0.25 : Math.min(0.25, size);
  const room = Math.max((max - min) * 0.12, size * 0.005, least);
  return [min - room, max + room];
}
