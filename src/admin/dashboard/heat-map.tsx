/**
 * The latency heat map: a canvas with a column a second and a row for each half power of two; the more exchanges took so
 * long, the fuller the colour. The line is the 99th percentile.
 */
import { useEffect, useRef } from "preact/hooks";
import type { Point } from "../../control/live-frames.js";
import { colourOf, watchColours } from "./chart.jsx";
import { columnOf, heightOf, MARKS, ROWS } from "./heat.js";
import { SECONDS } from "./store.js";

/** Room for the durations on the left, and of the map's height, in CSS pixels. */
const LEFT = 52;
const HEIGHT = 210;

interface HeatMapProps {
  readonly points: readonly Point[];
  readonly subBits: number;
  readonly label: string;
}

export function HeatMap({ points, subBits, label }: HeatMapProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const redraw = useRef(() => {});
  redraw.current = () => {
    if (canvas.current !== null) draw(canvas.current, points, subBits);
  };
  useEffect(() => redraw.current(), [points, subBits]);
  useEffect(() => {
    if (canvas.current === null) return;
    const sizes = new ResizeObserver(() => redraw.current());
    sizes.observe(canvas.current);
    const stop = watchColours(() => redraw.current());
    return () => {
      stop();
      sizes.disconnect();
    };
  }, []);
  return <canvas ref={canvas} class="heat" role="img" aria-label={label} />;
}

function draw(canvas: HTMLCanvasElement, points: readonly Point[], subBits: number): void {
  const [width, ratio] = [canvas.clientWidth, devicePixelRatio];
  const pen = canvas.getContext("2d");
  if (pen === null || width === 0) return;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(HEIGHT * ratio);
  pen.scale(ratio, ratio);
  drawMarks(pen, width);
  const columns = points.map((point) => columnOf(point, subBits));
  const most = Math.max(1, ...columns.flat());
  const [step, rise] = [(width - LEFT) / SECONDS, HEIGHT / ROWS];
  const xOf = (at: number) => width - (points.length - at) * step;
  pen.fillStyle = colourOf("accent");
  for (const [at, rows] of columns.entries()) {
    for (const [row, count] of rows.entries()) {
      if (count === 0) continue;
      pen.globalAlpha = 0.15 + 0.85 * Math.sqrt(count / most);
      pen.fillRect(xOf(at), HEIGHT - (row + 1) * rise, Math.max(1, step + 0.3), rise);
    }
  }
  pen.globalAlpha = 1;
  drawLine(pen, points, xOf);
}

function drawMarks(pen: CanvasRenderingContext2D, width: number): void {
  pen.font = "11px system-ui, sans-serif";
  pen.textAlign = "right";
  pen.textBaseline = "middle";
  pen.strokeStyle = colourOf("rule");
  pen.fillStyle = colourOf("muted");
  for (const [ms, name] of MARKS) {
    const y = Math.round(HEIGHT * (1 - heightOf(ms))) + 0.5;
    pen.beginPath();
    pen.moveTo(LEFT, y);
    pen.lineTo(width, y);
    pen.stroke();
    pen.fillText(name, LEFT - 6, y);
  }
}

function drawLine(pen: CanvasRenderingContext2D, points: readonly Point[], xOf: (at: number) => number): void {
  pen.strokeStyle = colourOf("warn");
  pen.lineWidth = 2;
  pen.beginPath();
  let isDown = false;
  for (const [at, { p99 }] of points.entries()) {
    if (p99 === null) {
      isDown = false;
      continue;
    }
    const y = HEIGHT * (1 - heightOf(p99));
    if (isDown) pen.lineTo(xOf(at), y);
    else pen.moveTo(xOf(at), y);
    isDown = true;
  }
  pen.stroke();
}
