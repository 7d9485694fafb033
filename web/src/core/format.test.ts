import { describe, expect, it } from 'vitest';
import { formatAgo, formatNumber, formatValue, isoTime, labelOf, plural, sortMetrics } from './format';

describe('numbers', () => {
  it.each([[21.456, '21.46'], [21.5, '21.5'], [100, '100'], [1013.25, '1013.3'], [54321.4, '54321'], [0.1234, '0.123'], [-0.0001, '-1.00e-4'],
    [0, '0'], [-70, '-70'], [1e9, '1.00e+9'], [null, '–'], [NaN, '–']])('%s is %s', (value, text) => {
    expect(formatNumber(value)).toBe(text);
  });
  it('carry their unit', () => {
    expect(formatValue('temperature', 21.5)).toBe('21.5 °C');
    expect(formatValue('humidity', 40)).toBe('40%');
    expect(formatValue('co2', 400)).toBe('400');
    expect(formatValue('rssi', null)).toBe('–');
  });
});

describe('times', () => {
  it.each([[0, 'just now'], [12, '12 s ago'], [59, '59 s ago'], [60, '1 min ago'], [7199, '1 h ago'],
    [86400 * 3, '3 d ago'], [-30, 'in 30 s']])('%s seconds back is "%s"', (seconds, text) => {
    expect(formatAgo(1e12 - seconds * 1000, 1e12)).toBe(text);
  });
  it('can be missing', () => {
    expect(formatAgo(null, 0)).toBe('never');
    expect(isoTime(null)).toBe('');
    expect(isoTime(0)).toBe('1970-01-01T00:00:00.000Z');
  });
});

it('labels and sorts metrics, the usual ones first', () => {
  expect(labelOf('rssi')).toBe('RSSI');
  expect(labelOf('fan_speed')).toBe('Fan speed');
  expect(sortMetrics(['co2', 'rssi', 'b', 'temperature'])).toEqual(['temperature', 'rssi', 'b', 'co2']);
});

it('counts', () => {
  expect([plural(1, 'device'), plural(1200, 'device')]).toEqual(['1 device', '1,200 devices']);
});
