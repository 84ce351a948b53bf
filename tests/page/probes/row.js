// Of the second row in sight: the labels of its figures; of all: how tall they are and should be, and whose cells stand out.
(() => {
  const cells = [...document.querySelectorAll("#table-rows tr:nth-child(2) td[data-label]")];
  const box = getComputedStyle(document.getElementById("table-box"));
  const rows = [...document.querySelectorAll("#table-rows tr:not(.gap)")];
  const lowest = (row) => Math.max(...[...row.children].filter((one) => one.checkVisibility()).map((one) => one.getBoundingClientRect().bottom));
  return {
    labels: cells.filter((one) => one.checkVisibility()).map((one) => one.dataset.label),
    heights: rows.map((one) => one.offsetHeight),
    spilled: rows.filter((one) => lowest(one) > one.getBoundingClientRect().bottom + 0.5).length,
    wanted: parseFloat(box.getPropertyValue("--row")),
  };
})()
