/** What the address of a page holds: session, place, window, units, filter, theme. */

export const WINDOWS_SECONDS = [5, 10, 30, 60];
const FILTERS = ["trial_id", "target_id", "reach_id"];

/**
 * @param {string} href
 * @returns {{screen: string, code: string | null, at: number | null, window: number,
 *   filter: Record<string, number>, search: string, sort: string, theme: string | null}}
 */
export function readAddress(href) {
  const url = new URL(href);
  const parts = url.pathname.split("/").filter(Boolean);
  const last = parts[parts.length - 1] ?? "";
  const isSession = parts.length >= 2 && parts[parts.length - 2] === "s";
  const query = url.searchParams;
  /** @type {Record<string, number>} */
  const filter = {};
  for (const name of FILTERS) {
    const value = whole(query.get(name));
    if (value !== null) filter[name] = value;
  }
  const seconds = Number(query.get("window"));
  const screens = ["timing", "datasets", "decoders"];
  return {
    screen: isSession ? "live" : screens.includes(last) ? last : "sessions",
    code: isSession ? decodeURIComponent(last) : null,
    at: whole(query.get("at")),
    window: WINDOWS_SECONDS.includes(seconds) ? seconds : 10,
    filter,
    search: query.get("units") ?? "",
    sort: ["id", "rate", "direction"].includes(query.get("sort") ?? "") ? String(query.get("sort")) : "id",
    theme: ["dark", "light"].includes(query.get("theme") ?? "") ? query.get("theme") : null,
  };
}

/**
 * The address with some of it changed; what has its default value is left out.
 * @param {string} href
 * @param {Record<string, string | number | null>} changes null leaves one out
 */
export function changedAddress(href, changes) {
  const url = new URL(href);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === "") url.searchParams.delete(name);
    else url.searchParams.set(name, String(value));
  }
  return url.href;
}

/**
 * The token of `#token=`, and the address without it.
 * @param {string} href
 * @returns {{token: string | null, href: string}}
 */
export function takeToken(href) {
  const url = new URL(href);
  const found = /^#token=(.+)$/.exec(url.hash);
  if (found === null) return { token: null, href };
  url.hash = "";
  return { token: decodeURIComponent(found[1]), href: url.href.replace(/#$/, "") };
}

/** @param {string | null} raw */
function whole(raw) {
  return raw !== null && /^[0-9]{1,9}$/.test(raw) ? Number(raw) : null;
}
