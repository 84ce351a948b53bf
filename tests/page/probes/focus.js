// What has the focus, and whether one sees that.
(() => {
  const one = document.activeElement;
  const { outlineStyle, outlineWidth } = getComputedStyle(one);
  return { id: one.id, tag: one.tagName, text: one.textContent.slice(0, 40), key: one.dataset.key ?? "",
    label: one.getAttribute("aria-label") ?? "", outline: outlineStyle !== "none" && parseFloat(outlineWidth) >= 2 };
})()
