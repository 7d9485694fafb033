import { describe, expect, it } from 'vitest';
import { LIMIT_TRIES, OPEN_MS_MAX, PING_MS, PONG_MS_MAX, STOPPED, backoffMs, step, type Effect, type Link, type LinkEvent, type Target } from './link';

const TENANT: Target = { kind: 'tenant', tenant: 't' };
const DEVICES: Target = { kind: 'devices', ids: ['a', 'b'] };

function play(link: Link, ...events: LinkEvent[]): [Link, Effect[]] {
  const all: Effect[] = [];
  for (const event of events) {
    const [next, effects] = step(link, event);
    link = next;
    all.push(...effects);
  }
  return [link, all];
}
const start = (target: Target = TENANT): LinkEvent => ({ type: 'START', target, now: 0 });
const open = (now = 0): LinkEvent => ({ type: 'OPEN', now });
const frame = (now = 0): LinkEvent => ({ type: 'FRAME', now });
const tick = (now: number): LinkEvent => ({ type: 'TICK', now, chance: 0 });
const closed = (code: number, now = 0): LinkEvent => ({ type: 'CLOSED', code, now, chance: 0 });
const token = (outcome: 'ok' | 'refused' | 'unreachable'): LinkEvent => ({ type: 'TOKEN', outcome, now: 0, chance: 0 });
const kinds = (effects: Effect[]) => effects.map((effect) => effect.type);

describe('back-off', () => {
  it('begins with 5 s and doubles to 60 s', () => {
    expect([1, 2, 3, 4, 5, 9].map((n) => backoffMs(n, 0))).toEqual([5000, 10000, 20000, 40000, 60000, 60000]);
  });
  it('takes off at most a fifth by chance', () => {
    expect(backoffMs(1, 1)).toBe(4000);
    expect(backoffMs(8, 1)).toBe(48000);
  });
  it('gives up after ten tries and starts anew when a person asks', () => {
    let [link] = play(STOPPED, start());
    for (let n = 1; n <= LIMIT_TRIES; n++) {
      [link] = play(link, closed(1006));
      expect([link.phase, link.tries]).toEqual(['waiting', n]);
      [link] = play(link, tick(link.wakeAt!));
      expect(link.phase).toBe('connecting');
    }
    [link] = play(link, closed(1006));
    expect([link.phase, link.wakeAt]).toEqual(['failed', null]);
    const [again, effects] = play(link, { type: 'RETRY', now: 5 });
    expect([again.phase, again.tries, kinds(effects)]).toEqual(['connecting', 0, ['open']]);
  });
  it('counts from the beginning after a connection that answered', () => {
    const [link] = play(STOPPED, start(), closed(1006), tick(5000), open(), frame(), closed(1006));
    expect([link.phase, link.tries]).toEqual(['waiting', 1]);
  });
  it('keeps counting when the server accepts and hangs up without a word', () => {
    const [link] = play(STOPPED, start(), open(), closed(1011), tick(5000), open(), closed(1011));
    expect([link.phase, link.tries]).toEqual(['waiting', 2]);
  });
});

