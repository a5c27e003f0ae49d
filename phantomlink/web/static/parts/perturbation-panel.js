/** What is done to the data: a preset or faults of one's own, seed, and the rates before and after. */

import { html, signal } from "../vendor/preact.js";
import { api } from "../api.js";
import { perturbationName, perturbationSchema, presetNames } from "../core/perturbation-form.js";
import { number } from "../core/format.js";
import { attempt } from "./notices.js";
import { PerturbationFields } from "./perturbation-fields.js";
import { Empty } from "./states.js";
import { TypedInput } from "./typed-input.js";

const draft = signal(/** @type {any[]} */ ([]));
const before = signal(/** @type {number | null} */ (null));
const isOpen = signal(false);

/** The server's schema of a perturbation. @param {import("../live-model.js").LiveModel} model */
export async function loadSchema(model) {
  model.schema.value = perturbationSchema(await attempt(() => api("openapi.json")));
}

/** @param {{model: import("../live-model.js").LiveModel}} props */
export function PerturbationPanel({ model }) {
  const state = model.state.value;
  const schema = model.schema.value;
  // What would be asked of a server that is gone is not offered.
  const isOff = !state || model.status.value.state !== "open";
  const name = perturbationName(state?.perturbation);
  const rate = meanRate(model.rates.value);
  const put = (/** @type {any} */ perturbation) => attempt(async () => {
    before.value = rate;
    const path = `api/sessions/${encodeURIComponent(model.code)}/perturbation`;
    await api(path, { method: "PUT", body: { perturbation } });
  });
  const putSeed = (/** @type {any} */ event) => attempt(() =>
    api(`api/sessions/${encodeURIComponent(model.code)}/perturbation`, { method: "PUT", body: { perturbation: wireForm(state?.perturbation), seed: Number(event.target.value) } }));
  return html`<section class="card perturbation" aria-labelledby="perturbation-title">
    <div class="row"><h2 id="perturbation-title">Perturbation</h2>
      ${state && html`<span class="badge ${state.perturbation ? "perturbed" : "clean"}" data-test="perturbation"><span class="shape" aria-hidden="true"></span>${name}</span>`}
      <span class="push"></span>
      <button onClick=${() => void put(null)} disabled=${isOff || !state.perturbation}>Clean</button></div>
    ${!schema ? html`<${Empty} title="No schema of perturbations yet" />` : html`
      <div class="row wrap presets" role="group" aria-label="Presets">
        ${presetNames(schema).map((preset) => html`<button aria-pressed=${name === preset} disabled=${isOff} onClick=${() => void put(preset)}>${preset.replaceAll("_", " ")}</button>`)}
      </div>
      <div class="row">
        <label>Seed <${TypedInput} id="perturbation-seed" type="number" min="0" step="1" value=${state?.seed ?? 0} onChange=${putSeed} disabled=${isOff} /></label>
        <span class="dim small">${rate === null ? "" : `mean rate ${number(rate, 2)} /s`}${before.value === null ? "" : `, before the last change ${number(before.value, 2)}`}</span>
      </div>
      <${Script} perturbation=${state?.perturbation} seconds=${(model.position.value ?? 0) * (model.metadata.value?.bin_size_ms ?? 25) / 1000} />
      <details open=${isOpen.value} onToggle=${(/** @type {any} */ e) => { isOpen.value = e.currentTarget.open; }}>
        <summary>Faults of your own</summary>
        ${isOpen.value && html`<${PerturbationFields} schema=${schema} transforms=${draft.value} onChange=${(/** @type {any[]} */ next) => { draft.value = next; }} />
        <div class="row"><button class="primary" disabled=${isOff || draft.value.length === 0} onClick=${() => void put({ transforms: draft.value })}>Apply</button>
          <button disabled=${!state?.perturbation?.transforms} onClick=${() => { draft.value = state.perturbation.transforms; }}>Begin with what is on</button></div>`}
      </details>`}
  </section>`;
}

/** Steps of a script, and which is on. @param {{perturbation: any, seconds: number}} props */
function Script({ perturbation, seconds }) {
  const steps = perturbation?.steps;
  if (!steps) return null;
  const current = steps.findLastIndex((/** @type {any} */ step) => step.at_seconds <= seconds);
  return html`<ol class="script">${steps.map((/** @type {any} */ step, /** @type {number} */ i) => html`<li class=${i === current ? "on" : ""}>
    from ${number(step.at_seconds, 1)} s${i === current ? " (now)" : ""}: ${step.transforms.map((/** @type {any} */ each) => each.kind.replaceAll("_", " ")).join(", ") || "nothing"}</li>`)}</ol>`;
}

/** What a session says of its perturbation, in the form that it takes. @param {any} perturbation */
function wireForm(perturbation) {
  return perturbation ?? null;
}

/** @param {number[]} rates */
function meanRate(rates) {
  const known = rates.filter(Number.isFinite);
  return known.length ? known.reduce((sum, rate) => sum + rate, 0) / known.length : null;
}
