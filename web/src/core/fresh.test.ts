import { describe, expect, it } from 'vitest';
import { freshAlerts, outdatesRules } from './fresh';
import type { AlertRule } from './wire';

const alert = (ruleId: string, at: number, deviceId = 'd', cameAt = at) =>
  ({ key: `${ruleId}|${deviceId}|${at}`, ruleId, deviceId, metric: 'm', value: 1, message: '', at, cameAt });
const rule = (id: string, lastFiredAt: number | null): AlertRule =>
  ({ id, deviceId: 'd', metric: 'm', operator: '>', threshold: 0, cooldownMinutes: 5, active: true, lastFiredAt });

it('alerts are fresh from the moment that the answer was asked for, of the device asked about', () => {
  const all = [alert('r', 30), alert('r', 20, 'other'), alert('r', 5, 'd', 20), alert('r', 19)];
  expect(freshAlerts(all, 20, 'd')).toEqual([all[0], all[2]]);
  expect(freshAlerts(all, 20, '')).toEqual([all[0], all[1], all[2]]);
});

describe('a list of rules is out of date', () => {
  it.each([
    ['when a rule fired that is not in it', [], true],
    ['when another rule fired than those in it', [rule('other', 100)], true],
    ['when a rule fired that it shows as never fired', [rule('r', null)], true],
    ['when a rule fired later than it shows', [rule('r', 99)], true],
    ['not when it shows this very alert', [rule('r', 100)], false],
    ['not when it shows a later one', [rule('r', 101)], false],
  ])('%s', (_, rules, out) => {
    expect(outdatesRules(rules, alert('r', 100))).toBe(out);
  });
});
