/**
 * A chart of lines over the last minutes, by uPlot. What it shows is said in its label; the figures are in a table beside it.
 */
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { short } from "../../shared/figures.js";
import { SECONDS, timeOf } from "./store.js";

/** One line: its name, the name of its colour in dashboard.css, and its values. */
export interface Line {
  readonly name: string;
  readonly colour: string;
  readonly values: readonly (number | null)[];
}

interface ChartProps {
  readonly label: string;
  /** In seconds since 1970. */
  readonly times: readonly number[];
  readonly lines: readonly Line[];
  readonly height: number;
}

/** A colour as the style says it is at the moment. */
export function colourOf(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** Calls when the colours of the page change from light to dark, or back. */
export function watchColours(handle: () => void): () => void {
  const query = matchMedia("(prefers-color-scheme: dark)");
  query.addEventListener("change", handle);
  return () => query.removeEventListener("change", handle);
}

export function Chart({ label, times, lines, height }: ChartProps) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const latest = useRef(lines);
  latest.current = lines;
  useEffect(() => {
    const element = place.current;
    if (element === null) return;
    const draw = () => {
      const data = plot.current?.data;
      plot.current?.destroy();
      plot.current = new uPlot(optionsOf(element.clientWidth, height, latest.current), data ?? [[]], element);
    };
    draw();
    const sizes = new ResizeObserver(() => plot.current?.setSize({ width: element.clientWidth, height }));
    sizes.observe(element);
    const stop = watchColours(draw);
    return () => {
      stop();
      sizes.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [height]);
  useEffect(() => {
    plot.current?.setData([[...times], ...lines.map(({ values }) => [...values])] as uPlot.AlignedData);
  }, [times, lines]);
  return (
    <figure>
      <div class="chart" ref={place} role="img" aria-label={label} />
      <figcaption aria-hidden="true">
        {lines.map(({ name, colour, values }) => (
          <span key={name} class={`key ${colour}`}>
            {name} {short(values.at(-1) ?? 0)}
          </span>
        ))}
      </figcaption>
    </figure>
  );
}

function optionsOf(width: number, height: number, lines: readonly Line[]): uPlot.Options {
  const [muted, rule] = [colourOf("muted"), colourOf("rule")];
  const axis = { stroke: muted, grid: { stroke: rule, width: 1 }, ticks: { stroke: rule, width: 1, size: 4 } };
  const font = "11px system-ui, sans-serif";
  return {
    width,
    height,
    legend: { show: false },
    cursor: { show: false },
    padding: [8, 8, 0, 0],
    scales: {
      x: { range: (_, __, to) => [to - SECONDS, to] },
      y: { range: (_, __, to) => [0, Math.max(1, (to ?? 0) * 1.1)] },
    },
    axes: [
      { ...axis, font, size: 24, space: 80, values: (_, splits) => splits.map((value) => timeOf(value * 1000)) },
      { ...axis, font, size: 46, space: 28, values: (_, splits) => splits.map((value) => short(value)) },
    ],
    series: [
      {},
      ...lines.map(({ colour }) => ({
        stroke: colourOf(colour),
        width: 2,
        points: { show: false },
        ...(colour === "accent" ? { fill: `${colourOf(colour)}22` } : {}),
      })),
    ],
  };
}
