// TOAST signatures and services.
import { badge, element, fill, find } from "./dom.js";
import { bytes, count, plain, rate, span, text, UNKNOWN } from "./format.js";

const cell = (label, content, kind = "") => {
  const made = element("td", { className: kind }, content);
  made.dataset.label = label;
  return made;
};

export const columns = (absent) =>
  element("span", { className: "chips" }, ...absent.map((name) => element("code", {}, plain(name))));

export function showSignatures(signatures) {
  fill(find("signature-rows"), signatures.map((one) => element("tr", {},
    element("th", { scope: "row" }, element("bdi", {}, plain(one.table))), cell("Left as they were", columns(one.absent), "wide"),
    cell("Rows", count(one.rows), "num"), cell("Partial loads", count(one.loads), "num"),
    cell("Updates", count(one.updates), "num"), cell("Deletes", count(one.deletes), "num"))));
  find("signatures-box").hidden = signatures.length === 0;
  find("signatures-empty").hidden = signatures.length > 0;
}

export function showServices(replicas) {
  fill(find("service-rows"), replicas.map((one) => element("tr", {},
    element("th", { scope: "row" }, one.service),
    cell("State", badge(one.level, one.state)),
    cell("Replica", text(one.name), "plain"), cell("Address", one.address, "plain"), cell("Version", text(one.version), "plain"),
    cell("Up for", span(one.uptime_s), "num"),
    cell("CPU", one.cpu_millicores === null ? UNKNOWN : `${rate(one.cpu_millicores)} m`, "num"),
    cell("Memory", bytes(one.rss_bytes), "num"), cell("Last error", plain(one.error), "words"))));
}
