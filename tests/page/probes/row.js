// Of the second row in sight: the labels of its figures; of all: how tall they are, and what they should be.
(() => {
  const cells = [...document.querySelectorAll("#table-rows tr:nth-child(2) td[data-label]")];
  const box = getComputedStyle(document.getElementById("table-box"));
  return {
    labels: cells.filter((one) => one.checkVisibility()).map((one) => one.dataset.label),
    heights: [...document.querySelectorAll("#table-rows tr:not(.gap)")].map((one) => one.offsetHeight),
    wanted: parseFloat(box.getPropertyValue("--row")),
  };
})()
