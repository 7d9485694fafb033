/*
 * announcer - one line for what just happened: seen for a few seconds, read aloud by screen readers.
 */
import { useEffect, useSyncExternalStore } from 'react';

let text = '';
const listeners = new Set<() => void>();

export function announce(message: string): void {
  text = message;
  listeners.forEach((listener) => listener());
}

function listen(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function Announcer() {
  const message = useSyncExternalStore(listen, () => text);
  useEffect(() => {
    if (message === '') return;
    const timer = setTimeout(() => announce(''), 5000);
    return () => clearTimeout(timer);
  }, [message]);
  return <div className={message ? 'toast shown' : 'toast'} role="status" aria-live="polite">{message}</div>;
}
