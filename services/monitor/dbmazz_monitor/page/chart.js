// One line over the last five minutes, in plain SVG. Gaps are samples without a value. Pointer or arrow keys read it.
import { element } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
const SPAN_MS = 300000;
const HEIGHT = 132, LEFT = 46, RIGHT = 8, TOP = 10, BOTTOM = 20;

export class Chart {
  constructor(figure, { title, field, tone, format, brief, steps = [1, 2, 5, 10] }) {
    Object.assign(this, { field, format, brief, title, steps, points: [], cursor: null });
    figure.style.setProperty("--tone", `var(--${tone})`);
    this.reading = element("output");
    this.svg = document.createElementNS(SVG, "svg");
    this.svg.setAttribute("tabindex", "0");
    this.svg.setAttribute("role", "img");
    figure.append(element("figcaption", {}, element("span", {}, title), this.reading), this.svg);
    this.svg.addEventListener("pointermove", (event) => this.pointAt(event));
    this.svg.addEventListener("pointerleave", () => this.read(null));
    this.svg.addEventListener("blur", () => this.read(null));
    this.svg.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.draw()).observe(figure);
  }

  show(points) {
    this.points = points;
    if (this.cursor !== null && !points.some((point) => point.t === this.cursor)) this.cursor = null;
    this.draw();
  }

  key(event) {
    const last = this.points.length - 1;
    const now = this.cursor === null ? last : this.points.findIndex((point) => point.t === this.cursor);
    const next = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: last, PageUp: now - 30, PageDown: now + 30 }[event.key];
    if (event.key === "Escape") this.read(null);
    if (next === undefined || last < 0) return;
    event.preventDefault();
    this.read(this.points[Math.min(last, Math.max(0, next))].t);
  }

  pointAt(event) {
    const { left } = this.svg.getBoundingClientRect();
    const t = this.scale().time(event.clientX - left);
    let nearest = null;
    for (const point of this.points) {
      if (nearest === null || Math.abs(point.t - t) < Math.abs(nearest - t)) nearest = point.t;
    }
    this.read(nearest);
  }

  read(t) {
    this.cursor = t;
    this.draw();
  }

  scale() {
    const width = this.svg.clientWidth || 300;
    const end = this.points.at(-1)?.t ?? Date.now();
    const top = nice(Math.max(1, ...this.points.map((point) => point[this.field] ?? 0)), this.steps);
    const plot = width - LEFT - RIGHT;
    return { width, end, top, x: (t) => LEFT + (1 - (end - t) / SPAN_MS) * plot,
      time: (x) => end - (1 - (x - LEFT) / plot) * SPAN_MS,
      y: (value) => TOP + (1 - value / top) * (HEIGHT - TOP - BOTTOM) };
  }

  draw() {
    const { width, end, top, x, y } = this.scale();
    this.svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    const parts = [0, top / 2, top].flatMap((value) => [
      part("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) }),
      part("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, this.brief(value)),
    ]);
    for (const minutes of width > 320 ? [5, 3, 1] : [5, 3]) {
      const place = { x: x(end - minutes * 60000), y: HEIGHT - 5, "text-anchor": minutes === 5 ? "start" : "middle" };
      parts.push(part("text", place, `−${minutes} min`));
    }
    parts.push(part("text", { x: width - RIGHT, y: HEIGHT - 5, "text-anchor": "end" }, "now"));
    for (const run of runs(this.points, this.field)) parts.push(...this.line(run, x, y));
    const point = this.points.find((one) => one.t === this.cursor);
    if (point) parts.push(part("line", { class: "cursor", x1: x(point.t), x2: x(point.t), y1: TOP, y2: HEIGHT - BOTTOM }));
    this.svg.replaceChildren(...parts);
    this.tell(point);
  }

  line(run, x, y) {
    const places = run.map((point) => `${x(point.t).toFixed(1)} ${y(point[this.field]).toFixed(1)}`);
    if (run.length === 1) {
      return [part("circle", { class: "lone", r: 2, cx: x(run[0].t), cy: y(run[0][this.field]) })];
    }
    const line = `M${places.join("L")}`;
    const area = `${line}L${x(run.at(-1).t).toFixed(1)} ${y(0)}L${x(run[0].t).toFixed(1)} ${y(0)}Z`;
    return [part("path", { class: "area", d: area }), part("path", { class: "series", d: line })];
  }

  tell(point) {
    const shown = point ?? this.points.at(-1);
    const value = shown ? this.format(shown[this.field]) : this.format(null);
    const clock = point ? `${new Date(point.t).toLocaleTimeString()}: ` : "";
    this.reading.textContent = clock + value;
    this.svg.setAttribute("aria-label", `${this.title}, ${clock || "now "}${value}. Arrow keys move through time.`);
  }
}

// Stretches of samples with a value and without a longer gap in time.
function runs(points, field) {
  const found = [];
  let run = [];
  for (const point of points) {
    const late = run.length && point.t - run.at(-1).t > 8000;
    if (late || point[field] === null) {
      if (run.length) found.push(run);
      run = [];
    }
    if (point[field] !== null) run.push(point);
  }
  return run.length ? [...found, run] : found;
}

// The next of `steps` times a power of the last one, so that the axis stays still while values wander.
function nice(value, steps) {
  const base = steps.at(-1);
  const power = base ** Math.floor(Math.log(value) / Math.log(base));
  return (steps.find((step) => step * power >= value) ?? base) * power;
}

function part(tag, attributes, text) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}
