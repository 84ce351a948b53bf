// The event stream, and how long it has been silent.
const STALE_MS = 8000;

// The browser dials again by itself, but not after an answer that is no stream (a proxy's 502, too many pages).
export function follow(handlers, link) {
  let heardAt = 0;
  const look = () => link(heardAt ? (Date.now() - heardAt < STALE_MS ? "live" : "stale") : "connecting", heardAt);
  const dial = () => {
    const source = new EventSource("events");
    for (const [name, handle] of Object.entries(handlers)) {
      source.addEventListener(name, (event) => {
        heardAt = Date.now();
        handle(JSON.parse(event.data));
      });
    }
    source.addEventListener("error", () => {
      look();
      if (source.readyState === EventSource.CLOSED) setTimeout(dial, 3000);
    });
  };
  setInterval(look, 1000);
  dial();
  return look;
}
