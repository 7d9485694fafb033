/*
 * readings - the latest value of each metric as a card, and a chart of the cards that are switched on.
 */
import { useEffect, useMemo, useState } from 'react';
import { formatNumber, labelOf, sortMetrics, unitOf } from '../core/format';
import { LIMIT_POINTS, Ring, breakGaps } from '../core/ring';
import type { Metric } from '../core/store';
import type { Aggregate, Reading } from '../core/wire';
import { useLiveDevice, useLoad } from '../hooks';
import { api, store } from '../services';
import { Ago, Choice, Empty, Problem, Skeleton } from './basics';
import { Chart } from './chart';
import type { ChartSource } from './chart_view';

const RANGES = [['live', 'Live'], ['1', '1 h'], ['24', '24 h'], ['168', '7 d'], ['720', '30 d']] as const;
type Range = (typeof RANGES)[number][0];
const AGGREGATIONS = [['avg', 'Average'], ['min', 'Minimum'], ['max', 'Maximum'], ['last', 'Last']] as const;
const COLOURS = 6;
const BACKFILL_MS = 15 * 60_000;
const HOUR_MS = 3_600_000;

interface Props { id: string; tenant: string; epoch: number }

export function Readings({ id, tenant, epoch }: Props) {
  const device = useLiveDevice(id);
  /* A device that is silent for long has no latest value, but a past. */
  const [past, setPast] = useState<readonly string[]>([]);
  const found = (readings: readonly Reading[]) => {
    const all = new Set(readings.flatMap((reading) => Object.keys(reading.values)));
    setPast((old) => ([...all].every((name) => old.includes(name)) ? old : [...new Set([...old, ...all])]));
  };
  const names = sortMetrics(new Set([...Object.keys(device?.metrics ?? {}), ...past]));
  const [chosen, setChosen] = useState<readonly string[] | null>(null);
  const [range, setRange] = useState<Range>('live');
  const [aggregate, setAggregate] = useState<Aggregate>('avg');
  const shown = (chosen ?? names.slice(0, 2)).filter((name) => names.includes(name));
  const toggle = (name: string) => setChosen(shown.includes(name) ? shown.filter((each) => each !== name) : sortMetrics([...shown, name]));
  const looks = shown.map((metric) => ({ metric, colour: colourOf(names, metric) }));
  return (
    <>
      <section aria-labelledby="latest-title">
        <div className="section-head"><h2 id="latest-title">Latest</h2></div>
        {names.length === 0 && <Empty title="No values yet.">They appear here as soon as the device publishes.</Empty>}
        <div className="cards">
          {names.map((name) => (
            <Card key={name} name={name} metric={device?.metrics[name]} colour={colourOf(names, name)} on={shown.includes(name)} toggle={() => toggle(name)} />
          ))}
        </div>
      </section>
      <section aria-labelledby="chart-title">
        <div className="section-head">
          <h2 id="chart-title">History</h2>
          <div className="section-tools">
            {range !== 'live' && (
              <select className="select small" aria-label="Shown value of each interval" value={aggregate} onChange={(event) => setAggregate(event.target.value as Aggregate)}>
                {AGGREGATIONS.map(([key, text]) => <option key={key} value={key}>{text}</option>)}
              </select>
            )}
            <Choice label="Range" name="range" options={RANGES} value={range} set={setRange} />
          </div>
        </div>
        <div className="panel chart-panel">
          {range === 'live' ? <LiveChart id={id} tenant={tenant} epoch={epoch} looks={looks} found={found} />
            : <PastChart key={range} id={id} tenant={tenant} epoch={epoch} looks={looks} found={found} hours={Number(range)} aggregate={aggregate} />}
        </div>
      </section>
    </>
  );
}

function colourOf(names: readonly string[], name: string): string {
  return `--series-${(names.indexOf(name) % COLOURS) + 1}`;
}

function Card({ name, metric, colour, on, toggle }: { name: string; metric: Metric | undefined; colour: string; on: boolean; toggle: () => void }) {
  return (
    <button type="button" className="card" aria-pressed={on} onClick={toggle} title={on ? 'Hide in the chart' : 'Show in the chart'} data-metric={name}>
      <span className="card-name"><span className="swatch" style={{ background: on ? `var(${colour})` : undefined }} aria-hidden="true" />{labelOf(name)}</span>
      <span className="card-value">{formatNumber(metric?.value)}{metric?.value != null && <span className="card-unit">{unitOf(name)}</span>}</span>
      <span className="card-age muted"><Ago at={metric?.at ?? null} /></span>
    </button>
  );
}

interface ChartProps extends Props { looks: { metric: string; colour: string }[]; found: (readings: readonly Reading[]) => void }

function Frame({ looks, source, label }: { looks: ChartProps['looks']; source: ChartSource; label: string }) {
  if (looks.length === 0) return <Empty title="No metric is chosen.">Choose one or more of the values above.</Empty>;
  return <Chart looks={looks} source={source} label={`${looks.map((look) => labelOf(look.metric)).join(', ')}: ${label}`} />;
}

/* The ring outlives reconnects: what was missed is read again and put in its place. */
function LiveChart({ id, tenant, epoch, looks, found }: ChartProps) {
  const [live] = useState(() => liveSource());
  const past = useLoad(id, epoch, async (signal) => {
    const query = { start_time: new Date(Date.now() - BACKFILL_MS).toISOString(), end_time: new Date().toISOString(), per_page: LIMIT_POINTS };
    const readings = await api.telemetry(tenant, id, query, signal);
    if (signal.aborted) return;
    live.add(readings);
    found(readings);
  });
  useEffect(() => store.tap((reading) => { if (reading.deviceId === id) live.add([reading]); }), [id, live]);
  return (
    <>
      {past.error && <Problem text={past.error} retry={past.reload} />}
      <Frame looks={looks} source={live.source} label="the last minutes, live" />
    </>
  );
}

function liveSource() {
  const ring = new Ring();
  const listeners = new Set<() => void>();
  const source: ChartSource = {
    range: null,
    read: (metrics) => breakGaps(ring.columns(metrics)),
    listen: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
  const add = (readings: readonly Reading[]) => {
    readings.forEach((reading) => ring.push(reading));
    listeners.forEach((listener) => listener());
  };
  return { source, add };
}

function PastChart({ id, tenant, epoch, looks, found, hours, aggregate }: ChartProps & { hours: number; aggregate: Aggregate }) {
  const past = useLoad(`${id} ${hours}`, epoch, async (signal) => {
    const to = Date.now();
    const from = to - hours * HOUR_MS;
    const buckets = await api.aggregated(tenant, id, from, to, signal);
    if (!signal.aborted) found(buckets.avg);
    return { from, to, buckets };
  });
  const source = useMemo(() => past.data && pastSource(past.data.buckets[aggregate], past.data.from, past.data.to), [past.data, aggregate]);
  if (past.error) return <Problem text={past.error} retry={past.reload} />;
  if (!source || !past.data) return <Skeleton rows={6} label="Loading the history" />;
  if (past.data.buckets.avg.length === 0) return <Empty title="No readings in this range." />;
  return <Frame looks={looks} source={source} label={RANGES.find(([key]) => key === String(hours))?.[1] ?? ''} />;
}

function pastSource(readings: readonly Reading[], from: number, to: number): ChartSource {
  const ring = new Ring();
  readings.forEach((reading) => ring.push(reading));
  return { range: [from / 1000, to / 1000], read: (metrics) => breakGaps(ring.columns(metrics)), listen: () => () => undefined };
}
