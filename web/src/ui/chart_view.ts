/*
 * chart_view - one uPlot, made once for a set of metrics; new data are put in once per animation frame.
 *
 * Owner: the Chart component that made it; destroy () ends it.
 */
import uPlot from 'uplot';
import { timeRange, valueRange } from '../core/axis';
import { formatNumber, formatTime, formatValue, labelOf, unitOf } from '../core/format';
import type { Columns } from '../core/ring';

export interface ChartSource {
  read: (metrics: readonly string[]) => Columns;
  listen: (listener: () => void) => () => void;
  range: readonly [number, number] | null; /* seconds; null: what the data span, at least a minute */
}

export interface SeriesLook {
  metric: string;
  colour: string;
}

const HEIGHT = 300;
const HEIGHT_NARROW = 240;

/* Tick increments in seconds and their labels: 24 hours. */
const TIME_LABELS: (string | number | null)[][] = [
  [86400 * 365, '{YYYY}', null, null, null, null, null, null, 1],
  [86400 * 28, '{MMM}', '\n{YYYY}', null, null, null, null, null, 1],
  [86400, '{MMM} {D}', '\n{YYYY}', null, null, null, null, null, 1],
  [60, '{HH}:{mm}', '\n{MMM} {D}', null, '\n{MMM} {D}', null, null, null, 1],
  [1, '{HH}:{mm}:{ss}', '\n{MMM} {D}', null, '\n{MMM} {D}', null, null, null, 1],
];

function scaleOf(metric: string): string {
  return unitOf(metric) || metric;
}

/* Colours come from the style sheet, so that light and dark are decided in one place. */
function css(element: Element, name: string): string {
  return getComputedStyle(element).getPropertyValue(name).trim();
}

function axesOf(place: HTMLElement, looks: readonly SeriesLook[]): uPlot.Axis[] {
  const ink = css(place, '--ink-soft');
  const line = css(place, '--line');
  const font = `12px ${getComputedStyle(place).fontFamily}`;
  const time: uPlot.Axis = { stroke: ink, font, grid: { stroke: line, width: 1 }, ticks: { show: false }, values: TIME_LABELS as uPlot.Axis.Values, space: 70 };
  const scales = [...new Set(looks.map((look) => scaleOf(look.metric)))].slice(0, 2);
  const sides = scales.map((scale, i): uPlot.Axis => ({
    scale, side: i === 0 ? 3 : 1, stroke: ink, font, size: 52, ticks: { show: false },
    grid: { show: i === 0, stroke: line, width: 1 },
    values: (_, ticks) => ticks.map((tick) => formatNumber(tick)),
  }));
  return [time, ...sides];
}

function seriesOf(place: HTMLElement, look: SeriesLook, alone: boolean): uPlot.Series {
  const stroke = css(place, look.colour);
  return {
    label: labelOf(look.metric), scale: scaleOf(look.metric), stroke, width: 1.75,
    points: { size: 5 },
    value: (plot, value, index, at) => formatValue(look.metric, at == null ? lastOf(plot, index) : value),
    ...(alone && { fill: `${stroke}1a` }),
  };
}

/* Without a cursor the legend tells the newest value. */
function lastOf(plot: uPlot, index: number): number | null {
  const column = plot.data[index];
  for (let i = (column?.length ?? 0) - 1; i >= 0; i--) if (column![i] != null) return column![i]!;
  return null;
}

function timeText(seconds: number | null): string {
  return formatTime(seconds === null ? null : seconds * 1000);
}

function scalesOf(metrics: readonly string[], range: ChartSource['range']): uPlot.Scales {
  const scales: uPlot.Scales = { x: { time: true, range: (plot) => (range ? [range[0], range[1]] : timeRange(plot.data[0])) } };
  for (const metric of metrics) scales[scaleOf(metric)] = { range: (_, min, max) => valueRange(min, max) };
  return scales;
}

export class ChartView {
  private readonly plot: uPlot;
  private readonly stopListening: () => void;
  private readonly resize: ResizeObserver;
  private frame = 0;

  constructor(private readonly place: HTMLElement, looks: readonly SeriesLook[], private readonly source: ChartSource) {
    const metrics = looks.map((look) => look.metric);
    this.plot = new uPlot({
      ...this.size(), scales: scalesOf(metrics, source.range), axes: axesOf(place, looks),
      series: [{ label: 'Time', value: (plot, at) => timeText(at ?? lastOf(plot, 0)) },
        ...looks.map((look) => seriesOf(place, look, looks.length === 1))],
      cursor: { y: false, drag: { x: false, y: false } },
      legend: { live: true },
    }, source.read(metrics) as uPlot.AlignedData, place);
    this.stopListening = source.listen(() => this.redraw(metrics));
    this.resize = new ResizeObserver(() => this.plot.setSize(this.size()));
    this.resize.observe(place);
  }

  destroy(): void {
    this.stopListening();
    this.resize.disconnect();
    cancelAnimationFrame(this.frame);
    this.plot.destroy();
  }

  private redraw(metrics: readonly string[]): void {
    if (this.frame !== 0) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.plot.setData(this.source.read(metrics) as uPlot.AlignedData);
    });
  }

  private size(): { width: number; height: number } {
    const width = Math.max(200, this.place.clientWidth);
    return { width, height: width < 520 ? HEIGHT_NARROW : HEIGHT };
  }
}
