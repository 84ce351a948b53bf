// The three tables: replicated tables with totals, TOAST signatures, services.
import { cell, element, fill, state } from "./dom.js";
import { bytes, count, rate, span, UNKNOWN } from "./format.js";

const LEVELS = { running: "ok", starting: "warn", retrying: "warn", draining: "warn", unknown: "warn", stopped: "bad", down: "bad" };

const estimated = (rows, exact) => (rows === null ? UNKNOWN : `${exact ? "" : "≈ "}${count(rows)}`);
const partly = (text, complete) => (complete || text === UNKNOWN ? text : `${text} +`);

export function showTables({ rows, totals, empty }) {
  const box = document.getElementById("table-rows");
  fill(box, rows.map((row) => element("tr", {},
    element("th", { scope: "row", title: `target: ${row.target}` }, row.name),
    element("td", {}, state(row.level, row.status)),
    cell(estimated(row.source_rows, row.source_exact), "num"), cell(count(row.target_rows), "num"),
    cell(count(row.deleted_rows), "num"), cell(count(row.events), "num"), cell(row.warning, "words"))));
  box.parentElement.parentElement.hidden = rows.length === 0;
  const note = document.getElementById("tables-empty");
  note.hidden = !empty;
  note.textContent = empty;
  const sum = (name, text) => cell(partly(text, totals[`${name}_complete`]), "num");
  fill(document.getElementById("table-totals"), [element("tr", {},
    element("th", { scope: "row" }, `${totals.tables} table${totals.tables === 1 ? "" : "s"}`), cell(""),
    sum("source_rows", estimated(totals.source_rows, totals.source_exact)), sum("target_rows", count(totals.target_rows)),
    sum("deleted_rows", count(totals.deleted_rows)), sum("events", count(totals.events)), cell(""))]);
}

export function showSignatures(signatures) {
  fill(document.getElementById("signature-rows"), signatures.map((one) => element("tr", {},
    element("th", { scope: "row" }, one.table), cell(one.absent.join(", "), "words"),
    cell(count(one.rows), "num"), cell(count(one.loads), "num"))));
  document.getElementById("signatures-box").hidden = signatures.length === 0;
  document.getElementById("signatures-empty").hidden = signatures.length > 0;
}

export function showServices(replicas) {
  fill(document.getElementById("service-rows"), replicas.map((one) => element("tr", {},
    element("th", { scope: "row" }, one.service), element("td", {}, state(LEVELS[one.state], one.state)),
    cell(one.name ?? UNKNOWN, "plain"), cell(one.address, "plain"), cell(span(one.uptime_s), "num"),
    cell(one.cpu_millicores === null ? UNKNOWN : `${rate(one.cpu_millicores)} m`, "num"),
    cell(bytes(one.rss_bytes), "num"), cell(one.error, "words"))));
}