describe('live', () => {
  it('is said at once for a tenant, with a snapshot and a ping', () => {
    const [link, effects] = play(STOPPED, start(), open());
    expect(link.phase).toBe('live');
    expect(kinds(effects)).toEqual(['open', 'snapshot', 'send']);
  });
  it('is said for devices only when each subscription is confirmed', () => {
    const [joining, sent] = play(STOPPED, start(DEVICES), open(), { type: 'FRAME', subscribed: 'a', now: 0 });
    expect([joining.phase, joining.pending]).toEqual(['joining', ['b']]);
    expect(sent.filter((effect) => effect.type === 'send')).toHaveLength(2);
    const [link, effects] = play(joining, { type: 'FRAME', subscribed: 'b', now: 0 });
    expect([link.phase, kinds(effects)]).toEqual(['live', ['snapshot', 'send']]);
  });
  it('subscribes again and asks for a snapshot again after each reconnect', () => {
    const [link, effects] = play(STOPPED, start(DEVICES), open(), { type: 'FRAME', subscribed: null, now: 0 }, frame(),
      closed(1006), tick(5000), open(5000), { type: 'FRAME', subscribed: null, now: 5000 });
    expect(link.phase).toBe('live');
    expect(effects.filter((effect) => effect.type === 'snapshot')).toHaveLength(2);
    expect(effects.filter((effect) => effect.type === 'send' && effect.frame.type === 'subscribe')).toHaveLength(4);
  });
  it('pings every 30 s and hangs up when nothing answers in time', () => {
    const [link] = play(STOPPED, start(), open(), frame(100));
    const [pinged, effects] = play(link, tick(PING_MS));
    expect(effects).toEqual([{ type: 'send', frame: { type: 'ping' } }]);
    const [lost, hangUp] = play(pinged, tick(PING_MS + PONG_MS_MAX));
    expect([lost.phase, kinds(hangUp)]).toEqual(['waiting', ['close']]);
    expect(play(pinged, frame(PING_MS + 1))[0].pongBy).toBeNull();
  });
  it('does not wait for ever for a connection to open', () => {
    const [link, effects] = play(STOPPED, start(), tick(OPEN_MS_MAX));
    expect([link.phase, kinds(effects)]).toEqual(['waiting', ['open', 'close']]);
  });
  it('changes its target without waiting, and ignores the same one', () => {
    const [link] = play(STOPPED, start(), open());
    expect(step(link, start())).toEqual([link, []]);
    expect(kinds(play(link, start(DEVICES))[1])).toEqual(['close', 'open']);
  });
});

describe('close codes', () => {
  it('1008: refreshes the token once, then asks to sign in', () => {
    const [refreshing, first] = play(STOPPED, start(), closed(1008));
    expect([refreshing.phase, kinds(first)]).toEqual(['refreshing', ['open', 'refresh']]);
    const [again] = play(refreshing, token('ok'));
    expect(again.phase).toBe('connecting');
    const [failed, second] = play(again, open(), closed(1008));
    expect([failed.phase, kinds(second)]).toEqual(['failed', ['snapshot', 'send', 'sign-in']]);
  });
  it('1008: a refused refresh asks to sign in, an unreachable server is tried again', () => {
    const [link] = play(STOPPED, start(), closed(1008));
    expect(kinds(play(link, token('refused'))[1])).toEqual(['sign-in']);
    expect(play(link, token('unreachable'))[0].phase).toBe('waiting');
  });
  it('1008: may refresh again after a connection that answered', () => {
    const [link] = play(STOPPED, start(), closed(1008), token('ok'), open(), frame(), closed(1008));
    expect(link.phase).toBe('refreshing');
  });
  it('1012: reconnects at once, but not in a loop', () => {
    const [link, effects] = play(STOPPED, start(), open(), frame(), closed(1012));
    expect([link.phase, kinds(effects).filter((kind) => kind === 'open')]).toEqual(['connecting', ['open', 'open']]);
    expect(play(link, open(), closed(1012))[0].phase).toBe('waiting');
  });
  it('1003: does not try again', () => {
    expect(play(STOPPED, start(), closed(1003))[0].phase).toBe('failed');
  });
  it('does not try again either when a subscription is refused', () => {
    const [link, effects] = play(STOPPED, start(DEVICES), open(), { type: 'FRAME', refused: true, now: 0 });
    expect([link.phase, effects.at(-1)!.type]).toEqual(['failed', 'close']);
  });
  it('says nothing and does nothing more after STOP', () => {
    const [link] = play(STOPPED, start(), open(), { type: 'STOP', now: 1 });
    expect(play(link, closed(1006), tick(99999), frame())).toEqual([STOPPED, []]);
  });
});
