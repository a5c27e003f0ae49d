/** Requests to the server that served this page, and what goes wrong with them. */

import { signal } from "./vendor/preact.js";
import { takeToken } from "./core/url-state.js";

const KEY = "phantomlink.token";

/** Of the server, beneath whatever prefix a proxy gives it. */
export const BASE = new URL(document.documentElement.dataset.root ?? "./", location.href).href;

export const token = signal(/** @type {string | null} */ (null));
/** Whether the server wants a token, or another one. */
export const needsToken = signal(false);

/** Take the token of the address once, or the one that this tab has kept. */
export function findToken() {
  const taken = takeToken(location.href);
  if (taken.token !== null) {
    history.replaceState(null, "", taken.href);
    sessionStorage.setItem(KEY, taken.token);
  }
  token.value = sessionStorage.getItem(KEY);
}

/** @param {string} value */
export function keepToken(value) {
  sessionStorage.setItem(KEY, value);
  token.value = value;
  needsToken.value = false;
}

/** The server said no, or nothing. */
export class ApiError extends Error {
  /** @param {number} status 0 where there was no answer @param {string} detail @param {number | null} retryAfter s */
  constructor(status, detail, retryAfter) {
    super(detail);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/**
 * Ask the server.
 * @param {string} path without a leading slash
 * @param {{method?: string, body?: any, signal?: AbortSignal}} [options]
 * @returns {Promise<any>} the JSON of the answer
 */
export async function api(path, { method = "GET", body, signal: abort } = {}) {
  /** @type {Record<string, string>} */
  const headers = {};
  if (token.value) headers.Authorization = `Bearer ${token.value}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(new URL(path, BASE), {
      method, headers, signal: abort, cache: "no-cache",
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (abort?.aborted) throw error;
    throw new ApiError(0, "the server does not answer", null);
  }
  const content = await answer.text();
  let parsed = null;
  try {
    parsed = JSON.parse(content);
  } catch {
    // A proxy may say something else than this server would.
  }
  if (answer.ok) return parsed;
  if (answer.status === 401) needsToken.value = true;
  const detail = parsed?.detail ?? parsed?.title ?? `status ${answer.status}`;
  throw new ApiError(answer.status, detail, Number(answer.headers.get("Retry-After")) || null);
}

/**
 * A route that this server may not have yet.
 * @param {string} path
 * @returns {Promise<any | null>} null where there is no such route
 */
export async function apiIfThere(path) {
  try {
    return await api(path);
  } catch (error) {
    if (error instanceof ApiError && (error.status === 404 || error.status === 405)) return null;
    throw error;
  }
}
