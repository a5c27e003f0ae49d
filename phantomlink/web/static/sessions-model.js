/** The list of sessions, pushed by the server. */

import { signal } from "./vendor/preact.js";
import { BASE, needsToken, token } from "./api.js";
import { connectSessions } from "./phantomlink-client.js";

export class SessionsModel {
  constructor() {
    this.sessions = signal(/** @type {Record<string, any> | null} */ (null));
    this.totals = signal(/** @type {any} */ (null));
    this.status = signal(/** @type {any} */ ({ state: "connecting" }));
    this.retryAt = signal(0);
    this.clockMs = signal(Date.now());
    setInterval(() => { this.clockMs.value = Date.now(); }, 1000);
  }

  start() {
    this.connection = connectSessions(BASE, {
      token: token.value,
      onMessage: (/** @type {any} */ message) => this.#receive(message),
      onStatus: (/** @type {any} */ status) => {
        this.status.value = status;
        if (status.state === "waiting") this.retryAt.value = Date.now() + status.seconds * 1000;
        if (status.state === "ended" && status.code === 401) needsToken.value = true;
      },
    });
    addEventListener("pagehide", () => this.connection?.close());
  }

  /** @param {any} message */
  #receive(message) {
    if (message.type === "hello") {
      this.sessions.value = message.sessions;
      this.totals.value = message.totals;
    } else if (message.type === "sessions") {
      const next = { ...this.sessions.value, ...message.added, ...message.changed };
      for (const code of message.removed) delete next[code];
      this.sessions.value = next;
      this.totals.value = message.totals;
    }
  }
}
