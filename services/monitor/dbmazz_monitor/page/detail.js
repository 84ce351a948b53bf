// One table in full, beside the page. Its address is #table=NAME, so that it can be sent to somebody.
import { audited, estimated, picture } from "./columns.js";
import { badge, element, fill, find, say } from "./dom.js";
import { clock, count, isKnown, millis, plain, rate, text, UNKNOWN } from "./format.js";
import { columns } from "./lists.js";

const PREFIX = "#table=";
const ASK_EVERY_MS = 3000;

export class Detail {
  constructor(known, told) {
    Object.assign(this, { known, told, name: null, more: null, askedAt: 0, numbers: {} });
    this.dialog = find("detail");
    find("detail-close").addEventListener("click", () => this.dialog.close());
    this.dialog.addEventListener("click", (event) => { if (event.target === this.dialog) this.dialog.close(); });
    this.dialog.addEventListener("close", () => { this.name = null; history.replaceState(null, "", location.pathname + location.search); });
    addEventListener("hashchange", () => this.followAddress());
    this.followAddress();
  }

  followAddress() {
    if (!location.hash.startsWith(PREFIX)) return;
    const asked = location.hash.slice(PREFIX.length);
    try {
      this.open(decodeURIComponent(asked));
    } catch {
      this.open(asked); // not what this page writes, so taken as it is
    }
  }

  open(name) {
    Object.assign(this, { name, more: null, askedAt: 0 });
    history.replaceState(null, "", PREFIX + encodeURIComponent(name));
    this.refresh();
    if (!this.dialog.open) this.dialog.showModal();
  }

  showState(numbers) {
    this.numbers = numbers;
    this.refresh();
  }

  // Signatures and lane are more than the stream carries: asked for while somebody looks.
  async ask() {
    const { name } = this;
    this.askedAt = Date.now();
    try {
      const answer = await fetch(`api/tables/${encodeURIComponent(name)}`, { signal: AbortSignal.timeout(ASK_EVERY_MS) });
      if (!answer.ok || this.name !== name) return;
      this.more = await answer.json();
      this.showMore();
    } catch (error) {
      console.info(`more about the table is not to be had: ${error.name}`); // the stream says why: it is silent then as well
    }
  }

  refresh() {
    if (this.name === null) return;
    const row = this.known.get(this.name);
    say(find("detail-name"), plain(this.name));
    const missing = find("detail-missing");
    missing.hidden = Boolean(row);
    say(missing, this.told() ? "There is no table of this name here: the reader does not list it. Names are schema.table, as in the list of tables."
      : "Waiting for the list of tables.");
    for (const id of ["detail-facts", "detail-signatures"]) find(id).hidden = !row;
    find("detail-warning").hidden = !row?.warning;
    if (!row) return;
    say(find("detail-warning"), plain(row.warning));
    fill(find("detail-facts"), this.facts(row).map(([term, value]) => element("div", {}, element("dt", {}, term), element("dd", {}, value))));
    this.showMore();
    if (Date.now() - this.askedAt > ASK_EVERY_MS) this.ask();
  }

  showMore() {
    const own = (this.more?.signatures ?? []).filter((one) => one.absent.length);
    fill(find("detail-list"), own.map((one) => element("li", {}, columns(one.absent),
      element("span", {}, `${count(one.rows)} rows in ${count(one.loads)} loads`))));
    find("detail-none").hidden = own.length > 0;
    say(find("detail-none"), this.more && this.known.get(this.name)?.replicated ? "None: every row came with all its columns." : UNKNOWN);
  }

  facts(row) {
    return [
      ["Status", badge(row.level, plain(row.status), picture(row))],
      ["Target table", element("bdi", {}, text(row.target || null))],
      ["Source rows", isKnown(row.source_rows) && !row.source_exact ? `${estimated(row.source_rows, false)} (estimate)` : count(row.source_rows)],
      ["Live in target", count(row.target_rows)],
      ["Soft-deleted", count(row.deleted_rows)],
      ["Lag", millis(row.lag_ms)],
      ["Rate", isKnown(row.rate) ? `${rate(row.rate)} events/s` : UNKNOWN],
      ["Events since the reader's start", count(row.events)],
      ["Partial rows", count(row.partial_rows)],
      ["Last sync", clock(row.last_sync_ms)],
      ["Lane", text(row.lane)],
      ["Audit columns", audited(row.audit)],
      ["Replicated", isKnown(row.replicated) ? (row.replicated ? "yes" : "no") : UNKNOWN],
      ["Confirmed LSN of the ring", text(this.numbers.confirmed_lsn)],
    ];
  }
}
