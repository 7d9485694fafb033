/*
 * live - the shell around link: it owns the one WebSocket and the one timer, and decides nothing.
 *
 * In:    follow (target), stop, retry; socket events; the session's token.
 * Out:   frames to `onFrame`, state to listeners; `epoch` grows whenever a snapshot must be read again.
 */
import type { Refreshed } from './auth';
import { STOPPED, step, type Effect, type Link, type LinkEvent, type Target } from './link';
import { decodeFrame, type Frame } from './wire';

/* The part of a WebSocket that is used; tests give their own. */
export interface Socket {
  onopen: (() => void) | null;
  onclose: ((event: { code: number }) => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  onerror: (() => void) | null;
  send(text: string): void;
  close(): void;
}

export interface LiveDeps {
  open: (path: string) => Socket;
  refresh: () => Promise<Refreshed>;
  signIn: () => void;
  onFrame: (frame: Frame, now: number) => void;
  now: () => number;
  chance: () => number;
  setTimer: (run: () => void, ms: number) => unknown;
  clearTimer: (timer: unknown) => void;
}

/* One object per change, so that a view can tell by identity. */
export interface LiveState {
  link: Link;
  epoch: number;
}

export class Live {
  private state: LiveState = { link: STOPPED, epoch: 0 };
  private socket: Socket | null = null;
  private timer: unknown = null;
  private readonly listeners = new Set<() => void>();

  constructor(private readonly deps: LiveDeps) {}

  listen = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  get = (): LiveState => this.state;

  follow(target: Target): void {
    this.dispatch({ type: 'START', target, now: this.deps.now() });
  }

  stop(): void {
    this.dispatch({ type: 'STOP', now: this.deps.now() });
  }

  retry = (): void => {
    this.dispatch({ type: 'RETRY', now: this.deps.now() });
  };

  private dispatch(event: LinkEvent): void {
    const [link, effects] = step(this.state.link, event);
    const epoch = this.state.epoch + effects.filter((effect) => effect.type === 'snapshot').length;
    const changed = link.phase !== this.state.link.phase || link.wakeAt !== this.state.link.wakeAt || epoch !== this.state.epoch;
    const rearm = event.type === 'TICK' || link.wakeAt !== this.state.link.wakeAt;
    this.state = changed ? { link, epoch } : Object.assign(this.state, { link });
    if (rearm) this.arm();
    effects.forEach((effect) => this.run(effect));
    if (changed) this.listeners.forEach((listener) => listener());
  }

  private arm(): void {
    if (this.timer !== null) this.deps.clearTimer(this.timer);
    this.timer = null;
    const { wakeAt } = this.state.link;
    if (wakeAt === null) return;
    const tick = () => this.dispatch({ type: 'TICK', now: this.deps.now(), chance: this.deps.chance() });
    this.timer = this.deps.setTimer(tick, Math.max(0, wakeAt - this.deps.now()));
  }

  private run(effect: Effect): void {
    switch (effect.type) {
      case 'open':
        return this.open(effect.path);
      case 'close':
        return this.drop();
      case 'send':
        return this.socket?.send(JSON.stringify(effect.frame));
      case 'refresh':
        void this.deps.refresh().then((outcome) => {
          this.dispatch({ type: 'TOKEN', outcome, now: this.deps.now(), chance: this.deps.chance() });
        });
        return;
      case 'sign-in':
        return this.deps.signIn();
      case 'snapshot':
        return; /* counted in `epoch` */
    }
  }

  private open(path: string): void {
    this.drop();
    const socket = this.deps.open(path);
    this.socket = socket;
    socket.onopen = () => this.dispatch({ type: 'OPEN', now: this.deps.now() });
    socket.onerror = () => undefined; /* a close always follows and says more */
    socket.onclose = ({ code }) => {
      this.drop();
      this.dispatch({ type: 'CLOSED', code, now: this.deps.now(), chance: this.deps.chance() });
    };
    socket.onmessage = ({ data }) => this.receive(data);
  }

  private receive(data: unknown): void {
    const now = this.deps.now();
    const frame = typeof data === 'string' ? decodeFrame(data) : null;
    const subscribed = frame?.type === 'subscribed' ? { subscribed: frame.deviceId } : {};
    this.dispatch({ type: 'FRAME', now, refused: frame?.type === 'refused', ...subscribed });
    if (frame) this.deps.onFrame(frame, now);
  }

  /* A socket that was dropped can say nothing any more. */
  private drop(): void {
    const socket = this.socket;
    if (!socket) return;
    this.socket = null;
    socket.onopen = socket.onclose = socket.onmessage = socket.onerror = null;
    socket.close();
  }
}
