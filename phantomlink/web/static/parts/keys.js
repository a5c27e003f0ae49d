/** Single keys, each also a button; a switch turns them off, a dialog tells them. */

import { html, signal } from "../vendor/preact.js";
import { WINDOWS_SECONDS } from "../core/url-state.js";
import { stepUnit } from "./unit-panel.js";

const KEY = "phantomlink.keys";
const areOn = signal(localStorage.getItem(KEY) !== "off");
const isShown = signal(false);

const TEXT = [
  ["Space", "pause or resume the session"], ["F", "freeze the view, or back to live"],
  [", and .", "view one column back, on; with Shift one trial"], ["J and K", "next unit, unit before"],
  ["G", "go to a place"], ["/", "search units"], ["1 to 4", "window of 5, 10, 30, 60 s"],
  ["← and →", "on the recording’s line: one second; Page keys ten, Home and End its ends, + and − zoom"], ["?", "these keys"], ["Esc", "close; no unit"],
];

/** @param {import("../live-model.js").LiveModel} model */
export function listenToKeys(model) {
  /** @type {Record<string, () => void>} */
  const actions = {
    " ": () => {
      const state = model.state.value;
      void model.control(state?.is_paused || state?.is_stopped ? "resume" : "pause");
    },
    f: () => model.post({ kind: model.now.value?.is_frozen ? "live" : "freeze" }),
    ",": () => model.post({ kind: "move", columns: -1 }),
    ".": () => model.post({ kind: "move", columns: 1 }),
    "<": () => model.post({ kind: "trial", step: -1 }),
    ">": () => model.post({ kind: "trial", step: 1 }),
    j: () => stepUnit(model, 1),
    k: () => stepUnit(model, -1),
    g: () => document.getElementById("goto")?.focus(),
    "/": () => document.getElementById("unit-search")?.focus(),
    "?": () => { isShown.value = true; },
  };
  WINDOWS_SECONDS.forEach((seconds, i) => { actions[String(i + 1)] = () => model.set({ window: seconds }); });
  // A button that was clicked would take the next Space; one that was pressed by a key keeps the focus.
  addEventListener("click", (event) => {
    if (event.detail > 0) /** @type {HTMLElement} */ (event.target).closest("button")?.blur();
  });
  addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      // The dialog closes by itself, and gives the focus back.
      if (isShown.value) return;
      if (event.target instanceof HTMLInputElement) event.target.blur();
      else if (model.options.value.unit >= 0) model.set({ unit: -1 });
      return;
    }
    if (!areOn.value || event.ctrlKey || event.metaKey || event.altKey) return;
    const target = /** @type {HTMLElement} */ (event.target);
    // What takes the key itself keeps it.
    if (target.closest("input, select, textarea, dialog") || (event.key === " " && target.closest("button, a, summary, [role=slider]"))) return;
    const action = actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (action === undefined) return;
    event.preventDefault();
    action();
  });
}

export function KeysHelp() {
  const toggle = () => {
    areOn.value = !areOn.value;
    localStorage.setItem(KEY, areOn.value ? "on" : "off");
  };
  const open = (/** @type {HTMLDialogElement | null} */ dialog) => {
    if (dialog && !dialog.open) dialog.showModal();
  };
  return html`<button class="plain" onClick=${() => { isShown.value = true; }}>Keys</button>
    ${isShown.value && html`<dialog ref=${open} aria-labelledby="keys-title" onClose=${() => { isShown.value = false; }}>
      <h2 id="keys-title">Keys</h2>
      <table><tbody>${TEXT.map(([key, what]) => html`<tr><th scope="row"><kbd>${key}</kbd></th><td>${what}</td></tr>`)}</tbody></table>
      <p><label><input type="checkbox" checked=${areOn.value} onChange=${toggle} /> single keys are on</label></p>
      <button class="primary" onClick=${(/** @type {any} */ event) => event.currentTarget.closest("dialog").close()}>Close</button>
    </dialog>`}`;
}
