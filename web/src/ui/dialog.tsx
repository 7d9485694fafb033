/*
 * dialog - the browser's own modal dialog: it holds the focus, Escape closes it, the page behind is inert.
 */
import { useEffect, useId, useRef, type ReactNode } from 'react';
import { useAction } from '../hooks';

export function Dialog({ title, close, children }: { title: string; close: () => void; children: ReactNode }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const element = dialog.current;
    if (element && !element.open) element.showModal();
    return () => element?.close();
  }, []);
  return (
    <dialog ref={dialog} className="dialog" aria-labelledby={id} onCancel={(event) => { event.preventDefault(); close(); }}>
      <h2 id={id}>{title}</h2>
      {children}
    </dialog>
  );
}

export function Confirm({ title, children, verb, close, work }:
  { title: string; children: ReactNode; verb: string; close: () => void; work: () => Promise<void> }) {
  const { busy, error, run } = useAction();
  return (
    <Dialog title={title} close={close}>
      <div className="dialog-text">{children}</div>
      {error && <p className="form-error" role="alert">{error}</p>}
      <div className="dialog-buttons">
        <button type="button" className="button" onClick={close}>Cancel</button>
        <button type="button" className="button danger" disabled={busy} onClick={() => void run(work)}>{busy ? 'Working…' : verb}</button>
      </div>
    </Dialog>
  );
}
