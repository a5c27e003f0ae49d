/** Which screen the address asks for. */

import { findToken } from "./api.js";
import { readAddress } from "./core/url-state.js";
import { applyTheme } from "./parts/shell.js";

applyTheme();
findToken();
const address = readAddress(location.href);
const root = /** @type {HTMLElement} */ (document.getElementById("app"));
const screens = {
  live: async () => (await import("./screens/live.js")).showLive(String(address.code), root),
  sessions: async () => (await import("./screens/sessions.js")).showSessions(root),
  timing: async () => (await import("./screens/timing.js")).showTiming(root),
  datasets: async () => (await import("./screens/datasets.js")).showDatasets(root),
  decoders: async () => (await import("./screens/decoders.js")).showDecoders(root),
};
root.replaceChildren();
await screens[/** @type {keyof typeof screens} */ (address.screen)]();
