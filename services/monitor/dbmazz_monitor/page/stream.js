// The event stream, and how long it has been silent.
const STALE_MS = 8000;

// The browser dials again by itself, but not after an answer that is no stream (a proxy's 502, too many pages).
export function follow(handlers, link) {
  let heardAt = 0;
  let source = null;
  const look = () => link(heardAt ? (Date.now() - heardAt < STALE_MS ? "live" : "stale") : "connecting", heardAt);
  const dial = () => {
    const dialled = source = new EventSource("events");
    for (const [name, handle] of Object.entries(handlers)) {
      dialled.addEventListener(name, (event) => {
        heardAt = Date.now();
        handle(JSON.parse(event.data));
      });
    }
    dialled.addEventListener("error", () => {
      look();
      if (dialled === source && dialled.readyState === EventSource.CLOSED) setTimeout(() => dialled === source && dial(), 3000);
    });
  };
  // A page that was left may be kept for the way back, and its stream with it; a browser has six to one address.
  addEventListener("pagehide", () => { source.close(); source = null; });
  addEventListener("pageshow", (event) => { if (event.persisted) dial(); });
  setInterval(look, 1000);
  dial();
  return look;
}
