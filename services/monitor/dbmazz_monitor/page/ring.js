// The ring: a column for every service, a card for every replica, and links drawn wherever the grid has put them.
import { badge, element, icon, say, setIcon, setLevel } from "./dom.js";
import { brief, bytes, count, isKnown, rate, text, UNKNOWN } from "./format.js";
import { Flow } from "./flow.js";
import { drawLinks } from "./links.js";

const TITLES = { postgres: "PostgreSQL", reader: "Reader", transformer: "Transformer", loader: "Loader",
  checkpoint: "Checkpoint", starrocks: "StarRocks" };
// More replicas than this are drawn as one line each.
const ROOMY = 4;

export class Ring {
  constructor(box, list, svg, words) {
    Object.assign(this, { box, list, svg, words, nodes: new Map(), links: [], flow: new Flow(svg) });
    new ResizeObserver(() => this.draw()).observe(box);
  }

  show({ nodes, links }) {
    for (const node of nodes) this.node(node);
    this.links = links;
    this.draw();
    say(this.words, nodes.map((node) => `${TITLES[node.id]}: ${node.state}.`).join(" "));
  }

  node(node) {
    const made = this.nodes.get(node.id) ?? this.add(node.id);
    const replicas = node.replicas ?? [];
    setLevel(made.box, node.level);
    setLevel(made.state, node.level);
    setIcon(made.state.firstChild, node.level);
    say(made.state.lastChild, node.state);
    say(made.detail, node.detail);
    say(made.title, replicas.length > 1 ? `${TITLES[node.id]}s` : TITLES[node.id]);
    made.replicas.hidden = replicas.length === 0;
    made.box.classList.toggle("many", replicas.length > ROOMY);
    replicas.forEach((one, index) => showReplica(made.cards[index] ??= addReplica(made.replicas), one));
    for (const card of made.cards.splice(replicas.length)) card.box.remove();
    made.now = replicas;
  }

  add(id) {
    const made = { title: element("span", {}, TITLES[id]), state: badge("idle", ""), detail: element("span", { className: "detail" }),
      replicas: element("ul", { className: "replicas" }), cards: [], now: [] };
    const store = id === "postgres" || id === "starrocks";
    const name = element("strong", {}, ...(store ? [icon("store")] : []), made.title);
    made.box = element("li", { id: `node-${id}`, className: store ? "store" : "service" },
      element("div", { className: "head" }, name, made.state, made.detail), made.replicas);
    this.list.append(made.box);
    this.nodes.set(id, made);
    return made;
  }

  draw() {
    if (this.links.length) drawLinks(this.svg, this.nodes, this.links);
    this.flow.check();
  }
}

function addReplica(list) {
  const made = { name: element("bdi", { className: "name" }), state: badge("idle", ""), rate: element("span", { className: "rate" }),
    bar: element("span", { className: "bar" }, element("span")), queue: element("span", { className: "queue" }) };
  made.bar.setAttribute("aria-hidden", "true");
  made.box = element("li", {}, made.name, made.state, made.rate, made.bar, made.queue);
  list.append(made.box);
  return made;
}

function showReplica(card, one) {
  const queue = one.queue ?? {};
  const share = isKnown(queue.value) && queue.limit ? Math.min(1, queue.value / queue.limit) : 0;
  setLevel(card.box, one.level);
  setLevel(card.state, one.level);
  setIcon(card.state.firstChild, one.level);
  say(card.state.lastChild, one.state);
  say(card.name, text(one.name ?? one.address));
  const more = `${one.name ? `${one.name} at ` : ""}${one.address}, ${queued(queue)}`;
  if (card.box.title !== more) card.box.title = more;
  say(card.rate, isKnown(one.rate?.value) ? `${rate(one.rate.value)} ${one.rate.unit}` : UNKNOWN);
  card.rate.classList.toggle("still", !one.rate?.value);
  card.bar.firstChild.style.width = `${(share * 100).toFixed(1)}%`;
  setLevel(card.bar, share >= 0.95 ? "bad" : share >= 0.75 ? "warn" : "ok");
  say(card.queue, queued(queue));
}

function queued({ value, limit, unit }) {
  if (!isKnown(value)) return "queue –";
  if (unit === "bytes") return isKnown(limit) ? `${bytes(value)} of ${bytes(limit)}` : `${bytes(value)} queued`;
  if (isKnown(limit)) return `${count(value)} of ${brief(limit)} ${unit}`;
  return `${count(value)} ${text(unit)}`;
}
