// The replicated tables: what is known of them, which are shown and in what order.
import { Detail } from "./detail.js";
import { element, find, say, setLevel, icon } from "./dom.js";
import { count, isKnown, plural } from "./format.js";
import { COLUMNS, fillTotals } from "./columns.js";
import { Rows } from "./rows.js";

const LEVELS = [["bad", "Problem"], ["warn", "Warning"], ["ok", "Fine"], ["idle", "Idle"]];
// Fine and idle change all the time: sorted alike, rows stay where they are.
const URGENCY = { bad: 0, warn: 1, ok: 2, idle: 2 };
const words = new Intl.Collator("en", { numeric: true });

export class TableView {
  constructor() {
    Object.assign(this, { known: new Map(), sort: { key: "level", down: false }, level: "", query: "", empty: "", told: false });
    this.rows = new Rows(find("table-box"), find("table-rows"), (name) => this.detail.open(name));
    this.detail = new Detail(this.known, () => this.told);
    this.buttons = new Map(["", ...LEVELS.map(([level]) => level)].map((level) => [level, this.button(level)]));
    find("filter").addEventListener("input", (event) => { this.query = event.target.value.trim().toLowerCase(); this.draw(true); });
    find("table-sorts").addEventListener("click", (event) => this.sortBy(event.target.closest("button")?.dataset.key));
    this.showSort();
  }

  // `all` replaces what is known; otherwise `rows` are the changed ones.
  take({ all, rows, removed }) {
    if (all) this.known.clear();
    for (const row of rows) this.known.set(row.name, row);
    for (const name of removed) this.known.delete(name);
    this.told = true;
    this.draw(false);
    this.detail.refresh();
  }

  showState({ tables, numbers }) {
    this.empty = tables.empty;
    fillTotals(find("table-totals"), tables.totals);
    say(find("table-summary"), summary(tables.totals));
    const levels = tables.totals.levels ?? {};
    for (const [level, button] of this.buttons) {
      say(button.lastChild, count(level ? levels[level] : tables.totals.tables));
    }
    this.showEmpty();
    this.detail.showState(numbers);
  }

  draw(moved) {
    if (moved || !this.rows.held()) this.order = this.ordered();
    this.rows.show(this.order.filter((name) => this.known.has(name)).map((name) => this.known.get(name)), moved);
    this.showEmpty();
  }

  ordered() {
    const { key, down } = this.sort;
    const found = [...this.known.values()].filter((row) => this.wanted(row));
    const turn = down ? -1 : 1;
    found.sort((a, b) => compare(a, b, key, turn) || words.compare(a.name, b.name));
    return found.map((row) => row.name);
  }

  wanted(row) {
    if (this.level && row.level !== this.level) return false;
    return !this.query || `${row.name}\n${row.target}\n${row.status}`.toLowerCase().includes(this.query);
  }

  button(level) {
    const word = LEVELS.find(([one]) => one === level)?.[1] ?? "All";
    const made = element("button", { type: "button" }, ...(level ? [icon(level)] : []), element("span", {}, word), element("span", { className: "n" }));
    setLevel(made, level);
    made.setAttribute("aria-pressed", String(level === this.level));
    made.addEventListener("click", () => {
      this.level = level;
      for (const [one, button] of this.buttons) button.setAttribute("aria-pressed", String(one === level));
      this.draw(true);
    });
    find("levels").append(made);
    return made;
  }

  // The first press sorts numbers from the top and words from A; the next turns it round.
  sortBy(key) {
    if (!key) return;
    const fresh = COLUMNS.find((column) => column.key === key).number ?? false;
    this.sort = { key, down: this.sort.key === key ? !this.sort.down : fresh };
    this.showSort();
    this.draw(true);
  }

  showSort() {
    for (const head of find("table-sorts").children) {
      const chosen = head.firstElementChild.dataset.key === this.sort.key;
      if (chosen) head.setAttribute("aria-sort", this.sort.down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    }
  }

  showEmpty() {
    const none = this.told && !this.order?.length;
    const note = find("tables-empty");
    note.hidden = !none;
    say(note, this.known.size ? "No table matches the filter." : this.empty);
    find("table-box").hidden = this.known.size === 0;
  }
}

function compare(a, b, key, turn) {
  if (key === "level") return (URGENCY[a.level] - URGENCY[b.level]) * turn;
  const [x, y] = [a[key], b[key]];
  if (!isKnown(x) || !isKnown(y)) return isKnown(y) - isKnown(x); // unknown values stay below, either way
  return (typeof x === "string" ? words.compare(x, y) : x - y) * turn;
}

function summary(totals) {
  const parts = [];
  if (isKnown(totals.with_audit)) parts.push(`${count(totals.with_audit)} with audit columns`);
  if (totals.without_audit) parts.push(`${count(totals.without_audit)} without`);
  if (totals.not_replicated) parts.push(`${plural(totals.not_replicated, "table")} on both sides not replicated`);
  return parts.join(" · ");
}
