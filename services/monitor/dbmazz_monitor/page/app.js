// Follows the event stream and hands each sample to the parts of the page.
import { Chart } from "./chart.js";
import { element, fill } from "./dom.js";
import { brief, bytes, millis, rate } from "./format.js";
import { showServices, showSignatures, showTables } from "./lists.js";
import { showNumbers } from "./numbers.js";
import { Ring } from "./ring.js";

const SPAN_MS = 300000;
const STALE_MS = 8000;
const find = (id) => document.getElementById(id);

const ring = new Ring(find("ring"), find("nodes"), find("links"), find("ring-words"));
const charts = [
  new Chart(find("chart-events"), { title: "Events per second", field: "events", tone: "events", format: rate, brief }),
  new Chart(find("chart-lag"), { title: "Lag, WAL not confirmed", field: "lag", tone: "lag", format: bytes, brief: bytes,
    steps: [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024] }),
  new Chart(find("chart-p99"), { title: "Commit to visible, p99", field: "p99", tone: "p99", format: millis, brief: millis }),
];
let points = [];
let heardAt = 0;

function show(state) {
  heardAt = Date.now();
  setLevel(find("headline"), state.headline.level, state.headline.text);
  document.title = `${state.headline.level === "ok" ? "" : "⚠ "}dbmazz: ${state.headline.text}`;
  const problems = state.problems.map(({ level, text }) => setLevel(element("li"), level, text));
  fill(find("problems"), problems);
  ring.show(state.ring);
  showNumbers(find("numbers"), state.numbers);
  showTables(state.tables);
  showSignatures(state.signatures);
  showServices(state.replicas);
  if (state.point && state.point.t > (points.at(-1)?.t ?? 0)) points.push(state.point);
  points = points.filter((point) => point.t >= state.time_ms - SPAN_MS);
  for (const chart of charts) chart.show(points);
  showLink();
}

// Only on a change: the headline is a live region, which screen readers speak.
function setLevel(target, level, text) {
  target.dataset.level = level;
  if (target.textContent !== text) target.textContent = text;
  return target;
}

function showLink() {
  const silent = Date.now() - heardAt;
  const fresh = heardAt && silent < STALE_MS;
  const since = heardAt ? `no news since ${new Date(heardAt).toLocaleTimeString()}` : "connecting";
  setLevel(find("link"), fresh ? "ok" : heardAt ? "bad" : "idle", fresh ? "live" : since);
  document.body.classList.toggle("stale", Boolean(heardAt) && !fresh);
}

// The browser dials again by itself, but not after an answer that is no stream (a proxy's 502, too many pages).
function follow() {
  const source = new EventSource("events");
  source.addEventListener("history", (event) => { points = JSON.parse(event.data); });
  source.addEventListener("state", (event) => show(JSON.parse(event.data)));
  source.addEventListener("error", () => {
    showLink();
    if (source.readyState === EventSource.CLOSED) setTimeout(follow, 3000);
  });
}

const themes = ["auto", "light", "dark"];
function setTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  find("theme").textContent = `Theme: ${theme}`;
  localStorage.setItem("dbmazz-theme", theme);
}
find("theme").addEventListener("click", () => {
  const now = themes.indexOf(localStorage.getItem("dbmazz-theme") ?? "auto");
  setTheme(themes[(now + 1) % themes.length]);
});
setTheme(themes.includes(localStorage.getItem("dbmazz-theme")) ? localStorage.getItem("dbmazz-theme") : "auto");
setInterval(showLink, 1000);
follow();
