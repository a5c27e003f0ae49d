/** What a session or a connection is doing, in words and with a look of its own. */

import { html } from "../vendor/preact.js";

/**
 * The state of a session.
 * @param {any} session `state` of a view, or one of the list
 * @returns {{name: string, label: string, detail: string}}
 */
export function sessionState(session) {
  const n = session.listeners ?? session.active_connections ?? 0;
  const listeners = n === 1 ? "1 listener" : `${n} listeners`;
  if (session.waiting_for) return { name: "held", label: "Held", detail: `waiting: ${session.waiting_for}` };
  if (session.is_ended) return { name: "ended", label: "Ended", detail: "the recording has been played" };
  if (session.is_stopped) return { name: "stopped", label: "Stopped", detail: "starts with the next listener, or resume" };
  if (session.is_paused) return { name: "paused", label: "Paused", detail: n ? `session paused for ${listeners}` : "session paused" };
  if (session.is_playing || session.is_running) return { name: "playing", label: "Playing", detail: listeners };
  return { name: "waiting", label: "Ready", detail: "plays when somebody listens" };
}

/** @param {{state: {name: string, label: string, detail?: string}, withDetail?: boolean}} props */
export function StateBadge({ state, withDetail = false }) {
  return html`<span class="badge ${state.name}"><span class="shape" aria-hidden="true"></span>${state.label}</span>
    ${withDetail && state.detail ? html` <span class="dim">${state.detail}</span>` : null}`;
}

/**
 * What the connection of a view is doing.
 * @param {any} status of the client
 * @param {number} secondsLeft until the next attempt
 */
export function connectionState(status, secondsLeft) {
  if (status.state === "open") return { name: "open", label: "Connected", detail: "" };
  if (status.state === "connecting") return { name: "connecting", label: "Connecting", detail: "" };
  if (status.state === "waiting") {
    const detail = `${status.reason || status.meaning}; next try in ${Math.max(0, Math.ceil(secondsLeft))} s`;
    if (status.code === 1001) return { name: "leaving", label: "Server is going away", detail };
    if (status.code === 4412) return { name: "moved", label: "Session has moved", detail: "connecting again" };
    if (status.code === 429) return { name: "crowded", label: "Too many viewers", detail };
    if (status.code === 503 || status.code === 1013) return { name: "unready", label: "The server has no room, or is not ready", detail };
    if (status.code === 1006) return { name: "network", label: "No connection", detail };
    return { name: "lost", label: "Connection lost", detail };
  }
  if (status.code === 404) return { name: "unknown", label: "No such session", detail: "it has not been created yet, or is gone" };
  if (status.code === 4410) return { name: "gone", label: "Session is gone", detail: "it expired or was deleted" };
  if (status.code === 401) return { name: "token", label: "Token needed", detail: "" };
  if (status.code === 403) return { name: "forbidden", label: "Not allowed", detail: status.reason || status.meaning };
  return { name: "closed", label: "Closed", detail: status.reason || status.meaning };
}

/**
 * Why there is no connection; nothing while there is one.
 * @param {{shown: {name: string, label: string, detail: string}, onRetry: (() => void) | null, children?: any}} props
 */
export function Trouble({ shown, onRetry, children }) {
  if (shown.name === "open") return null;
  return html`<div class="banner ${shown.name}" role="status" data-test="trouble">
    <span class="shape" aria-hidden="true"></span><strong>${shown.label}</strong> <span>${shown.detail}</span>
    ${onRetry && html`<button onClick=${onRetry}>Try now</button>`}${children}</div>`;
}

/** A part of a screen that has nothing to show, and why. @param {{title: string, children?: any}} props */
export function Empty({ title, children }) {
  return html`<div class="empty"><strong>${title}</strong>${children ? html`<div>${children}</div>` : null}</div>`;
}
