// Follows the event stream and hands each sample to the parts of the page.
import { Cards } from "./cards.js";
import { badge, element, fill, find, say, setIcon, setLevel } from "./dom.js";
import { showFacts } from "./facts.js";
import { clock, plain } from "./format.js";
import { showServices, showSignatures } from "./lists.js";
import { Ring } from "./ring.js";
import { follow } from "./stream.js";
import { TableView } from "./tables.js";
import { startTheme } from "./theme.js";

const ring = new Ring(find("ring"), find("nodes"), find("links"), find("ring-words"));
const cards = new Cards(find("cards"));
const tables = new TableView();
let headline = { level: "idle", text: "Waiting for the first sample" };
let stale = "";

function showHeadline() {
  const { level, text } = stale ? { level: "bad", text: stale } : headline;
  setLevel(find("headline"), level);
  setIcon(find("headline-icon"), level);
  say(find("headline-text"), text); // a live region: screen readers speak it, so only on a change
  const title = `${level === "ok" ? "" : "⚠ "}dbmazz: ${text}`;
  if (document.title !== title) document.title = title;
}

function showState(state) {
  headline = { ...state.headline, text: plain(state.headline.text) };
  fill(find("problems"), state.problems.map(({ level, text }) =>
    setLevel(element("li", {}, badge(level, WORDS[level]), element("span", { className: "words" }, plain(text))), level)));
  ring.show(state.ring);
  cards.show(state.numbers, state.point, state.time_ms);
  showFacts(find("facts"), state.numbers, state.time_ms);
  tables.showState(state);
  showSignatures(state.signatures);
  showServices(state.replicas);
  say(find("sampled"), clock(state.time_ms));
  look();
}

const WORDS = { bad: "Problem", warn: "Warning", idle: "Remark" };

// Old figures stay readable, but nothing may look as if it moved.
function showLink(state, heardAt) {
  stale = state === "stale" ? `No news since ${clock(heardAt)}` : "";
  setLevel(find("link"), { live: "ok", stale: "bad", connecting: "idle" }[state]);
  say(find("link-word"), { live: "live", stale: "stale", connecting: "connecting" }[state]);
  document.body.classList.toggle("stale", Boolean(stale));
  find("stale").hidden = !stale;
  ring.flow.check();
  showHeadline();
}

startTheme(() => cards.repaint());
const look = follow({
  history: (points) => cards.take(points),
  state: showState,
  tables: (delta) => tables.take(delta),
}, showLink);
