// Links between the nodes. Side by side they fan out from replica to replica; in a column they are the two sides of the ring.
import { shape } from "./dom.js";

const RADIUS = 14;

export function drawLinks(svg, nodes, links) {
  const origin = svg.getBoundingClientRect();
  if (!origin.width) return;
  const place = (target) => {
    const r = target.getBoundingClientRect();
    return { left: r.left - origin.left, right: r.right - origin.left, top: r.top - origin.top, bottom: r.bottom - origin.top,
      x: (r.left + r.right) / 2 - origin.left, y: (r.top + r.bottom) / 2 - origin.top };
  };
  const parts = new Map([...nodes].map(([id, node]) => [id, { all: place(node.box), ports: ports(node, place) }]));
  const column = Math.abs(parts.get("reader").all.left - parts.get("loader").all.left) < 4;
  const drawn = links.flatMap((link) => (column ? downward : sideways)(link, parts.get(link.from), parts.get(link.to), origin));
  // Animated paths are kept as they are while nothing has moved, or their dots would jump with every sample.
  const state = JSON.stringify(drawn);
  if (svg.drawn === state) return;
  svg.drawn = state;
  svg.replaceChildren(...drawn.flatMap(strokes));
}

// Where lines begin and end: every replica, or the node itself.
function ports(node, place) {
  if (!node.now.length) return [{ ...place(node.box), moves: true, ok: true }];
  return node.now.map((replica, index) => ({ ...place(node.cards[index].box), ok: replica.level !== "bad",
    moves: replica.level !== "bad" && replica.rate?.value !== 0 }));
}

function sideways(link, from, to) {
  if (link.from === "checkpoint" || link.to === "checkpoint") return [around(link, from, to)];
  const right = Math.max(...from.ports.map((port) => port.right));
  const left = Math.min(...to.ports.map((port) => port.left));
  const x = (right + left) / 2;
  const y = (middle(from.ports) + middle(to.ports)) / 2;
  const single = from.ports.length === 1 && to.ports.length === 1;
  if (single && Math.abs(from.ports[0].y - to.ports[0].y) < 2) {
    return [{ ...looks(link, from.ports[0], to.ports[0]), path: `M${p(right, y)}L${p(left, y)}`, tip: [left, y, 0], label: link.label, narrow: true, at: [x, y - 9] }];
  }
  const first = from.ports.map((port, index) => ({ ...looks(link, port, best(to.ports)), path: curve(port.right, port.y, x, y),
    ...(index ? {} : { label: link.label, narrow: true, at: [x, Math.min(...from.ports.map((one) => one.y), ...to.ports.map((one) => one.y)) - 12] }) }));
  const then = to.ports.map((port) => ({ ...looks(link, best(from.ports), port), path: curve(x, y, port.left, port.y), tip: [port.left, port.y, 0] }));
  return [...first, ...then];
}

// The way back: down from the loaders to the checkpoint, and from there up to the reader.
function around(link, from, to) {
  const back = link.from === "checkpoint";
  const [service, checkpoint] = back ? [to, from] : [from, to];
  const card = checkpoint.ports[0];
  const bottom = Math.max(...service.ports.map((port) => port.bottom));
  const edge = back ? card.left : card.right;
  const turn = back ? RADIUS : -RADIUS;
  const x = service.all.x;
  const look = looks(link, best(from.ports), best(to.ports));
  const at = [(x + edge) / 2, card.y - 9];
  if (back) {
    return { ...look, at, label: link.label, tip: [x, bottom, -90],
      path: `M${p(edge, card.y)}L${p(x + turn, card.y)}Q${p(x, card.y)} ${p(x, card.y - RADIUS)}L${p(x, bottom)}` };
  }
  return { ...look, at, label: link.label, tip: [edge, card.y, 180],
    path: `M${p(x, bottom)}L${p(x, card.y - RADIUS)}Q${p(x, card.y)} ${p(x + turn, card.y)}L${p(edge, card.y)}` };
}

function downward(link, from, to, origin) {
  const look = looks(link, best(from.ports), best(to.ports));
  if (link.from !== "checkpoint" && link.to !== "checkpoint") {
    const x = from.all.x;
    return [{ ...look, label: link.label, at: [x + 10, (from.all.bottom + to.all.top) / 2 + 4], start: true,
      tip: [x, to.all.top, 90], path: `M${p(x, from.all.bottom)}L${p(x, to.all.top)}` }];
  }
  const back = link.from === "checkpoint";
  const side = back ? Math.max(8, to.all.left - 24) : Math.min(origin.width - 8, from.all.right + 24);
  const turn = back ? RADIUS : -RADIUS;
  const [a, b] = back ? [from.all.left, to.all.left] : [from.all.right, to.all.right];
  const [y, z] = [from.all.y, to.all.y];
  const step = z > y ? RADIUS : -RADIUS;
  return [{ ...look, tip: [b, z, back ? 0 : 180],
    path: `M${p(a, y)}L${p(side + turn, y)}Q${p(side, y)} ${p(side, y + step)}L${p(side, z - step)}Q${p(side, z)} ${p(side + turn, z)}L${p(b, z)}` }];
}

const looks = (link, a, b) => ({ moves: link.moves && a.moves && b.moves, ok: link.ok && a.ok && b.ok });
const best = (all) => ({ moves: all.some((port) => port.moves), ok: all.some((port) => port.ok) });
const middle = (all) => (Math.min(...all.map((port) => port.y)) + Math.max(...all.map((port) => port.y))) / 2;
const p = (x, y) => `${x.toFixed(1)} ${y.toFixed(1)}`;
const curve = (x, y, u, v) => `M${p(x, y)}C${p((x + u) / 2, y)} ${p((x + u) / 2, v)} ${p(u, v)}`;

function strokes({ path, moves, ok, tip, label, at, start, narrow }) {
  const found = [shape("path", { class: ok ? "track" : "track broken", d: path })];
  if (moves) found.push(shape("path", { class: "flow", d: path }));
  if (tip) {
    const [x, y, turn] = tip;
    found.push(shape("path", { class: ok ? "tip" : "tip broken", d: "M-8 -4.5L0 0L-8 4.5z", transform: `translate(${p(x, y)}) rotate(${turn})` }));
  }
  // Between columns there is room for one word.
  const lines = label ? (narrow ? label.split(" ") : [label]) : [];
  lines.forEach((words, index) => found.push(shape("text", { x: at[0].toFixed(1), y: (at[1] - 13 * (lines.length - 1 - index)).toFixed(1),
    ...(start ? { class: "start" } : {}) }, words)));
  return found;
}
