// What the charts do not show: each tile is a title, a value and a line of more.
import { element, say, setLevel } from "./dom.js";
import { bytes, clock, count, isKnown, percent, span, text, UNKNOWN } from "./format.js";

const zero = (value) => (isKnown(value) ? (value ? "bad" : "ok") : undefined);

function loss(slot) {
  if (isKnown(slot.loss_in_s)) return `lost in ${span(slot.loss_in_s)} at this rate`;
  return isKnown(slot.growth_bytes_per_s) && slot.growth_bytes_per_s <= 0 ? "not growing" : "";
}

function kept(slot) {
  const room = isKnown(slot.safe_wal_bytes) ? `${bytes(slot.safe_wal_bytes)} to the limit` : "";
  return [slot.wal_status ? `${slot.wal_status}` : "status unknown", room, loss(slot)].filter(Boolean).join(" · ");
}

function tiles(n, now) {
  const slot = n.slot ?? {};
  const held = n.retained_bytes_limit ? `of ${bytes(n.retained_bytes_limit)} the reader may hold` : "";
  return [
    { title: "Slot keeps WAL", value: bytes(slot.retained_wal_bytes), more: kept(slot), level: slot.level,
      share: isKnown(slot.safe_wal_bytes) && isKnown(slot.retained_wal_bytes)
        ? slot.retained_wal_bytes / Math.max(1, slot.retained_wal_bytes + slot.safe_wal_bytes) : undefined },
    { title: "Partial updates", value: percent(n.partial_share), unit: "of rows",
      more: `${count(n.partial_rows)} rows kept their TOAST values · ${count(n.partial_loads)} partial, ${count(n.full_loads)} full loads` },
    { title: "Last sync", value: clock(n.last_sync_ms),
      more: [isKnown(n.last_sync_ms) ? `${span((now - n.last_sync_ms) / 1000)} ago` : "nothing loaded yet that is known of",
        `${count(n.running_loads)} loads under way`, n.paused ? "paused" : ""].filter(Boolean).join(" · "), level: n.paused ? "warn" : undefined },
    { title: "Confirmed LSN", value: text(n.confirmed_lsn), mono: true,
      more: `stored ${text(n.stored_lsn)} · server ${text(n.server_lsn)}` },
    { title: "Rows loaded", value: count(n.rows_loaded),
      more: `of ${count(n.rows_in)} read · ${count(n.rows_folded)} folded into later ones · ${count(n.transactions)} transactions` },
    { title: "Reader retains", value: bytes(n.retained_bytes), more: held,
      share: n.retained_bytes_limit && isKnown(n.retained_bytes) ? n.retained_bytes / n.retained_bytes_limit : undefined },
    { title: "Rows unaccounted", value: count(n.rows_unaccounted), more: "0, or something is wrong", level: zero(n.rows_unaccounted) },
    { title: "Dead letters", value: count(n.dead_letters), more: `${count(n.policy_values)} values changed by a policy`,
      level: n.dead_letters ? "warn" : undefined },
  ];
}

export function showFacts(list, numbers, now) {
  for (const [index, tile] of tiles(numbers, now).entries()) {
    const box = list.children[index] ?? add(list, tile);
    const [, value, bar, more] = box.children;
    setLevel(box, tile.level);
    say(value.firstChild, tile.value);
    say(value.lastChild, tile.unit && tile.value !== UNKNOWN ? tile.unit : "");
    say(more, tile.more);
    bar.hidden = tile.share === undefined;
    bar.firstChild.style.width = `${Math.min(100, (tile.share ?? 0) * 100).toFixed(1)}%`;
  }
}

function add(list, { title, mono }) {
  const value = element("dd", { className: mono ? "value mono" : "value" }, element("span"), element("span", { className: "unit" }));
  const bar = element("dd", { className: "bar" }, element("span"));
  bar.setAttribute("aria-hidden", "true");
  const box = element("div", {}, element("dt", {}, title), value, bar, element("dd", { className: "more" }));
  list.append(box);
  return box;
}
