/*
 * link - the live connection as a state machine: step (state, event) gives the next state and what to do.
 *
 * In:    START, STOP, OPEN, CLOSED (code), FRAME, TOKEN (outcome), TICK, RETRY. Time and chance come in
 *        with the event, so every run can be repeated.
 * Out:   effects for the shell: open, close, send, refresh, sign-in, snapshot.
 * Holds: 1. "live" is said only when the server has answered and confirmed every subscription.
 *        2. Each entry to live asks for a snapshot: what was missed meanwhile is read again.
 *        3. A token is refreshed at most once between two connections that proved good.
 *        4. At most LIMIT_TRIES tries, then it waits for a person.
 */
import { asObject } from './wire';

export const BACKOFF_MS_FIRST = 5_000;
export const BACKOFF_MS_MAX = 60_000;
export const LIMIT_TRIES = 10;
export const OPEN_MS_MAX = 10_000;
export const PING_MS = 30_000;
export const PONG_MS_MAX = 10_000;

/* What to listen to: a whole tenant, or chosen devices over one socket. */
export type Target = { kind: 'tenant'; tenant: string } | { kind: 'devices'; ids: readonly string[] };

export type Phase =
  | 'stopped' /* nobody listens */
  | 'connecting'
  | 'joining' /* open, waits for its subscriptions to be confirmed */
  | 'live'
  | 'waiting' /* will try again at `wakeAt` */
  | 'refreshing' /* the token was refused, a new one is on its way */
  | 'failed'; /* gave up; RETRY starts anew */

export interface Link {
  phase: Phase;
  target: Target | null;
  tries: number; /* failures in a row */
  wakeAt: number | null; /* when TICK is wanted */
  pingAt: number;
  pongBy: number | null;
  pending: readonly string[]; /* subscriptions not yet confirmed */
  proven: boolean; /* this connection has answered */
  refreshed: boolean; /* the token was renewed since the last proven connection */
  reason: string;
}

export type LinkEvent =
  | { type: 'START'; target: Target; now: number }
  | { type: 'STOP'; now: number }
  | { type: 'OPEN'; now: number }
  | { type: 'CLOSED'; code: number; now: number; chance: number }
  | { type: 'FRAME'; subscribed?: string | null; refused?: boolean; now: number }
  | { type: 'TOKEN'; outcome: 'ok' | 'refused' | 'unreachable'; now: number; chance: number }
  | { type: 'TICK'; now: number; chance: number }
  | { type: 'RETRY'; now: number };

export type Effect =
  | { type: 'open'; path: string }
  | { type: 'close' }
  | { type: 'send'; frame: { type: 'ping' } | { type: 'subscribe'; device_id: string } }
  | { type: 'refresh' }
  | { type: 'sign-in' }
  | { type: 'snapshot' };

export type Step = [Link, Effect[]];

export const STOPPED: Link = {
  phase: 'stopped', target: null, tries: 0, wakeAt: null, pingAt: 0, pongBy: null,
  pending: [], proven: false, refreshed: false, reason: '',
};

const NO_DEVICE = 'The server does not know this device.';

/* 5, 10, 20, 40, 60, 60 … seconds, each less up to a fifth, so that many viewers do not return at once. */
export function backoffMs(tries: number, chance: number): number {
  const full = Math.min(BACKOFF_MS_MAX, BACKOFF_MS_FIRST * 2 ** Math.max(0, tries - 1));
  return Math.round(full * (1 - 0.2 * chance));
}

export function pathOf(target: Target): string {
  return target.kind === 'tenant' ? `/api/v1/ws/tenants/${target.tenant}` : '/api/v1/ws';
}

function sameTarget(a: Target | null, b: Target): boolean {
  return a !== null && JSON.stringify(asObject(a)) === JSON.stringify(asObject(b));
}

function connect(link: Link, now: number): Step {
  const next: Link = {
    ...link, phase: 'connecting', wakeAt: now + OPEN_MS_MAX, pongBy: null, pending: [], proven: false, reason: '',
  };
  return [next, link.target ? [{ type: 'open', path: pathOf(link.target) }] : []];
}

function rest(link: Link, phase: Phase, reason: string): Link {
  return { ...link, phase, wakeAt: null, pongBy: null, pending: [], proven: false, reason };
}

function retryLater(link: Link, now: number, chance: number, reason: string): Step {
  const tries = link.tries + 1;
  if (tries > LIMIT_TRIES) return [rest({ ...link, tries: LIMIT_TRIES }, 'failed', reason), []];
  return [{ ...rest(link, 'waiting', reason), tries, wakeAt: now + backoffMs(tries, chance) }, []];
}

