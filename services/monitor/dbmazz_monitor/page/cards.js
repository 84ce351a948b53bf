// The four headline figures, each over its last five minutes.
import { Chart } from "./chart.js";
import { element, say } from "./dom.js";
import { brief, bytes, clock, duration, isKnown, millis, rate, UNKNOWN } from "./format.js";

const SPAN_MS = 300000;

function latency(one) {
  if (!one) return UNKNOWN;
  return `${millis(one.p50)} / ${millis(one.p99)}`;
}

const CARDS = [
  { title: "Throughput", unit: "events/s", tick: brief, floor: 10,
    series: [{ field: "events", tone: "read", fill: true, name: "read" },
      { field: "loaded", tone: "load", dash: [5, 3], name: "loaded" }],
    value: (n) => rate(n.events_per_s),
    more: (n) => `${rate(n.loaded_per_s)} rows/s loaded · ${isKnown(n.loaded_bytes_per_s) ? `${bytes(n.loaded_bytes_per_s)}/s` : UNKNOWN}`,
    format: rate },
  { title: "Lag in time", tick: duration, floor: 100,
    series: [{ field: "lag_ms", tone: "lag", fill: true }],
    value: (n) => millis(n.lag_ms), more: () => "age of the oldest commit not confirmed", format: millis },
  { title: "Lag in WAL", tick: bytes, binary: true, floor: 1024,
    series: [{ field: "lag", tone: "lag", fill: true }],
    value: (n) => bytes(n.lag_bytes), more: () => "written by PostgreSQL, not confirmed", format: bytes },
  { title: "Commit to visible", unit: "p50 / p99", tick: duration, floor: 100,
    series: [{ field: "p99", tone: "p99", fill: true, name: "p99" }],
    value: (n) => latency(n.latency_recent), more: (n) => `last 5 s · since start ${latency(n.latency_overall)}`, format: millis },
];

export class Cards {
  constructor(box) {
    this.points = [];
    this.cards = CARDS.map((spec) => card(box, spec));
  }

  // The points so far; comes first, and again when the stream was dialled anew.
  take(points) {
    this.points = points;
    this.draw();
  }

  show(numbers, point, now) {
    if (point && point.t > (this.points.at(-1)?.t ?? 0)) this.points.push(point);
    this.points = this.points.filter((one) => one.t >= now - SPAN_MS);
    for (const one of this.cards) {
      say(one.value, one.spec.value(numbers));
      say(one.more, one.spec.more(numbers));
    }
    this.draw();
  }

  draw() {
    for (const one of this.cards) {
      one.chart.show(this.points);
      one.box.setAttribute("aria-label", `${one.spec.title}, chart of the last five minutes. Arrow keys read it.`);
    }
  }

  repaint() {
    for (const one of this.cards) one.chart.repaint();
  }
}

function card(box, spec) {
  const made = { spec, value: element("strong", { className: "value" }, UNKNOWN), more: element("p", { className: "more" }, " "),
    reading: element("output"), box: element("div", { className: "plot" }) };
  made.box.setAttribute("role", "img");
  const unit = spec.unit ? [element("span", { className: "unit" }, spec.unit)] : [];
  box.append(element("figure", {},
    element("figcaption", {}, element("span", { className: "title" }, spec.title), ...legend(spec), made.reading),
    element("p", { className: "figure" }, made.value, ...unit), made.more, made.box));
  made.chart = new Chart(made.box, spec, (point) => say(made.reading, point ? told(spec, point) : ""));
  return made;
}

const legend = ({ series }) => (series.length < 2 ? [] : series.map((one) =>
  element("span", { className: `key ${one.tone}` }, one.name)));

function told(spec, point) {
  const values = spec.series.map((one) => `${one.name ? `${one.name} ` : ""}${spec.format(point[one.field])}`);
  return `${clock(point.t)} · ${values.join(" · ")}`;
}
