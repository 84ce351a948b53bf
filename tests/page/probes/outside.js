// What stands out of the window on the right, but for what scrolls in a box of its own.
[...document.querySelectorAll("body *")]
  .filter((one) => one.getBoundingClientRect().right > innerWidth + 1 && one.checkVisibility())
  .filter((one) => !one.closest(".rows thead, .sr, .skip, .sprite"))
  .map((one) => one.outerHTML.slice(0, 90))
