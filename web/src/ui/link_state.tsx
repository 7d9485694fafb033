/*
 * link_state - the truth about the live connection, in the header of every page.
 */
import type { Link } from '../core/link';
import { useLiveState, useNow } from '../hooks';
import { live } from '../services';

type Look = { tone: 'good' | 'busy' | 'bad' | 'none'; text: string };

/* `text` is what changes seldom: the seconds are counted apart, so that they are not read out each time. */
function lookOf(link: Link): Look {
  switch (link.phase) {
    case 'live':
      return { tone: 'good', text: 'Live' };
    case 'connecting':
    case 'joining':
    case 'refreshing':
      return { tone: 'busy', text: 'Connecting' };
    case 'waiting':
      return { tone: 'bad', text: 'Reconnecting' };
    case 'failed':
      return { tone: 'bad', text: 'Offline' };
    case 'stopped':
      return { tone: 'none', text: '' };
  }
}

function Countdown({ until }: { until: number }) {
  return <span aria-hidden="true"> in {Math.max(0, Math.floor((until - useNow()) / 1000))} s</span>;
}

export function LinkState() {
  const { link } = useLiveState();
  const look = lookOf(link);
  if (look.tone === 'none') return <div className="link-state" />;
  return (
    <div className="link-state">
      <span className={`pill ${look.tone}`} title={link.reason} data-phase={link.phase}>
        <span className="dot" aria-hidden="true" />
        <span role="status" aria-live="polite">{look.text}</span>
        {link.phase === 'waiting' && link.wakeAt !== null && <Countdown until={link.wakeAt} />}
      </span>
      {(link.phase === 'failed' || link.phase === 'waiting') && (
        <button type="button" className="button small" onClick={live.retry}>Reconnect</button>
      )}
    </div>
  );
}
