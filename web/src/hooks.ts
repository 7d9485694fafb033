/*
 * hooks - how components see the services: each returns what to draw and keeps it fresh.
 */
import { createContext, useCallback, useContext, useEffect, useMemo, useRef, useState, useSyncExternalStore } from 'react';
import { freshAlerts } from './core/fresh';
import type { Target } from './core/link';
import { isAbort, sentenceOf } from './core/problem';
import type { LiveAlert, LiveDevice } from './core/store';
import type { User } from './core/wire';
import { api, live, session, store } from './services';

export interface Account extends User {
  tenantId: string;
  mayEditDevices: boolean;
  mayEditRules: boolean;
}

export const AccountContext = createContext<Account | null>(null);

/* Only below the shell, which does not render pages without an account. */
export function useAccount(): Account {
  const account = useContext(AccountContext);
  if (!account) throw new Error('useAccount is used outside of the shell');
  return account;
}

export function useSignedIn(): boolean {
  return useSyncExternalStore(session.listen, () => session.signedIn);
}

export function useLiveState() {
  return useSyncExternalStore(live.listen, live.get);
}

/* Follows the target while the page is there; the epoch it returns grows when all must be read again. */
export function useLive(target: Target): number {
  const key = JSON.stringify(target);
  useEffect(() => live.follow(JSON.parse(key) as Target), [key]);
  return useLiveState().epoch;
}

export function useLiveDevice(id: string): LiveDevice | undefined {
  return useSyncExternalStore(store.listen, () => store.get(id));
}

export function useLiveAlerts() {
  return useSyncExternalStore(store.listen, () => store.alerts);
}

export interface Loaded<T> {
  data: T | null;
  error: string | null;
  loading: boolean;
  askedAt: number; /* when the request began whose answer is `data` */
  reload: () => void;
}

/*
 * Loads when `key` or `epoch` changes. A new key shows nothing until its answer is there; a new epoch
 * keeps what is shown meanwhile.
 */
export function useLoad<T>(key: string, epoch: number | string, load: (signal: AbortSignal, askedAt: number) => Promise<T>): Loaded<T> {
  const [state, setState] = useState<{ key: string; data: T | null; error: string | null; askedAt: number; loading: boolean }>(
    { key, data: null, error: null, askedAt: 0, loading: true });
  const [turn, setTurn] = useState(0);
  const latest = useRef(load);
  latest.current = load;

  useEffect(() => {
    const abort = new AbortController();
    const askedAt = Date.now();
    setState((old) => ({ ...(old.key === key ? old : { key, data: null, error: null, askedAt: 0 }), loading: true }));
    latest.current(abort.signal, askedAt).then(
      (data) => !abort.signal.aborted && setState({ key, data, error: null, askedAt, loading: false }),
      (error: unknown) => {
        if (abort.signal.aborted || isAbort(error)) return;
        setState((old) => ({ ...old, error: sentenceOf(error), loading: false }));
      },
    );
    return () => abort.abort();
  }, [key, epoch, turn]);

  const reload = useCallback(() => setTurn((old) => old + 1), []);
  const mine = state.key === key;
  return {
    data: mine ? state.data : null, error: mine ? state.error : null,
    loading: mine ? state.loading : true, askedAt: mine ? state.askedAt : 0, reload,
  };
}

const REREAD_MS = 3000;

/*
 * The live alerts that the answer shown cannot know (`deviceId` empty: of all devices), newest first.
 * A moment after the newest of them that `outdates` the answer it is read again: once for a burst.
 */
export function useFreshAlerts<T>(list: Loaded<T>, deviceId: string, outdates: (data: T, alert: LiveAlert) => boolean = () => true): readonly LiveAlert[] {
  const { data, askedAt, reload } = list;
  const all = useLiveAlerts();
  const fresh = useMemo(() => freshAlerts(all, askedAt, deviceId), [all, askedAt, deviceId]);
  const cause = data === null ? undefined : fresh.find((alert) => outdates(data, alert));
  useEffect(() => {
    if (cause === undefined) return;
    const timer = setTimeout(reload, REREAD_MS);
    return () => clearTimeout(timer);
  }, [cause?.key, reload]);
  return fresh;
}

/* One clock for all relative times: it ticks each second while somebody looks. */
const clock = { now: Date.now(), timer: 0, listeners: new Set<() => void>() };

function listenClock(listener: () => void): () => void {
  clock.listeners.add(listener);
  if (clock.listeners.size === 1) {
    clock.now = Date.now();
    clock.timer = window.setInterval(() => {
      clock.now = Date.now();
      clock.listeners.forEach((each) => each());
    }, 1000);
  }
  return () => {
    clock.listeners.delete(listener);
    if (clock.listeners.size === 0) clearInterval(clock.timer);
  };
}

export function useNow(): number {
  return useSyncExternalStore(listenClock, () => clock.now);
}

export function useDebounced<T>(value: T, ms: number): T {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), ms);
    return () => clearTimeout(timer);
  }, [value, ms]);
  return settled;
}

/* Follows a value that changes often, at most once in `ms`. */
export function useThrottled<T>(value: T, ms: number): T {
  const [held, setHeld] = useState(value);
  const latest = useRef(value);
  latest.current = value;
  useEffect(() => {
    const timer = setInterval(() => setHeld(latest.current), ms);
    return () => clearInterval(timer);
  }, [ms]);
  return held;
}

export function useStatusFrames(): number {
  return useSyncExternalStore(store.listen, () => store.statusFrames);
}

const names = new Map<string, string>();
const asked = new Set<string>();
const nameListeners = new Set<() => void>();

export function learnName(id: string, name: string): void {
  names.set(id, name);
}

/* The name of a device that is only known by its id; asked for once, the id stands in meanwhile. */
export function useDeviceName(id: string, tenant: string): string | undefined {
  useEffect(() => {
    if (names.has(id) || asked.has(id)) return;
    asked.add(id);
    api.device(tenant, id).then(
      (device) => {
        learnName(id, device.name);
        nameListeners.forEach((listener) => listener());
      },
      () => undefined, /* deleted meanwhile: the id is all there is */
    );
  }, [id, tenant]);
  const listen = useCallback((listener: () => void) => {
    nameListeners.add(listener);
    return () => nameListeners.delete(listener);
  }, []);
  return useSyncExternalStore(listen, () => names.get(id));
}

/* A request that a person started: busy while it runs, its failure as a sentence. */
export function useAction(): { busy: boolean; error: string | null; run: (work: () => Promise<void>) => Promise<void> } {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string | null>(null);
  const run = async (work: () => Promise<void>) => {
    setBusy(true);
    setError(null);
    try {
      await work();
    } catch (problem) {
      setError(sentenceOf(problem));
    } finally {
      setBusy(false);
    }
  };
  return { busy, error, run };
}
