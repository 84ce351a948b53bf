// Elements from values. Text is always set as text: names of tables and errors are data, never markup.
const SVG = "http://www.w3.org/2000/svg";

export const find = (id) => document.getElementById(id);

export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

export function shape(tag, attributes = {}, text = undefined) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

// A drawing of the sprite in index.html; words stand beside it, so screen readers skip it.
export function icon(name) {
  const made = shape("svg", { class: "icon", "aria-hidden": "true" });
  made.append(shape("use", { href: `#i-${name}` }));
  return made;
}

export function setIcon(svg, name) {
  const href = `#i-${name}`;
  if (svg.firstChild.getAttribute("href") !== href) svg.firstChild.setAttribute("href", href);
}

// Writing what is there already would wake screen readers, lose selections and cost a layout.
export function say(target, text) {
  if (target.textContent !== text) target.textContent = text;
  return target;
}

export function setLevel(target, level) {
  if (!level) delete target.dataset.level;
  else if (target.dataset.level !== level) target.dataset.level = level;
  return target;
}

// A state as colour, shape and word at once.
export function badge(level, text, picture = level) {
  return setLevel(element("span", { className: "state" }, icon(picture), element("span", {}, text)), level);
}

// Puts children in place only where they differ, so that a selection or a screen reader's place is not lost every second.
export function fill(box, children) {
  children.forEach((child, index) => {
    const old = box.children[index];
    if (!old) box.append(child);
    else if (!old.isEqualNode(child)) old.replaceWith(child);
  });
  while (box.children.length > children.length) box.lastElementChild.remove();
}
