/*
 * tabs - keeps tabs that share a refresh token from using it twice, which ends the session of all: a
 * tab that is duplicated begins with the tokens of the first, and both are due at the same time.
 *
 * In:    what other tabs say on the channel given (BroadcastChannel).
 * Out:   the tokens that another tab has got for a token, or the word that this one is to get them.
 * Bound: it remembers the last HEIRS_MAX tokens that this tab has changed for others.
 * Holds: of tabs that are awake one at a time asks the server about a token; the others take its
 *        answer. Who hears nobody for HEAR_MS is alone.
 */
import type { Tokens } from './auth';

export interface Channel {
  postMessage(message: unknown): void;
  onmessage: ((event: MessageEvent) => void) | null;
}

type Said =
  | { kind: 'want' | 'mine'; token: string; by: number }
  | { kind: 'heir'; token: string; tokens: Tokens };

const HEAR_MS = 300;
const ANSWER_MS = 30_000;
const HEIRS_MAX = 1000;

export class Tabs {
  private readonly former: string[] = [];
  private current: Tokens | null = null;
  private wanted = '';
  private by = 0;
  private atServer = false;
  private heard: ((said: Said) => void) | null = null;

  constructor(
    private readonly channel: Channel,
    private readonly chance: () => number = Math.random,
  ) {
    channel.onmessage = (event) => this.hear(event.data as Said);
  }

  /* Tokens that another tab has for that one; 'mine': this tab is to ask the server, and says `done`
   * when it has; 'later': another is asking, and has no answer yet. */
  async want(token: string): Promise<Tokens | 'mine' | 'later'> {
    this.wanted = token;
    this.by = this.chance();
    const found = await new Promise<Tokens | 'mine' | 'later'>((resolve) => {
      let timer = setTimeout(() => resolve('mine'), HEAR_MS);
      this.heard = (said) => {
        clearTimeout(timer);
        if (said.kind === 'heir') resolve(said.tokens);
        else timer = setTimeout(() => resolve('later'), ANSWER_MS);
      };
      this.say({ kind: 'want', token, by: this.by });
    });
    this.heard = null;
    this.atServer = found === 'mine';
    if (!this.atServer) this.wanted = '';
    return found;
  }

  done(): void {
    this.wanted = '';
    this.atServer = false;
  }

  /* This tab has these now, in place of `old`; null: they are of another session, or none. */
  have(tokens: Tokens | null, old: Tokens | null): void {
    this.current = tokens;
    if (!old) this.former.length = 0;
    if (!tokens || !old || tokens.refresh === old.refresh) return;
    this.former.push(old.refresh);
    if (this.former.length > HEIRS_MAX) this.former.shift();
    this.say({ kind: 'heir', token: old.refresh, tokens });
  }

  private hear(said: Said): void {
    if (said.kind !== 'want') {
      if (said.token === this.wanted && !this.atServer) this.heard?.(said);
    } else if (this.current && this.former.includes(said.token)) {
      this.say({ kind: 'heir', token: said.token, tokens: this.current });
    } else if (said.token === this.wanted && (this.atServer || this.by < said.by)) {
      this.say({ kind: 'mine', token: said.token, by: this.by });
    }
  }

  private say(said: Said): void {
    this.channel.postMessage(said);
  }
}
