import { expect, it, vi } from 'vitest';
import { Live, type Socket } from './live';
import type { Frame } from './wire';

class FakeSocket implements Socket {
  onopen: (() => void) | null = null;
  onclose: ((event: { code: number }) => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onerror: (() => void) | null = null;
  sent: string[] = [];
  closed = false;
  send(text: string) { this.sent.push(text); }
  close() { this.closed = true; }
}

function rig() {
  const sockets: FakeSocket[] = [];
  const frames: Frame[] = [];
  const refresh = vi.fn(async () => 'ok' as const);
  const signIn = vi.fn();
  let clock = 0;
  let timer: { run: () => void; at: number } | null = null;
  const live = new Live({
    open: () => { const socket = new FakeSocket(); sockets.push(socket); return socket; },
    refresh, signIn, onFrame: (frame) => frames.push(frame),
    now: () => clock, chance: () => 0,
    setTimer: (run, ms) => (timer = { run, at: clock + ms }),
    clearTimer: () => { timer = null; },
  });
  const wake = () => { const due = timer!; clock = due.at; due.run(); };
  return { live, sockets, frames, refresh, signIn, wake };
}

it('opens, pings, hands on frames and drops what it does not know', () => {
  const { live, sockets, frames } = rig();
  live.follow({ kind: 'tenant', tenant: 't' });
  sockets[0]!.onopen!();
  expect(sockets[0]!.sent).toEqual(['{"type":"ping"}']);
  sockets[0]!.onmessage!({ data: '{"type":"pong"}' });
  sockets[0]!.onmessage!({ data: 'not json' });
  expect(frames).toEqual([{ type: 'pong' }]);
  expect(live.get().link.phase).toBe('live');
});

it('reconnects by its own timer and asks for a new snapshot', () => {
  const { live, sockets, wake } = rig();
  live.follow({ kind: 'tenant', tenant: 't' });
  sockets[0]!.onopen!();
  const before = live.get().epoch;
  sockets[0]!.onclose!({ code: 1006 });
  expect(live.get().link.phase).toBe('waiting');
  wake();
  sockets[1]!.onopen!();
  expect(live.get().epoch).toBe(before + 1);
});

it('hears nothing from a socket it has left', () => {
  const { live, sockets } = rig();
  live.follow({ kind: 'tenant', tenant: 't' });
  live.follow({ kind: 'devices', ids: ['a'] });
  expect(sockets[0]!.closed).toBe(true);
  expect(sockets[0]!.onclose).toBeNull();
  expect(live.get().link.phase).toBe('connecting');
});

it('refreshes the token upon 1008 and opens again', async () => {
  const { live, sockets, refresh, signIn } = rig();
  live.follow({ kind: 'tenant', tenant: 't' });
  sockets[0]!.onclose!({ code: 1008 });
  await vi.waitFor(() => expect(sockets).toHaveLength(2));
  expect(refresh).toHaveBeenCalledTimes(1);
  sockets[1]!.onclose!({ code: 1008 });
  expect(signIn).toHaveBeenCalledTimes(1);
});
