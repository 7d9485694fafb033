/*
 * router - the address bar as state: path and query, and the few routes there are.
 */
import { useSyncExternalStore } from 'react';

export type Route = { page: 'devices' } | { page: 'device'; id: string } | { page: 'alerts' } | { page: 'lost' };

const listeners = new Set<() => void>();

function changed(): void {
  listeners.forEach((listener) => listener());
}

function listen(listener: () => void): () => void {
  if (listeners.size === 0) addEventListener('popstate', changed);
  listeners.add(listener);
  return () => {
    listeners.delete(listener);
    if (listeners.size === 0) removeEventListener('popstate', changed);
  };
}

export function navigate(to: string, replace = false): void {
  const here = location.pathname + location.search;
  if (to === here) return;
  if (replace) history.replaceState(null, '', to);
  else history.pushState(null, '', to);
  if (!replace) scrollTo(0, 0);
  changed();
}

export function routeOf(path: string): Route {
  const parts = path.split('/').filter(Boolean);
  if (parts.length === 0) return { page: 'devices' };
  if (parts.length === 1 && parts[0] === 'devices') return { page: 'devices' };
  /* Ids are UUIDs: what would have to be escaped is none. */
  if (parts.length === 2 && parts[0] === 'devices' && /^[\w-]+$/.test(parts[1]!)) return { page: 'device', id: parts[1]! };
  if (parts.length === 1 && parts[0] === 'alerts') return { page: 'alerts' };
  return { page: 'lost' };
}

export function usePath(): string {
  return useSyncExternalStore(listen, () => location.pathname);
}

/* The query of the address, and a way to change some of it (empty text removes a member). */
export function useQuery(): [URLSearchParams, (change: Record<string, string>) => void] {
  const search = useSyncExternalStore(listen, () => location.search);
  const set = (change: Record<string, string>) => {
    const next = new URLSearchParams(location.search);
    for (const [name, value] of Object.entries(change)) {
      if (value === '') next.delete(name);
      else next.set(name, value);
    }
    const text = next.toString();
    navigate(location.pathname + (text ? `?${text}` : ''), true);
  };
  return [new URLSearchParams(search), set];
}
