/*
 * services - the one session, API, store and live connection of this tab, wired together.
 */
import { Api } from './core/api';
import { Session, type Fetch } from './core/auth';
import { Live, type Socket } from './core/live';
import { LiveStore } from './core/store';
import { Tabs } from './core/tabs';

const RETRY_REFRESH_MS = 10_000;
const TIMER_MS_MAX = 2 ** 31 - 1;

const http: Fetch = (url, init) => fetch(url, init);

const tabs = new Tabs(new BroadcastChannel('gito.session'));
export const session = new Session(http, sessionStorage, Date.now, tabs);
export const api = new Api(session, http);
export const store = new LiveStore((run) => requestAnimationFrame(run));

function openSocket(path: string): Socket {
  const url = new URL(path, location.href);
  url.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
  url.searchParams.set('token', session.token ?? '');
  return new WebSocket(url) as Socket;
}

export const live = new Live({
  open: openSocket,
  refresh: () => session.refresh(),
  signIn: () => session.end('Your session has ended. Please sign in again.'),
  onFrame: (frame, now) => store.apply(frame, now),
  now: Date.now,
  chance: Math.random,
  setTimer: (run, ms) => setTimeout(run, ms),
  clearTimer: (timer) => clearTimeout(timer as number),
});

let refreshTimer = 0;

function armRefresh(wait = 0): void {
  clearTimeout(refreshTimer);
  const due = session.refreshDue;
  if (due === null) return;
  const ms = Math.min(TIMER_MS_MAX, Math.max(wait, due - Date.now()));
  refreshTimer = window.setTimeout(async () => {
    /* A refresh that went well calls the listener below, which arms the timer for the new token. */
    if ((await session.refresh()) === 'unreachable') armRefresh(RETRY_REFRESH_MS);
  }, ms);
}

session.listen(() => {
  armRefresh();
  if (session.signedIn) return;
  live.stop();
  store.clear();
});
armRefresh();

/* The network came back: no need to sit out the rest of the pause. */
addEventListener('online', () => {
  if (live.get().link.phase === 'waiting') live.retry();
});