function goLive(link: Link, now: number): Step {
  /* The first ping goes at once: its pong proves the way in both directions. */
  const next: Link = { ...link, phase: 'live', pending: [], pingAt: now + PING_MS, pongBy: now + PONG_MS_MAX };
  return [{ ...next, wakeAt: now + PONG_MS_MAX }, [{ type: 'snapshot' }, { type: 'send', frame: { type: 'ping' } }]];
}

function onOpen(link: Link, now: number): Step {
  const ids = link.target?.kind === 'devices' ? link.target.ids : [];
  if (ids.length === 0) return goLive(link, now);
  const next: Link = { ...link, phase: 'joining', pending: ids };
  return [next, ids.map((id) => ({ type: 'send', frame: { type: 'subscribe', device_id: id } }))];
}

function onClosed(link: Link, code: number, now: number, chance: number): Step {
  if (code === 1008) {
    if (link.refreshed && !link.proven) return [rest(link, 'failed', 'Please sign in again.'), [{ type: 'sign-in' }]];
    return [rest(link, 'refreshing', 'The sign-in has run out.'), [{ type: 'refresh' }]];
  }
  if (code === 1003) return [rest(link, 'failed', NO_DEVICE), []];
  /* A node that leaves: another one answers. A second time in a row without a good connection is a fault. */
  if (code === 1012 && link.proven) return connect({ ...link, tries: 0 }, now);
  return retryLater(link, now, chance, code === 1011 ? 'The server had a fault.' : 'The connection was lost.');
}

function onFrame(link: Link, { subscribed, refused, now }: Extract<LinkEvent, { type: 'FRAME' }>): Step {
  if (link.phase === 'joining' && refused) return [rest(link, 'failed', NO_DEVICE), [{ type: 'close' }]];
  if (link.phase === 'joining' && subscribed !== undefined) {
    const pending = subscribed === null ? [] : link.pending.filter((id) => id !== subscribed);
    return pending.length === 0 ? goLive(link, now) : [{ ...link, pending }, []];
  }
  if (link.phase !== 'live') return [link, []];
  /* Anything that arrives shows that the server is there. */
  return [{ ...link, proven: true, refreshed: false, tries: 0, pongBy: null, wakeAt: link.pingAt }, []];
}

function onTick(link: Link, now: number, chance: number): Step {
  if (link.wakeAt === null || now < link.wakeAt) return [link, []];
  if (link.phase === 'waiting') return connect(link, now);
  if (link.phase === 'connecting' || link.phase === 'joining') {
    const [next] = retryLater(link, now, chance, 'The server does not answer.');
    return [next, [{ type: 'close' }]];
  }
  if (link.phase !== 'live') return [link, []];
  if (link.pongBy !== null && now >= link.pongBy) {
    const [next] = retryLater(link, now, chance, 'The server does not answer.');
    return [next, [{ type: 'close' }]];
  }
  const next: Link = { ...link, pingAt: now + PING_MS, pongBy: now + PONG_MS_MAX, wakeAt: now + PONG_MS_MAX };
  return [next, [{ type: 'send', frame: { type: 'ping' } }]];
}

function onToken(link: Link, event: Extract<LinkEvent, { type: 'TOKEN' }>): Step {
  if (link.phase !== 'refreshing') return [link, []];
  if (event.outcome === 'ok') return connect({ ...link, refreshed: true }, event.now);
  if (event.outcome === 'refused') return [rest(link, 'failed', 'Please sign in again.'), [{ type: 'sign-in' }]];
  return retryLater(link, event.now, event.chance, 'The server cannot be reached.');
}

function onStart(link: Link, target: Target, now: number): Step {
  if (sameTarget(link.target, target) && link.phase !== 'stopped') return [link, []];
  const [next, effects] = connect({ ...link, target, tries: 0 }, now);
  return [next, link.phase === 'stopped' ? effects : [{ type: 'close' }, ...effects]];
}

export function step(link: Link, event: LinkEvent): Step {
  switch (event.type) {
    case 'START':
      return onStart(link, event.target, event.now);
    case 'STOP':
      return link.phase === 'stopped' ? [link, []] : [STOPPED, [{ type: 'close' }]];
    case 'OPEN':
      return link.phase === 'connecting' ? onOpen(link, event.now) : [link, []];
    case 'CLOSED':
      if (link.phase !== 'connecting' && link.phase !== 'joining' && link.phase !== 'live') return [link, []];
      return onClosed(link, event.code, event.now, event.chance);
    case 'FRAME':
      return onFrame(link, event);
    case 'TOKEN':
      return onToken(link, event);
    case 'TICK':
      return onTick(link, event.now, event.chance);
    case 'RETRY':
      return link.phase === 'failed' || link.phase === 'waiting' ? connect({ ...link, tries: 0 }, event.now) : [link, []];
  }
}
