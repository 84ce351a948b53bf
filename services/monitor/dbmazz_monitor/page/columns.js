// The columns of the tables: how a value reads, and the totals below.
import { element, icon, say, setIcon, setLevel } from "./dom.js";
import { count, isKnown, millis, plain, rate, UNKNOWN } from "./format.js";

export const estimated = (rows, exact) => (isKnown(rows) ? `${exact ? "" : "≈ "}${count(rows)}` : UNKNOWN);
export const audited = (audit) => (isKnown(audit) ? (audit ? "yes" : "no") : UNKNOWN);
const perSecond = (value) => (isKnown(value) ? `${rate(value)}/s` : UNKNOWN);

// `key` is the field that is sorted by.
export const COLUMNS = [
  { key: "name", label: "Table" },
  { key: "level", label: "Status" },
  { key: "source_rows", label: "Source rows", number: true, show: (row) => estimated(row.source_rows, row.source_exact) },
  { key: "target_rows", label: "Live in target", number: true, show: (row) => count(row.target_rows) },
  { key: "deleted_rows", label: "Soft-deleted", number: true, show: (row) => count(row.deleted_rows) },
  { key: "lag_ms", label: "Lag", number: true, show: (row) => millis(row.lag_ms) },
  { key: "rate", label: "Rate", number: true, show: (row) => perSecond(row.rate) },
  { key: "partial_rows", label: "Partial rows", number: true, show: (row) => count(row.partial_rows) },
  { key: "audit", label: "Audit", show: (row) => audited(row.audit) },
];

const DRAWN = new Set(["moving", "idle", "partial", "retry", "parked", "waiting", "unaudited", "absent", "down"]);
export const picture = (row) => (DRAWN.has(row.icon) ? row.icon : row.level);

// Cells of one row; `show` writes a table into them.
export class Row {
  constructor() {
    this.button = element("button", { type: "button", className: "open", tabIndex: -1 }, element("bdi"));
    this.state = element("span", { className: "state" }, icon("idle"), element("span"));
    this.cells = COLUMNS.slice(2).map((column) => {
      const made = element("td", { className: column.number ? "num" : "" });
      made.dataset.label = column.label;
      made.dataset.key = column.key;
      return made;
    });
    const head = element("th", { scope: "row" }, this.button);
    this.box = element("tr", {}, head, element("td", { className: "status" }, this.state), ...this.cells);
    // On a phone rows are laid out as a grid, which would take their meaning from them.
    this.box.setAttribute("role", "row");
    head.setAttribute("role", "rowheader");
    for (const one of [...this.box.children].slice(1)) one.setAttribute("role", "cell");
  }

  show(row, index) {
    this.name = row.name;
    if (this.row !== row) {
      this.row = row;
      const name = plain(row.name);
      say(this.button.firstChild, name);
      if (this.button.title !== name) this.button.title = name;
      setLevel(this.state, row.level);
      setIcon(this.state.firstChild, picture(row));
      say(this.state.lastChild, plain(row.status));
      this.state.title = plain(row.warning || row.status);
      this.cells.forEach((cell, number) => say(cell, COLUMNS[number + 2].show(row)));
    }
    if (this.index !== index) {
      this.index = index;
      this.box.setAttribute("aria-rowindex", index + 2); // the first is the head
      this.box.classList.toggle("odd", index % 2 === 1);
    }
  }
}

// Sums of what is known; `+` says that some table is not counted.
export function fillTotals(row, totals) {
  const partly = (key, shown) => (totals[`${key}_complete`] === false && shown !== UNKNOWN ? `${shown} +` : shown);
  const values = { source_rows: estimated(totals.source_rows, totals.source_exact), target_rows: count(totals.target_rows),
    deleted_rows: count(totals.deleted_rows), lag_ms: isKnown(totals.lag_ms) ? millis(totals.lag_ms) : "",
    rate: isKnown(totals.rate) ? perSecond(totals.rate) : "", partial_rows: isKnown(totals.partial_rows) ? count(totals.partial_rows) : "",
    audit: isKnown(totals.with_audit) ? count(totals.with_audit) : "" };
  for (const cell of row.children) {
    const { key } = cell.dataset;
    if (key === "name") say(cell, `${count(totals.tables)} table${totals.tables === 1 ? "" : "s"}`);
    else if (key) say(cell, partly(key, values[key]));
  }
}
