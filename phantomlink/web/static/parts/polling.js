/** Asking the server again and again: what is shown stays true, or says since when it is not. */

import { html, signal } from "../vendor/preact.js";
import { needsToken } from "../api.js";
import { secondsUntilRetry } from "../phantomlink-client.js";
import { Trouble, connectionState } from "./states.js";

const CLOCK_MS = 500;

export class Poll {
  /**
   * @param {() => Promise<void>} refresh asks, and shows what is answered
   * @param {number} periodMs between an answer and the next question
   */
  constructor(refresh, periodMs) {
    this.refresh = refresh;
    this.periodMs = periodMs;
    /** As of a connection: `open`, or `waiting` for the next attempt. */
    this.status = signal(/** @type {any} */ ({ state: "open" }));
    this.secondsLeft = signal(0);
    this.nFailed = 0;
    this.retryAtMs = 0;
    /** @type {any} */
    this.timer = null;
    setInterval(() => {
      if (this.status.value.state === "waiting") this.secondsLeft.value = (this.retryAtMs - Date.now()) / 1000;
    }, CLOCK_MS);
  }

  /** Ask now, and from then on; nothing is asked while nobody looks, or for want of a token. */
  async run() {
    clearTimeout(this.timer);
    let waitMs = this.periodMs;
    if (document.visibilityState === "visible" && !needsToken.value) {
      try {
        await this.refresh();
        this.nFailed = 0;
        this.status.value = { state: "open" };
      } catch (error) {
        waitMs = this.#failed(/** @type {any} */ (error));
      }
    }
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.run(), waitMs);
  }

  /** @param {import("../api.js").ApiError} error @returns {number} ms until the next attempt */
  #failed(error) {
    const seconds = secondsUntilRetry(this.nFailed, error.retryAfter ?? null);
    this.nFailed += 1;
    this.retryAtMs = Date.now() + seconds * 1000;
    this.secondsLeft.value = seconds;
    // Without an answer it is a network that is gone, as of a socket.
    this.status.value = { state: "waiting", code: error.status || 1006, reason: error.message, meaning: error.message };
    return seconds * 1000;
  }
}

/** Why what is shown is old. @param {{poll: Poll}} props */
export function PollTrouble({ poll }) {
  if (needsToken.value) return null;
  const shown = connectionState(poll.status.value, poll.secondsLeft.value);
  return html`<${Trouble} shown=${shown} onRetry=${poll.status.value.state === "waiting" ? () => void poll.run() : null} />`;
}
