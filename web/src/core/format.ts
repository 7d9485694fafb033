/*
 * format - numbers, units and times as people read them. Pure; `now` is always given.
 */

const UNITS: Record<string, string> = {
  temperature: '°C', humidity: '%', pressure: 'hPa', battery: '%', rssi: 'dBm',
};
const ORDER = Object.keys(UNITS);
const LABELS: Record<string, string> = { rssi: 'RSSI', snr: 'SNR', co2: 'CO₂', tvoc: 'TVOC', pm25: 'PM2.5', pm10: 'PM10' };

export const MISSING = '–';

export function unitOf(metric: string): string {
  return UNITS[metric] ?? '';
}

export function labelOf(metric: string): string {
  const known = LABELS[metric];
  if (known) return known;
  const words = metric.replace(/_+/g, ' ').trim();
  return words === '' ? metric : words.charAt(0).toUpperCase() + words.slice(1);
}

/* The well-known metrics first, in their usual order, then the others by name. */
export function sortMetrics(names: Iterable<string>): string[] {
  const rank = (name: string) => (ORDER.includes(name) ? ORDER.indexOf(name) : ORDER.length);
  return [...names].sort((a, b) => rank(a) - rank(b) || a.localeCompare(b));
}

/* As many digits as a sensor may mean before they turn into noise; never scientific for everyday sizes. */
export function formatNumber(value: number | null | undefined): string {
  if (value == null || !Number.isFinite(value)) return MISSING;
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e7 || size < 1e-3)) return value.toExponential(2);
  const digits = size >= 10_000 ? 0 : size >= 100 ? 1 : size >= 1 ? 2 : 3;
  const text = value.toFixed(digits).replace(/\.?0+$/, digits > 0 ? '' : '$&');
  return text === '-0' ? '0' : text;
}

export function formatValue(metric: string, value: number | null | undefined): string {
  const text = formatNumber(value);
  const unit = unitOf(metric);
  if (text === MISSING || unit === '') return text;
  return unit === '%' ? text + unit : `${text} ${unit}`;
}

const STEPS: [number, number, string][] = [
  [60, 1, 's'], [3600, 60, 'min'], [86400, 3600, 'h'], [86400 * 60, 86400, 'd'],
];

/* "just now", "12 s ago", "in 5 s" (a device's clock may run ahead of ours). */
export function formatAgo(at: number | null, now: number): string {
  if (at === null) return 'never';
  const seconds = Math.round((now - at) / 1000);
  const size = Math.abs(seconds);
  if (size < 2) return 'just now';
  for (const [below, unit, name] of STEPS) {
    if (size < below) {
      const text = `${Math.floor(size / unit)} ${name}`;
      return seconds < 0 ? `in ${text}` : `${text} ago`;
    }
  }
  return formatDate(at);
}

const dateOnly = new Intl.DateTimeFormat(undefined, { year: 'numeric', month: 'short', day: 'numeric' });
const dateTime = new Intl.DateTimeFormat(undefined, {
  month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23',
});

export function formatDate(at: number): string {
  return dateOnly.format(at);
}

/* In the zone of the person who reads it. */
export function formatTime(at: number | null): string {
  return at === null ? MISSING : dateTime.format(at);
}

export function isoTime(at: number | null): string {
  return at === null || Math.abs(at) > 8.64e15 ? '' : new Date(at).toISOString();
}

export function plural(count: number, one: string, many = `${one}s`): string {
  return `${count.toLocaleString('en')} ${count === 1 ? one : many}`;
}
