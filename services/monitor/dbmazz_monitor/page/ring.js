// The ring: cards in a grid, and links drawn between them wherever the grid has put them.
import { element } from "./dom.js";

const TITLES = { postgres: "PostgreSQL", reader: "Reader", transformer: "Transformer", loader: "Loader",
  checkpoint: "Checkpoint", starrocks: "StarRocks" };
const SVG = "http://www.w3.org/2000/svg";

export class Ring {
  constructor(box, list, svg, words) {
    Object.assign(this, { list, svg, words, cards: new Map(), links: [], shape: "" });
    new ResizeObserver(() => this.draw()).observe(box);
  }

  show({ nodes, links }) {
    for (const node of nodes) {
      const card = this.cards.get(node.id) ?? this.addCard(node.id);
      card.box.dataset.level = node.level;
      card.state.dataset.level = node.level;
      card.state.textContent = node.state;
      card.detail.textContent = node.detail;
    }
    this.links = links;
    this.draw();
    const words = nodes.map((node) => `${TITLES[node.id]}: ${node.state}.`).join(" ");
    if (this.words.textContent !== words) this.words.textContent = words;
  }

  addCard(id) {
    const card = { state: element("span", { className: "state" }), detail: element("span", { className: "detail" }) };
    card.box = element("li", { id: `node-${id}` }, element("strong", {}, TITLES[id]), card.state, card.detail);
    card.box.style.gridArea = id;
    if (id === "postgres" || id === "starrocks") card.box.dataset.kind = "store";
    this.list.append(card.box);
    this.cards.set(id, card);
    return card;
  }

  // Animated paths are kept as they are while nothing has moved, or their dashes would jump with every sample.
  draw() {
    const origin = this.svg.getBoundingClientRect();
    if (!origin.width || !this.links.length) return;
    const box = (id) => {
      const r = this.cards.get(id).box.getBoundingClientRect();
      return { left: r.left - origin.left, right: r.right - origin.left, top: r.top - origin.top,
        bottom: r.bottom - origin.top, x: (r.left + r.right) / 2 - origin.left, y: (r.top + r.bottom) / 2 - origin.top };
    };
    const column = box("reader").x === box("loader").x;
    const drawn = this.links.map((link) => ({ ...link, ...route(box(link.from), box(link.to), link, column) }));
    const shape = JSON.stringify(drawn);
    if (shape === this.shape) return;
    this.shape = shape;
    this.svg.replaceChildren(arrowHead(), ...drawn.flatMap(draw));
  }
}

// From edge to edge; the checkpoint is joined around the corner.
function route(a, b, { from, to }, column) {
  if (from === "checkpoint" || to === "checkpoint") {
    const [service, checkpoint] = from === "checkpoint" ? [b, a] : [a, b];
    const back = from === "checkpoint";
    if (column) {
      const x = checkpoint.x, edge = back ? checkpoint.top : checkpoint.bottom;
      const points = [[service.right, service.y], [x, service.y], [x, edge]];
      return { path: line(back ? points.reverse() : points), at: [(service.right + x) / 2, service.y - 6] };
    }
    const edge = back ? checkpoint.left : checkpoint.right;
    const points = [[service.x, service.bottom], [service.x, checkpoint.y], [edge, checkpoint.y]];
    return { path: line(back ? points.reverse() : points), at: [(service.x + edge) / 2, checkpoint.y - 7] };
  }
  if (column) return { path: line([[a.x, a.bottom], [b.x, b.top]]), at: [a.x + 42, (a.bottom + b.top) / 2 + 4] };
  return { path: line([[a.right, a.y], [b.left, b.y]]), at: [(a.right + b.left) / 2, a.y - 8] };
}

const line = (points) => points.map(([x, y], index) => `${index ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");

function draw(link) {
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", link.path);
  path.setAttribute("marker-end", "url(#arrow)");
  path.setAttribute("class", link.ok ? (link.moves ? "moves" : "") : "broken");
  const text = document.createElementNS(SVG, "text");
  text.setAttribute("x", link.at[0]);
  text.setAttribute("y", link.at[1]);
  text.textContent = link.label;
  return [path, text];
}

function arrowHead() {
  const marker = document.createElementNS(SVG, "marker");
  const values = { id: "arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 4.5, markerHeight: 4.5, orient: "auto" };
  for (const [name, value] of Object.entries(values)) marker.setAttribute(name, value);
  const tip = document.createElementNS(SVG, "path");
  tip.setAttribute("d", "M0 0L8 4L0 8z");
  marker.append(tip);
  return marker;
}
