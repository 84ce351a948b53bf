// Dots on the links where data moves. A CSS animation would paint the whole picture sixty times a second, on a page that
// is left open all day: twelve times are enough, and none while nobody sees it.
const EVERY_MS = 80;
const STEP = 1.7;
const PERIOD = 20; // of the dots, as in ring.css

export class Flow {
  constructor(svg) {
    Object.assign(this, { svg, phase: 0, seen: false, timer: null, still: matchMedia("(prefers-reduced-motion: reduce)") });
    new IntersectionObserver(([entry]) => { this.seen = entry.isIntersecting; this.check(); }).observe(svg);
    this.still.addEventListener("change", () => this.check());
    document.addEventListener("visibilitychange", () => this.check());
  }

  // To be called when links or the freshness of the page have changed.
  check() {
    const moves = this.seen && !this.still.matches && !document.hidden && !document.body.classList.contains("stale")
      && this.svg.querySelector(".flow");
    if (moves && this.timer === null) this.timer = setInterval(() => this.step(), EVERY_MS);
    if (moves || this.timer === null) return;
    clearInterval(this.timer);
    this.timer = null;
  }

  step() {
    this.phase = (this.phase + STEP) % PERIOD;
    this.svg.style.setProperty("--phase", (PERIOD - this.phase).toFixed(1));
  }
}
