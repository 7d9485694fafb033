import { beforeEach, describe, expect, it, vi } from 'vitest';
import { Api, queryOf } from './api';
import { Session, decodeTokens, refreshAt, type Fetch } from './auth';

const json = (body: unknown, status = 200) => new Response(JSON.stringify(body), { status });
const tokens = (n: number) => ({ access_token: `a${n}`, refresh_token: `r${n}`, token_type: 'bearer', expires_in: 900 });

class Memory {
  kept = new Map<string, string>();
  getItem = (key: string) => this.kept.get(key) ?? null;
  setItem = (key: string, value: string) => void this.kept.set(key, value);
  removeItem = (key: string) => void this.kept.delete(key);
}

let answers: (Response | Error)[];
let calls: { url: string; body: unknown; auth: string | undefined }[];
let store: Memory;
let session: Session;
const fetch: Fetch = async (url, init) => {
  const headers = (init?.headers ?? {}) as Record<string, string>;
  calls.push({ url, body: init?.body ? JSON.parse(String(init.body)) : undefined, auth: headers['Authorization'] });
  const answer = answers.shift()!;
  if (answer instanceof Error) throw answer;
  return answer;
};

beforeEach(async () => {
  calls = [];
  store = new Memory();
  answers = [json({ success: true, data: tokens(1) })];
  session = new Session(fetch, store, () => 1000);
  await session.signIn('a@b.c', 'pw');
});

describe('tokens', () => {
  it('are read inside data and at the top', () => {
    expect(decodeTokens(tokens(1), 0)).toEqual(decodeTokens({ success: true, data: tokens(1) }, 0));
    expect(decodeTokens({ data: {} }, 0)).toBeNull();
  });
  it('keep the old refresh token when the answer has none', () => {
    const old = decodeTokens(tokens(1), 0);
    expect(decodeTokens({ access_token: 'a2', expires_in: 5 }, 0, old)!.refresh).toBe('r1');
  });
  it('are renewed a minute early, or at four fifths of a short life', () => {
    expect(refreshAt({ access: '', refresh: '', issuedAt: 0, expiresAt: 900_000 })).toBe(840_000);
    expect(refreshAt({ access: '', refresh: '', issuedAt: 0, expiresAt: 10_000 })).toBe(8_000);
  });
  it('survive a reload of the tab', () => {
    expect(new Session(fetch, store).token).toBe('a1');
    store.setItem('gito.session', '{broken');
    expect(new Session(fetch, store).signedIn).toBe(false);
  });
});

describe('sign-in', () => {
  it('shows the detail of the problem', async () => {
    answers = [json({ title: 'Unauthorized', status: 401, detail: 'Wrong e-mail or password.' }, 401)];
    await expect(session.signIn('a', 'b')).rejects.toThrow('Wrong e-mail or password.');
  });
  it('forgets all upon sign-out, even when the server is away', async () => {
    answers = [new TypeError('failed')];
    await session.signOut();
    expect([session.signedIn, store.kept.size]).toEqual([false, 0]);
    expect(calls.at(-1)).toMatchObject({ url: '/api/v1/auth/logout', auth: 'Bearer a1' });
  });
});

describe('refresh', () => {
  it('runs once for all who ask', async () => {
    answers = [json(tokens(2))];
    expect(await Promise.all([session.refresh(), session.refresh()])).toEqual(['ok', 'ok']);
    expect(calls.filter((call) => call.url.endsWith('/refresh'))).toHaveLength(1);
    expect(session.token).toBe('a2');
  });
  it('ends the session when refused, not when the server is away', async () => {
    answers = [new TypeError('failed'), json({}, 503), json({}, 401)];
    expect(await session.refresh()).toBe('unreachable');
    expect(await session.refresh()).toBe('unreachable');
    expect(session.signedIn).toBe(true);
    expect(await session.refresh()).toBe('refused');
    expect(session.signedIn).toBe(false);
    expect(session.notice).not.toBe('');
  });
  it('does not bring back a session that was left meanwhile', async () => {
    answers = [json(tokens(2)), json({})];
    const running = session.refresh();
    await session.signOut();
    expect(await running).toBe('refused');
    expect(session.signedIn).toBe(false);
  });
});

describe('a request', () => {
  it('that meets 401 is tried once more with a new token', async () => {
    answers = [json({}, 401), json(tokens(2)), json({ data: { id: 'u', email: 'e', role: 'VIEWER', tenant_id: 't' } })];
    const api = new Api(session, fetch);
    expect((await api.me()).tenantId).toBe('t');
    expect(calls.slice(1).map((call) => call.auth)).toEqual(['Bearer a1', undefined, 'Bearer a2']);
  });
  it('that meets 401 twice ends the session', async () => {
    answers = [json({}, 401), json(tokens(2)), json({ detail: 'No.' }, 401)];
    await expect(new Api(session, fetch).me()).rejects.toThrow('No.');
    expect(session.signedIn).toBe(false);
  });
  it('that meets 401 while nobody can refresh fails, and leaves the session', async () => {
    answers = [json({}, 401), json({}, 503), json({}, 401), new TypeError('failed')];
    for (let n = 0; n < 2; n++) await expect(new Api(session, fetch).me()).rejects.toMatchObject({ status: 0 });
    expect(session.signedIn).toBe(true);
  });
  it('to a server that is away says so', async () => {
    answers = [new TypeError('failed to fetch')];
    await expect(new Api(session, fetch).me()).rejects.toMatchObject({ status: 0 });
  });
  it('pages and counts', async () => {
    answers = [json({ success: true, data: [{ id: 'd', name: 'D', status: 'online' }], meta: { page: 2, per_page: 1, total: 9 } })];
    const page = await new Api(session, fetch).devices('t', { page: 2, search: '', status: undefined });
    expect([page.page, page.total, page.items[0]!.status]).toEqual([2, 9, 'online']);
    expect(calls.at(-1)!.url).toBe('/api/v1/tenants/t/devices?page=2');
  });
  it('escapes what people type', () => {
    expect(queryOf({ search: 'a&b=c d' })).toBe('?search=a%26b%3Dc+d');
  });
});

it('tells its listeners', async () => {
  const heard = vi.fn();
  const stop = session.listen(heard);
  session.end('');
  stop();
  session.end('');
  expect(heard).toHaveBeenCalledTimes(1);
});
