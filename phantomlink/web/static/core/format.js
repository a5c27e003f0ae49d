/** Numbers and times as people read them. Unknown is a dash, never 0. */

export const UNKNOWN = "–";

/** @param {number | null | undefined} value @param {number} [digits] */
export function number(value, digits = 0) {
  if (value === null || value === undefined || !Number.isFinite(value)) return UNKNOWN;
  const text = formatOf(digits).format(value);
  return text === "-0" ? "0" : text;
}

/** By digits: to make one takes longer than to use it. @type {Map<number, Intl.NumberFormat>} */
const formats = new Map();

/** @param {number} digits */
function formatOf(digits) {
  const kept = formats.get(digits) ?? new Intl.NumberFormat("en", { maximumFractionDigits: digits });
  formats.set(digits, kept);
  return kept;
}

/** Minutes and seconds. @param {number | null | undefined} seconds @param {number} [digits] */
export function clock(seconds, digits = 1) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return UNKNOWN;
  const scale = 10 ** digits;
  const whole = Math.floor(Math.abs(seconds) * scale) / scale;
  const minutes = Math.floor(whole / 60);
  const rest = (whole - minutes * 60).toFixed(digits).padStart(digits ? 3 + digits : 2, "0");
  return `${seconds < 0 ? "-" : ""}${minutes}:${rest}`;
}

/** Microseconds with a unit that fits. @param {number | null | undefined} us */
export function micros(us) {
  if (us === null || us === undefined || !Number.isFinite(us)) return UNKNOWN;
  if (us < 1000) return `${number(us)} µs`;
  return us < 1e6 ? `${number(us / 1000, us < 1e4 ? 2 : 1)} ms` : `${number(us / 1e6, 2)} s`;
}

/** @param {number} n @param {string} one @param {string} [many] */
export function plural(n, one, many = `${one}s`) {
  return `${number(n)} ${n === 1 ? one : many}`;
}

/** @param {string} iso @param {number} nowMs */
export function since(iso, nowMs) {
  const seconds = Math.max(0, (nowMs - Date.parse(iso)) / 1000);
  if (!Number.isFinite(seconds)) return UNKNOWN;
  if (seconds < 90) return `${Math.round(seconds)} s ago`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
  return `${Math.round(seconds / 3600)} h ago`;
}

/** A size in bytes, as people read it. @param {number | null | undefined} n */
export function bytes(n) {
  if (n === null || n === undefined) return UNKNOWN;
  const power = Math.min(3, Math.floor(Math.log10(Math.max(1, n)) / 3));
  return `${number(n / 1000 ** power, power === 0 ? 0 : 1)} ${["B", "kB", "MB", "GB"][power]}`;
}
