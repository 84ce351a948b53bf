// Numbers as people read them; `–` stands for unknown, which is not 0.
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { maximumSignificantDigits: 3, notation: "compact" });
const time = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const minute = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
export const UNKNOWN = "–";

export const isKnown = (value) => value !== null && value !== undefined;
const known = (format) => (value) => (isKnown(value) ? format(value) : UNKNOWN);

// Marks that turn the reading direction, break lines or show nothing would let one name pass for another.
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;
export const plain = (name) => name.replace(UNSEEN, (mark) => `\\u${mark.charCodeAt(0).toString(16).padStart(4, "0")}`);

export const text = known((value) => plain(String(value)));
export const count = known((value) => whole.format(value));
export const brief = known((value) => short.format(value));
export const rate = known((value) => (value < 10 && value > 0 ? value.toFixed(1) : whole.format(value)));
export const percent = known((share) => `${share > 0 && share < 0.1 ? (share * 100).toFixed(1) : whole.format(share * 100)} %`);
export const clock = known((ms) => time.format(ms));
export const hourMinute = (ms) => minute.format(ms);

export const bytes = known((value) => {
  const units = ["B", "KB", "MB", "GB", "TB"];
  let unit = 0;
  let size = value;
  while (Math.abs(size) >= 1024 && unit < units.length - 1) { size /= 1024; unit += 1; }
  return `${unit && size < 100 && !Number.isInteger(size) ? size.toFixed(1) : whole.format(size)} ${units[unit]}`;
});

export const millis = known((value) =>
  value < 1000 ? `${whole.format(value)} ms` : value < 60000 ? `${(value / 1000).toFixed(value < 10000 ? 2 : 1)} s` : span(value / 1000));

// On an axis: as short as can be.
export const duration = (ms) => (ms < 1000 ? `${Number(ms.toFixed(1))} ms` : ms < 120000 ? `${Number((ms / 1000).toFixed(1))} s` : span(ms / 1000));

export const span = known((seconds) => {
  const s = Math.max(0, Math.round(seconds));
  if (s < 120) return `${s} s`;
  if (s < 7200) return `${Math.floor(s / 60)} min`;
  if (s < 172800) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} days`;
});

export const plural = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;
