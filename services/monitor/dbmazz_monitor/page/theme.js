// Auto follows the system; a choice is kept by the browser.
import { find } from "./dom.js";

const THEMES = ["auto", "light", "dark"];
const KEY = "dbmazz-theme";

function kept() {
  try {
    const theme = localStorage.getItem(KEY);
    return THEMES.includes(theme) ? theme : "auto";
  } catch {
    return "auto"; // storage is forbidden: the choice lasts until the page is closed
  }
}

export function startTheme(changed) {
  const button = find("theme");
  let theme = kept();
  const apply = () => {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    find("theme-word").textContent = theme;
    button.setAttribute("aria-label", `Theme: ${theme}. Press to change.`);
    changed();
  };
  button.addEventListener("click", () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    try {
      localStorage.setItem(KEY, theme);
    } catch {
      // as above
    }
    apply();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
  apply();
}
