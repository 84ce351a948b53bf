// One uPlot over the last five minutes. Gaps are samples without a value. Pointer or arrow keys read it.
import uPlot from "./vendor/uplot/uPlot.esm.js";
import { hourMinute } from "./format.js";

const SPAN_S = 300;
const GAP_MS = 8000;
const HEIGHT = 104;
const FONT = "11px system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif";
// Where an axis may end: halves are shown too, so they must read well.
const DECIMAL = Array.from({ length: 13 }, (_, power) => [1, 2, 4, 6].map((step) => step * 10 ** power)).flat();
const BINARY = Array.from({ length: 48 }, (_, power) => 2 ** power);

const tone = (name) => () => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const sync = uPlot.sync("last-minutes");

// `series`: [{field, tone, dash}]; `read(point or null)` is called with what the cursor is on.
export class Chart {
  constructor(box, { series, tick, binary = false, floor = 1 }, read) {
    Object.assign(this, { box, series, read, points: [], index: null });
    this.plot = new uPlot(this.options(tick, binary ? BINARY : DECIMAL, floor), [[], ...series.map(() => [])], box);
    box.tabIndex = 0;
    box.addEventListener("keydown", (event) => this.key(event));
    box.addEventListener("blur", () => this.point(null));
    new ResizeObserver(() => this.plot.setSize({ width: Math.max(120, box.clientWidth), height: HEIGHT })).observe(box);
  }

  options(tick, ends, floor) {
    const axis = { font: FONT, stroke: tone("soft"), ticks: { show: false } };
    return {
      width: Math.max(120, this.box.clientWidth), height: HEIGHT, padding: [6, 18, 0, 0],
      legend: { show: false }, select: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 }, sync: { key: sync.key } },
      hooks: { setCursor: [(plot) => this.heard(plot.cursor.idx)] },
      scales: {
        x: { time: true, range: (_, low, high) => [(high ?? Date.now() / 1000) - SPAN_S, high ?? Date.now() / 1000] },
        y: { range: (_, low, high) => [0, top(Math.max(high ?? 0, floor), ends)] },
      },
      axes: [
        { ...axis, size: 20, gap: 3, space: 70, incrs: [60, 120, 300], grid: { show: false },
          values: (_, splits) => splits.map((s) => hourMinute(s * 1000)) },
        { ...axis, size: 52, gap: 6, splits: (_, axis, low, high) => [0, high / 2, high], grid: { stroke: tone("line"), width: 1 },
          values: (_, splits) => splits.map(tick) },
      ],
      series: [{}, ...this.series.map((one) => ({ stroke: tone(one.tone), width: 1.75, dash: one.dash, spanGaps: false,
        fill: one.fill ? tone(`${one.tone}-fill`) : undefined, points: { show: false } }))],
    };
  }

  show(points) {
    this.points = withGaps(points);
    const column = (field) => this.points.map((point) => point[field] ?? null);
    const { left } = this.plot.cursor;
    this.plot.setData([this.points.map((point) => point.t / 1000), ...this.series.map((one) => column(one.field))]);
    if (left < 0) this.heard(null);
  }

  repaint() {
    this.plot.redraw(true, true);
  }

  heard(index) {
    this.index = index ?? null;
    this.read(this.index === null ? null : this.points[this.index]);
  }

  key(event) {
    const last = this.points.length - 1;
    const now = this.index ?? last;
    const next = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: last, PageUp: now - 30, PageDown: now + 30 }[event.key];
    if (event.key === "Escape") this.point(null);
    if (next === undefined || last < 0) return;
    event.preventDefault();
    this.point(Math.min(last, Math.max(0, next)));
  }

  point(index) {
    const left = index === null ? -10 : this.plot.valToPos(this.points[index].t / 1000, "x");
    this.plot.setCursor({ left, top: index === null ? -10 : 10 });
  }
}

// The axis stays still while values wander.
const top = (value, ends) => ends.find((end) => value <= end) ?? value;

function withGaps(points) {
  const found = [];
  for (const point of points) {
    const before = found.at(-1);
    if (before && point.t - before.t > GAP_MS) found.push({ t: before.t + 1 });
    found.push(point);
  }
  return found;
}
