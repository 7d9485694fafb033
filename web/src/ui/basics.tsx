/*
 * basics - the small parts every page is made of.
 */
import { useState, type MouseEvent, type ReactNode } from 'react';
import { formatAgo, formatTime, isoTime } from '../core/format';
import type { DeviceStatus } from '../core/wire';
import { useNow } from '../hooks';
import { navigate } from '../router';
import { announce } from './announcer';

export function Link({ to, children, className, current }: { to: string; children: ReactNode; className?: string; current?: boolean }) {
  const go = (event: MouseEvent) => {
    if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    navigate(to);
  };
  return <a href={to} className={className} onClick={go} aria-current={current ? 'page' : undefined}>{children}</a>;
}

/* Relative and ticking. */
export function Ago({ at }: { at: number | null }) {
  const text = formatAgo(at, useNow());
  return at === null ? <span className="muted">{text}</span> : <time dateTime={isoTime(at)} title={isoTime(at)}>{text}</time>;
}

/* In the zone of the viewer. */
export function When({ at }: { at: number }) {
  return <time dateTime={isoTime(at)} title={isoTime(at)}>{formatTime(at)}</time>;
}

const STATUS_TEXT: Record<DeviceStatus, string> = { online: 'Online', idle: 'Idle', offline: 'Offline', error: 'Error', provisioning: 'Provisioning', unknown: 'Unknown' };

export function Status({ status }: { status: DeviceStatus }) {
  return <span className={`status status-${status}`}><span className="dot" aria-hidden="true" />{STATUS_TEXT[status]}</span>;
}

export function Problem({ text, retry }: { text: string; retry?: () => void }) {
  return (
    <div className="problem" role="alert">
      <p>{text}</p>
      {retry && <button type="button" className="button small" onClick={retry}>Try again</button>}
    </div>
  );
}

export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return <div className="empty"><p className="empty-title">{title}</p>{children && <div className="muted">{children}</div>}</div>;
}

export function Skeleton({ rows, label }: { rows: number; label: string }) {
  return (
    <div className="skeleton" role="status" aria-label={label}>
      {Array.from({ length: rows }, (_, i) => <span key={i} />)}
    </div>
  );
}

export function Copy({ text, label }: { text: string; label: string }) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setDone(true);
      announce(`${label} copied`);
      setTimeout(() => setDone(false), 2000);
    } catch {
      announce('The browser did not allow copying; select the text instead.');
    }
  };
  return <button type="button" className="button small" onClick={copy} aria-label={`Copy ${label.toLowerCase()}`}>{done ? 'Copied' : 'Copy'}</button>;
}

export function Pager({ page, perPage, total, go }: { page: number; perPage: number; total: number; go: (page: number) => void }) {
  const pages = Math.max(1, Math.ceil(total / Math.max(1, perPage)));
  if (pages <= 1) return null;
  const first = (page - 1) * perPage + 1;
  return (
    <nav className="pager" aria-label="Pages">
      <span className="muted">{first.toLocaleString('en')}–{Math.min(total, page * perPage).toLocaleString('en')} of {total.toLocaleString('en')}</span>
      <button type="button" className="button small" disabled={page <= 1} onClick={() => go(page - 1)}>Previous</button>
      <button type="button" className="button small" disabled={page >= pages} onClick={() => go(page + 1)}>Next</button>
    </nav>
  );
}

/* A choice of few: radio buttons in the look of tabs. */
export function Choice<T extends string>({ label, name, options, value, set }:
  { label: string; name: string; options: readonly (readonly [T, string, (number | undefined)?])[]; value: T; set: (value: T) => void }) {
  return (
    <fieldset className="choice">
      <legend className="hidden">{label}</legend>
      {options.map(([key, text, count]) => (
        <label key={key}>
          <input type="radio" name={name} checked={key === value} onChange={() => set(key)} />
          <span>{text}{count !== undefined && <b>{count.toLocaleString('en')}</b>}</span>
        </label>
      ))}
    </fieldset>
  );
}
