import { useEffect, useRef, useSyncExternalStore } from 'react';
import { ChartView, type ChartSource, type SeriesLook } from './chart_view';

const dark = matchMedia('(prefers-color-scheme: dark)');

function listenDark(listener: () => void): () => void {
  dark.addEventListener('change', listener);
  return () => dark.removeEventListener('change', listener);
}

/* The plot is made anew for other metrics, another source or another theme only, never for new data. */
export function Chart({ looks, source, label }: { looks: readonly SeriesLook[]; source: ChartSource; label: string }) {
  const place = useRef<HTMLDivElement>(null);
  const isDark = useSyncExternalStore(listenDark, () => dark.matches);
  const key = looks.map((look) => look.metric + look.colour).join();
  useEffect(() => {
    if (!place.current) return;
    const view = new ChartView(place.current, looks, source);
    return () => view.destroy();
  }, [key, source, isDark]);
  return <div ref={place} className="chart" role="img" aria-label={label} />;
}
