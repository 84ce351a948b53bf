// The tiles. Each is a title, a value and a line of more.
import { element } from "./dom.js";
import { bytes, count, millis, rate, UNKNOWN } from "./format.js";

const levelOf = (value) => (value ? "bad" : value === 0 ? "ok" : undefined);

function both(latency) {
  if (!latency) return UNKNOWN;
  const inSeconds = latency.p99 >= 1000 && latency.p99 < 60000;
  return inSeconds ? `${(latency.p50 / 1000).toFixed(2)} / ${(latency.p99 / 1000).toFixed(2)} s`
    : `${millis(latency.p50)} / ${millis(latency.p99)}`;
}

function tiles(n) {
  const slot = n.slot ?? {};
  const held = n.retained_bytes_limit ? `of ${bytes(n.retained_bytes_limit)} at most` : "";
  return [
    ["Events per second", rate(n.events_per_s), `${rate(n.loaded_per_s)} rows/s loaded, ${bytes(n.loaded_bytes_per_s)}/s`],
    ["Rows in", count(n.rows_in), `${count(n.transactions)} transactions in epoch ${n.epoch || UNKNOWN}`],
    ["Rows loaded", count(n.rows_loaded), `after folding ${count(n.rows_folded)} into later images`],
    ["Lag", bytes(n.lag_bytes), "of WAL not confirmed yet"],
    ["Visible after, p50 / p99", both(n.latency_recent), `commit to visible, last 5 s; overall ${both(n.latency_overall)}`],
    ["Confirmed LSN", n.confirmed_lsn ?? UNKNOWN, `stored ${n.stored_lsn ?? UNKNOWN}, server ${n.server_lsn ?? UNKNOWN}`],
    ["Slot", slot.wal_status ?? UNKNOWN, `${slot.name ?? "slot"} keeps ${bytes(slot.retained_wal_bytes)} of WAL`, slot.level],
    ["Retained by the reader", bytes(n.retained_bytes), held],
    ["Full loads", count(n.full_loads), `${count(n.running_loads)} under way`],
    ["Partial loads", count(n.partial_loads), `${count(n.partial_rows)} rows kept their TOAST values`],
    ["Rows unaccounted", count(n.rows_unaccounted), "always 0, or something is wrong", levelOf(n.rows_unaccounted)],
    ["Dead letters", count(n.dead_letters), `${count(n.policy_values)} values changed by a policy`,
      n.dead_letters ? "warn" : undefined],
  ];
}

export function showNumbers(list, numbers) {
  for (const [index, [title, value, more, level]] of tiles(numbers).entries()) {
    const tile = list.children[index] ?? addTile(list, title);
    const [, shown, below] = tile.children;
    shown.textContent = value;
    below.textContent = more;
    if (level) shown.dataset.level = level;
    else delete shown.dataset.level;
  }
}

function addTile(list, title) {
  const tile = element("div", {}, element("dt", {}, title), element("dd", { className: "value" }), element("dd", { className: "more" }));
  list.append(tile);
  return tile;
}
