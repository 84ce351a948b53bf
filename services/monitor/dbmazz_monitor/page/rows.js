// Only the rows in sight are in the document: a thousand tables cost as much as forty.
import { Row } from "./columns.js";
import { element } from "./dom.js";

const SPARE = 6;

export class Rows {
  constructor(box, body, open) {
    Object.assign(this, { box, body, list: [], made: new Map(), active: "" });
    this.above = gap();
    this.below = gap();
    body.append(this.above, this.below);
    box.addEventListener("scroll", () => this.render(), { passive: true });
    new ResizeObserver(() => this.measure()).observe(box);
    body.addEventListener("click", (event) => {
      const row = event.target.closest("tr")?.row;
      if (row && !String(getSelection())) this.choose(row.name, true), open(row.name);
    });
    body.addEventListener("keydown", (event) => this.key(event));
    body.addEventListener("focusin", (event) => this.choose(event.target.closest("tr")?.row?.name, false));
    this.measure();
  }

  // The order stays while somebody is in it: a row must not run away from under a finger or a focus.
  held() {
    return this.body.contains(document.activeElement);
  }

  show(list, moved) {
    this.list = list;
    this.box.querySelector("table").setAttribute("aria-rowcount", list.length + 2);
    if (moved) this.box.scrollTop = 0;
    this.render();
  }

  measure() {
    this.height = parseFloat(getComputedStyle(this.box).getPropertyValue("--row")) || 38;
    this.render();
  }

  render() {
    const { clientHeight, scrollTop } = this.box;
    const first = Math.max(0, Math.floor(scrollTop / this.height) - SPARE);
    const last = Math.min(this.list.length, Math.ceil((scrollTop + (clientHeight || 600)) / this.height) + SPARE);
    const wanted = this.list.slice(first, last);
    const names = new Set(wanted.map((row) => row.name));
    const spare = [...this.made].filter(([name]) => !names.has(name));
    for (const [name, row] of spare) {
      this.made.delete(name);
      if (row.box.contains(document.activeElement)) this.box.focus({ preventScroll: true });
    }
    let before = this.above;
    wanted.forEach((values, index) => {
      let row = this.made.get(values.name);
      if (!row) {
        row = spare.pop()?.[1] ?? new Row();
        row.box.row = row;
        this.made.set(values.name, row);
      }
      row.show(values, first + index);
      if (before.nextSibling !== row.box) before.after(row.box);
      before = row.box;
    });
    for (const [, row] of spare) row.box.remove();
    this.above.firstChild.style.height = `${first * this.height}px`;
    this.below.firstChild.style.height = `${(this.list.length - last) * this.height}px`;
    this.mark();
  }

  // One row can be reached with Tab, the arrow keys lead to the others.
  mark() {
    const stop = this.made.has(this.active) ? this.active : this.list.find((row) => this.made.has(row.name))?.name;
    for (const [name, row] of this.made) {
      const index = name === stop ? 0 : -1;
      if (row.button.tabIndex !== index) row.button.tabIndex = index;
    }
  }

  choose(name, focus) {
    if (!name) return;
    this.active = name;
    this.mark();
    if (focus) this.made.get(name)?.button.focus({ preventScroll: true });
  }

  key(event) {
    const page = Math.max(1, Math.floor(this.box.clientHeight / this.height) - 2);
    const now = this.list.findIndex((row) => row.name === this.active);
    const last = this.list.length - 1;
    const next = { ArrowUp: now - 1, ArrowDown: now + 1, Home: 0, End: last, PageUp: now - page, PageDown: now + page }[event.key];
    if (next === undefined || now < 0) return;
    event.preventDefault();
    const index = Math.min(last, Math.max(0, next));
    this.reveal(index);
    this.choose(this.list[index].name, true);
  }

  reveal(index) {
    const head = this.box.querySelector("thead").offsetHeight, foot = this.box.querySelector("tfoot").offsetHeight;
    const top = index * this.height;
    const room = this.box.clientHeight - head - foot - this.height;
    if (top < this.box.scrollTop) this.box.scrollTop = top;
    else if (top > this.box.scrollTop + room) this.box.scrollTop = top - room;
    this.render();
  }
}

function gap() {
  const made = element("tr", { className: "gap" }, element("td", { colSpan: 9 }));
  made.setAttribute("aria-hidden", "true");
  return made;
}
