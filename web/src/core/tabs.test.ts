import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { Session, type Fetch } from './auth';
import { Tabs, type Channel } from './tabs';

/* A BroadcastChannel of this test: everybody else hears, a moment later. */
class Air {
  private readonly ends: Channel[] = [];
  open(): Channel {
    const end: Channel = {
      onmessage: null,
      postMessage: (message) =>
        this.ends.filter((other) => other !== end).forEach((other) =>
          setTimeout(() => other.onmessage?.({ data: structuredClone(message) } as MessageEvent), 1)),
    };
    this.ends.push(end);
    return end;
  }
}

/* As node/rest_auth.c: each token is good once, and used again it ends its family. */
let good: string, ended: boolean, asked: number;
const fetch: Fetch = async (url, init) => {
  await new Promise((resolve) => setTimeout(resolve, 50));
  if (url.endsWith('refresh')) {
    asked++;
    ended ||= JSON.parse(String(init?.body)).refresh_token !== good;
    if (ended) return new Response('{}', { status: 401 });
  }
  good = `r${Number(good.slice(1)) + 1}`;
  return new Response(JSON.stringify({ access_token: 'a' + good, refresh_token: good, expires_in: 900 }));
};

function storage(from?: Map<string, string>) {
  const kept = new Map(from);
  return {
    kept,
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, value: string) => void kept.set(key, value),
    removeItem: (key: string) => void kept.delete(key),
  };
}

/* A tab that is signed in, and its duplicate, which has a copy of its storage. */
async function twoTabs(): Promise<[Session, Session]> {
  const air = new Air();
  const tab = (kept: ReturnType<typeof storage>) => new Session(fetch, kept, Date.now, new Tabs(air.open()));
  const store = storage();
  const first = tab(store);
  const signed = first.signIn('e', 'p');
  await vi.runAllTimersAsync();
  await signed;
  return [first, tab(storage(store.kept))];
}

beforeEach(() => {
  vi.useFakeTimers();
  [good, ended, asked] = ['r0', false, 0];
});
afterEach(() => void vi.useRealTimers());

async function refresh(...tabs: Session[]): Promise<string[]> {
  const running = Promise.all(tabs.map((tab) => tab.refresh()));
  await vi.runAllTimersAsync();
  return running;
}

it('refreshes once for tabs that are due at the same time', async () => {
  const [first, second] = await twoTabs();
  for (let n = 1; n < 4; n++) {
    expect(await refresh(first, second)).toEqual(['ok', 'ok']);
    expect([asked, first.token, second.token]).toEqual([n, 'a' + good, 'a' + good]);
  }
});

it('gives a tab that comes late what it missed', async () => {
  const [first, second] = await twoTabs();
  for (let n = 0; n < 3; n++) expect(await refresh(first)).toEqual(['ok']);
  expect(await refresh(second)).toEqual(['ok']);
  expect([asked, second.token]).toEqual([3, first.token]);
  expect(await refresh(second, first)).toEqual(['ok', 'ok']);
  expect(ended).toBe(false);
});

it('gives nobody what another session has', async () => {
  const [first, second] = await twoTabs();
  expect(await refresh(first)).toEqual(['ok']);
  first.end('');
  const signed = first.signIn('another', 'p');
  await vi.runAllTimersAsync();
  await signed;
  expect(await refresh(second)).toEqual(['refused']);
  expect(second.signedIn).toBe(false);
});

it('leaves a tab that is alone to itself', async () => {
  const [first, second] = await twoTabs();
  second.end('');
  expect(await refresh(first)).toEqual(['ok']);
  expect([asked, second.signedIn]).toEqual([1, false]);
});

it('says later when the tab that asks has no answer', async () => {
  const air = new Air();
  const tabs = new Tabs(air.open(), () => 0.5);
  const other = air.open();
  other.onmessage = (event) => {
    const { kind, token } = event.data as { kind: string; token: string };
    if (kind === 'want') other.postMessage({ kind: 'mine', token, by: 0 });
  };
  const found = tabs.want('r1');
  await vi.runAllTimersAsync();
  expect(await found).toBe('later');
});
