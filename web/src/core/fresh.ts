/*
 * fresh - which live alerts an answer cannot know, because they came after it was asked for, and
 * which of them tell that it is out of date. Pure.
 */
import type { LiveAlert } from './store';
import type { AlertEvent, AlertRule } from './wire';

/* `deviceId` empty: of all devices. The order is kept. */
export function freshAlerts(alerts: readonly LiveAlert[], askedAt: number, deviceId: string): readonly LiveAlert[] {
  return alerts.filter((alert) => alert.cameAt >= askedAt && (deviceId === '' || alert.deviceId === deviceId));
}

/* A rule that was made elsewhere, or one that has fired since. */
export function outdatesRules(rules: readonly AlertRule[], alert: AlertEvent): boolean {
  const rule = rules.find((each) => each.id === alert.ruleId);
  return rule === undefined || rule.lastFiredAt === null || rule.lastFiredAt < alert.at;
}
