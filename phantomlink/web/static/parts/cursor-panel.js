/** The cursor's canvas, and the text behind it. */

import { html } from "../vendor/preact.js";
import { UNKNOWN, number } from "../core/format.js";

/** @param {{model: import("../live-model.js").LiveModel, canvas: any}} props */
export function CursorPanel({ model, canvas }) {
  const now = model.now.value;
  const units = model.metadata.value?.behaviour?.position?.unit ?? "";
  const [, , x, y] = now?.kinematics ?? [NaN, NaN, NaN, NaN];
  const [tx, ty] = now?.intention ?? [NaN, NaN];
  const place = (/** @type {number} */ a, /** @type {number} */ b) => (Number.isFinite(a) ? `${number(a, 1)}, ${number(b, 1)} ${units}` : UNKNOWN);
  const lacksCursor = model.metadata.value !== null && !model.metadata.value.behaviour?.position && !model.trials.value.some((trial) => trial.target_pos?.length);
  return html`<section class="card cursor" aria-labelledby="cursor-title">
    <div class="row"><h2 id="cursor-title">Cursor</h2><span class="push"></span><span class="dim small" data-test="cursor-text">${place(x, y)}</span></div>
    <div class="canvas-box">${canvas}${lacksCursor ? html`<div class="over">The recording has no position and no targets: there is no cursor to show.</div>` : null}${model.status.value.state === "open" ? null : html`<div class="veil" aria-hidden="true"></div>`}</div>
    <p class="dim small keys"><span class="key target">target</span><span class="key cursor">cursor</span>
      ${(now?.decoded ?? []).map((/** @type {any} */ each, /** @type {number} */ i) => html`<span class=${`key d${i % 4}`} key=${each.name} data-test="decoded">${each.name}, off by ${number(each.error, 1)} ${units}${each.is_outside ? ", outside" : ""}</span>`)}
      ${Number.isFinite(tx) ? `target at ${place(tx, ty)}` : "no target now"}</p>
  </section>`;
}
