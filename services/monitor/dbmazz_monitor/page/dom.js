// Elements from values. Text is always set as text: names of tables and errors are data, never markup.
export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

export const state = (level, text) => {
  const made = element("span", { className: "state" }, text);
  made.dataset.level = level;
  return made;
};

export const cell = (text, kind = "") => element("td", { className: kind }, text);

// Puts children in place only where they differ, so that a selection or a screen reader's place is not lost every second.
export function fill(box, children) {
  children.forEach((child, index) => {
    const old = box.children[index];
    if (!old) box.append(child);
    else if (!old.isEqualNode(child)) old.replaceWith(child);
  });
  while (box.children.length > children.length) box.lastElementChild.remove();
}
