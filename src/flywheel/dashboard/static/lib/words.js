// Numbers, times and names as people read them. What is not there is a dash.

export const DASH = "–";
const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
const minus = (text) => text.replace("-", "−");

// 92.0 % for 0.92.
export const percent = (share, digits = 1) => (isNumber(share) ? `${minus((share * 100).toFixed(digits))} %` : DASH);

// +2.5 for a difference of 0.025; `signed: false` for a margin.
export function points(share, { signed = true } = {}) {
  if (!isNumber(share)) return DASH;
  const text = (share * 100).toFixed(1);
  return minus(signed && share > 0 && text !== "0.0" ? `+${text}` : text);
}

// 80.1 – 92.3 % for an interval {low, high} of shares; `signed`: in points; `plain`: in its own unit.
export function span(interval, { signed = false, plain = false } = {}) {
  if (!isNumber(interval?.low) || !isNumber(interval?.high)) return DASH;
  if (plain) return minus(`${interval.low.toFixed(2)} – ${interval.high.toFixed(2)}`);
  if (signed) return `${points(interval.low)} to ${points(interval.high)}`;
  return `${(interval.low * 100).toFixed(1)} – ${(interval.high * 100).toFixed(1)} %`;
}

// 1,234; other numbers with four digits.
export function number(value) {
  if (!isNumber(value)) return DASH;
  if (Number.isInteger(value)) return minus(value.toLocaleString("en-GB"));
  return minus(String(Number(value.toPrecision(4))));
}

export const milliseconds = (value) => (isNumber(value) ? `${Math.round(value).toLocaleString("en-GB")} ms` : DASH);

// A p value: 0.012, or "< 0.001".
export const probability = (value) => (isNumber(value) ? (value < 0.001 ? "< 0.001" : value.toFixed(3)) : DASH);

// 12 s, 3 min 5 s, 1 h 20 min, 2 d 4 h.
export function duration(seconds) {
  if (!isNumber(seconds)) return DASH;
  const whole = Math.max(0, Math.round(seconds));
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const first = units.findIndex(([, size]) => whole >= size);
  if (first < 0) return "0 s";
  const [unit, size] = units[first];
  const next = units[first + 1];
  const rest = next ? Math.floor((whole % size) / next[1]) : 0;
  return `${Math.floor(whole / size)} ${unit}${rest ? ` ${rest} ${next[0]}` : ""}`;
}

// A moment as a Date: the API's naive UTC text, text with a zone, or seconds since the epoch. null where there is none.
export function moment(value) {
  if (value == null || value === "") return null;
  if (isNumber(value)) return new Date(value * 1000);
  const text = String(value);
  const date = new Date(/(Z|[+-]\d\d:?\d\d)$/.test(text) ? text : `${text}Z`);
  return Number.isNaN(date.getTime()) ? null : date;
}

// 2026-01-02 03:04:05, in the reader's own time zone.
export function stamp(value) {
  const date = moment(value);
  if (!date) return DASH;
  const two = (part) => String(part).padStart(2, "0");
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

// "3 min ago", "in 2 h", or the day where it is longer than a week.
export function ago(value, now = Date.now()) {
  const date = moment(value);
  if (!date) return DASH;
  const seconds = (now - date.getTime()) / 1000;
  const far = Math.abs(seconds);
  if (far < 5) return "just now";
  if (far > 7 * 86400) return stamp(value).slice(0, 10);
  const [unit, size] = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]].find(([, each]) => far >= each);
  const text = `${Math.floor(far / size)} ${unit}`;
  return seconds >= 0 ? `${text} ago` : `in ${text}`;
}

// 12.3 MB.
export function bytes(value) {
  if (!isNumber(value)) return DASH;
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  let left = value;
  while (left >= 1000 && at < units.length - 1) {
    left /= 1000;
    at += 1;
  }
  return `${at ? left.toFixed(1) : left} ${units[at]}`;
}

// Words of the API with their underscores gone: "wrong value".
export const plain = (word) => String(word ?? DASH).replaceAll("_", " ");

// A name that people choose; one without a letter, such as spaces, could be neither seen nor opened.
export const titled = (name) => (/[\p{L}\p{N}\p{P}\p{S}]/u.test(name ?? "") ? name : "(no name)");

// The beginning of a text, without half of a surrogate pair (an emoji is one) at its end.
const cut = (text, letters) => text.slice(0, letters).replace(/[\ud800-\udbff]$/, "");

// The first and last letters of a hash or an id; its whole belongs into a title.
export const short = (text, letters = 8) => (String(text ?? "").length > letters ? cut(String(text), letters) : String(text ?? DASH));

// Text with at most `limit` letters, and one line.
export function brief(text, limit = 140) {
  const line = String(text ?? "").replace(/\s+/g, " ").trim();
  return line.length > limit ? `${cut(line, limit - 1)}…` : line;
}

// {"a": {"b": 1}} as [["a.b", 1]]: the leaves of nested objects and lists with their dotted names.
export function flat(value, name = "") {
  const inner = value && typeof value === "object" ? Object.entries(value) : [];
  if (!inner.length) return [[name, value && typeof value === "object" ? null : value]];
  return inner.flatMap(([key, each]) => flat(each, name ? (Array.isArray(value) ? `${name}[${key}]` : `${name}.${key}`) : key));
}
