/*
 * auth - the signed-in session: tokens, their refresh, and who is told when it ends.
 *
 * In:    sign_in, refresh, sign_out; the passing of time as `refreshDue (now)`.
 * Out:   the access token; listeners are called on each change.
 * Owns:  the tokens, in memory and (for a reload of the tab) in the storage given.
 * Holds: at most one refresh runs at a time, and all who ask share its outcome (other tabs too: tabs); only a refusal
 *        by the server ends the session, a server that is away does not.
 */
import { ApiError, problemOf } from './problem';
import type { Tabs } from './tabs';
import { asObject, asText, type Json } from './wire';

export interface Tokens {
  access: string;
  refresh: string;
  issuedAt: number;
  expiresAt: number;
}

export type Refreshed = 'ok' | 'refused' | 'unreachable';
export type Fetch = (url: string, init?: RequestInit) => Promise<Response>;
export type Store = Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>;

const KEY = 'gito.session';
const EARLY_MS_MAX = 60_000;

/* The members may stand in `data` or at the top of the answer. */
export function decodeTokens(body: unknown, now: number, old?: Tokens | null): Tokens | null {
  const top = asObject(body);
  const from: Json = { ...top, ...asObject(top['data']) };
  const access = asText(from['access_token']);
  const refresh = asText(from['refresh_token'], old?.refresh ?? '');
  const seconds = typeof from['expires_in'] === 'number' ? from['expires_in'] : 900;
  return access === '' ? null : { access, refresh, issuedAt: now, expiresAt: now + seconds * 1000 };
}

/* A minute early, or at four fifths of a short life. */
export function refreshAt(tokens: Tokens): number {
  const life = tokens.expiresAt - tokens.issuedAt;
  return tokens.expiresAt - Math.min(EARLY_MS_MAX, life / 5);
}

export class Session {
  private tokens: Tokens | null;
  private running: Promise<Refreshed> | null = null;
  private readonly listeners = new Set<() => void>();
  /** Why the last session ended by itself; shown on the sign-in page. */
  notice = '';

  constructor(
    private readonly fetch: Fetch,
    private readonly store: Store,
    private readonly now: () => number = Date.now,
    private readonly tabs: Tabs | null = null,
  ) {
    this.tokens = this.load();
    this.tabs?.have(this.tokens, null);
  }

  get signedIn(): boolean {
    return this.tokens !== null;
  }

  get token(): string | null {
    return this.tokens?.access ?? null;
  }

  /* When the next refresh is due; null when nobody is signed in. */
  get refreshDue(): number | null {
    return this.tokens && refreshAt(this.tokens);
  }

  get expired(): boolean {
    return this.tokens !== null && this.now() >= this.tokens.expiresAt;
  }

  listen = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  async signIn(email: string, password: string): Promise<void> {
    const answer = await this.post('login', { email, password });
    if (!answer.ok) throw await problemOf(answer);
    const tokens = decodeTokens(await answer.json(), this.now());
    if (!tokens) throw new ApiError(502, 'The server answered the sign-in without a token.');
    this.notice = '';
    this.adopt(tokens);
    this.tabs?.have(tokens, null);
  }

  refresh(): Promise<Refreshed> {
    this.running ??= this.refreshOnce().finally(() => (this.running = null));
    return this.running;
  }

  /* The person asked: forget first, tell the server if it can be reached. */
  async signOut(): Promise<void> {
    const tokens = this.tokens;
    this.end('');
    if (!tokens) return;
    await this.post('logout', { refresh_token: tokens.refresh }, tokens.access).catch(() => undefined);
  }

  end(notice: string): void {
    this.notice = notice;
    this.adopt(null);
    this.tabs?.have(null, null);
  }

  private async refreshOnce(): Promise<Refreshed> {
    const old = this.tokens;
    if (!old) return 'refused';
    const found = this.tabs ? await this.tabs.want(old.refresh) : 'mine';
    if (found === 'later') return 'unreachable';
    if (found === 'mine') return this.askServer(old).finally(() => this.tabs?.done());
    if (this.tokens === old) this.take(found, old);
    return this.tokens ? 'ok' : 'refused';
  }

  private take(tokens: Tokens, old: Tokens): void {
    this.adopt(tokens);
    this.tabs?.have(tokens, old);
  }

  private async askServer(old: Tokens): Promise<Refreshed> {
    try {
      if (this.tokens !== old) return this.tokens ? 'ok' : 'refused';
      const answer = await this.post('refresh', { refresh_token: old.refresh });
      if (this.tokens !== old) return this.tokens ? 'ok' : 'refused';
      if (answer.status >= 500 || answer.status === 429) return 'unreachable';
      const tokens = answer.ok ? decodeTokens(await answer.json(), this.now(), old) : null;
      if (this.tokens !== old) return this.tokens ? 'ok' : 'refused';
      if (tokens) this.take(tokens, old);
      else this.end('Your session has ended. Please sign in again.');
      return tokens ? 'ok' : 'refused';
    } catch {
      return 'unreachable';
    }
  }

  private post(verb: string, body: Json, token?: string): Promise<Response> {
    const headers: Record<string, string> = { 'Content-Type': 'application/json' };
    if (token) headers['Authorization'] = `Bearer ${token}`;
    return this.fetch(`/api/v1/auth/${verb}`, { method: 'POST', headers, body: JSON.stringify(body) });
  }

  private adopt(tokens: Tokens | null): void {
    this.tokens = tokens;
    if (tokens) this.store.setItem(KEY, JSON.stringify(tokens));
    else this.store.removeItem(KEY);
    this.listeners.forEach((listener) => listener());
  }

  private load(): Tokens | null {
    try {
      const kept = JSON.parse(this.store.getItem(KEY) ?? 'null') as Tokens | null;
      return kept && typeof kept.access === 'string' && typeof kept.expiresAt === 'number' ? kept : null;
    } catch {
      return null;
    }
  }
}
