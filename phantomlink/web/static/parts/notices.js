/** Short messages at the edge of the page: what was done (with undo), and what went wrong. */

import { html, signal } from "../vendor/preact.js";

const SHOWN_MS = 6000;
let next = 0;

const notices = signal(/** @type {any[]} */ ([]));

/**
 * @param {string} text
 * @param {{kind?: "info" | "error", action?: {label: string, run: () => void}, ms?: number}} [options]
 * @returns {() => void} takes it away
 */
export function notify(text, { kind = "info", action, ms = SHOWN_MS } = {}) {
  const id = (next += 1);
  const remove = () => {
    notices.value = notices.value.filter((each) => each.id !== id);
  };
  notices.value = [...notices.value.slice(-3), { id, text, kind, action, remove }];
  setTimeout(remove, ms);
  return remove;
}

/** Do it, and say what went wrong. @param {() => Promise<any>} act @returns {Promise<any>} */
export async function attempt(act) {
  try {
    return await act();
  } catch (error) {
    notify(error instanceof Error ? error.message : String(error), { kind: "error", ms: 9000 });
    return undefined;
  }
}

/** @param {string} text @param {string} what */
export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    notify(`${what} copied`);
  } catch {
    notify(`This browser does not let the page copy. ${what}: ${text}`, { ms: 15000 });
  }
}

export function Notices() {
  return html`<div class="notices" role="status" aria-live="polite">
    ${notices.value.map(
      (each) => html`<div key=${each.id} class="notice ${each.kind}">
        <span>${each.text}</span>
        ${each.action && html`<button onClick=${() => { each.action.run(); each.remove(); }}>${each.action.label}</button>`}
        <button class="plain" aria-label="Dismiss" onClick=${each.remove}>×</button>
      </div>`,
    )}
  </div>`;
}
