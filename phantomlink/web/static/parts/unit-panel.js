/** One unit: what was received of it, and beside it as recorded. */

import { effect, html, signal } from "../vendor/preact.js";
import { apiIfThere } from "../api.js";
import { number } from "../core/format.js";
import { Chart, HALF } from "./chart.js";
import { Empty } from "./states.js";

const recorded = signal(/** @type {any} */ (null));
const ALIGNS = ["move_onset_time", "go_cue_time", "target_on_time", "start_time"];

/** Have the recorded rates of whichever unit is chosen. @param {import("../live-model.js").LiveModel} model */
export function followUnit(model) {
  let asked = "";
  effect(() => {
    const { unit, align } = model.options.value;
    const [metadata, ids] = [model.metadata.value, model.unitIds.value];
    if (unit < 0 || !metadata || ids.length === 0) return;
    const query = new URLSearchParams({ align, before: "0.5", after: "0.5", bin_ms: String(model.columnSeconds.value * 1000) });
    const path = `api/datasets/${encodeURIComponent(metadata.dataset)}/units/${ids[unit]}/psth?${query}`;
    if (path === asked) return;
    asked = path;
    recorded.value = null;
    apiIfThere(path).then(
      (answer) => { if (path === asked) recorded.value = answer ?? { missing: "this server has no recorded rates yet" }; },
      (error) => { if (path === asked) recorded.value = { missing: error.message }; },
    );
  });
}

/** @param {{model: import("../live-model.js").LiveModel}} props */
export function UnitPanel({ model }) {
  const { unit: chosen, align } = model.options.value;
  const ids = model.unitIds.value;
  const unit = model.unit.value;
  const choose = (/** @type {any} */ event) => model.set({ unit: Number(event.target.value) });
  return html`<section class="card unit" aria-labelledby="unit-title">
    <div class="row"><h2 id="unit-title">Unit</h2>
      <label><span class="sr">Which unit</span><select value=${String(chosen)} onChange=${choose}>
        <option value="-1">choose…</option>${ids.map((id, row) => html`<option value=${String(row)}>${id}</option>`)}</select></label>
      <button aria-keyshortcuts="K" aria-label="Unit before" onClick=${() => stepUnit(model, -1)}>‹</button>
      <button aria-keyshortcuts="J" aria-label="Next unit" onClick=${() => stepUnit(model, 1)}>›</button>
      <span class="push"></span>
      <label>Align <select value=${align} onChange=${(/** @type {any} */ e) => model.set({ align: e.target.value })}>
        ${ALIGNS.map((name) => html`<option value=${name}>${name.replace(/_time$/, "").replaceAll("_", " ")}</option>`)}</select></label>
    </div>
    ${chosen < 0 || !unit || unit.row !== chosen ? html`<${Empty} title="No unit chosen">Click one in the raster, or press J.</${Empty}>` : html`<${UnitCharts} unit=${unit} width=${model.columnSeconds.value} />`}
  </section>`;
}

/** @param {import("../live-model.js").LiveModel} model @param {number} step */
export function stepUnit(model, step) {
  const { units } = model.shown.value;
  if (units.length === 0) return;
  const place = units.indexOf(model.options.value.unit);
  model.set({ unit: units[(place < 0 ? 0 : place + step + units.length) % units.length] });
}

/** @param {{unit: any, width: number}} props */
function UnitCharts({ unit, width }) {
  const psth = unit.psth;
  const other = recorded.value;
  const values = other && !other.missing ? recordedRates(other) : null;
  const series = [{ name: `received, ${psth.n_trials} trials`, values: psth.rates }];
  if (values && values.rates.length === psth.rates.length) series.push({ name: `as recorded, ${values.n} trials`, values: values.rates });
  return html`
    <dl class="facts"><div><dt>rate, last minute</dt><dd>${number(unit.rate_hz, 1)} <small>/s</small></dd></div>
      <div><dt>spikes</dt><dd>${number(unit.n_spikes)}</dd></div></dl>
    <h3>Around the event</h3>
    <${Chart} label=${`Rate of unit ${unit.id} around the event, ${psth.n_trials} trials received`} x=${psth.times} series=${series} xLabel="s" yLabel="spikes/s" mark=${0} empty="No spikes around this event yet." />
    ${other?.missing && html`<p class="dim small">As recorded: ${other.missing}.</p>`}
    <div class="pair">
      <div><h3>Direction</h3><${Chart} label=${`Rate of unit ${unit.id} by direction of movement`} x=${[0, 45, 90, 135, 180, 225, 270, 315]} series=${[{ name: "rate", values: unit.tuning, kind: "bars" }]} xLabel="degrees" yLabel="spikes/s" ticks=${[["0", 22], ["90", 112], ["180", 202], ["270", 292]]} width=${HALF} empty="No spikes while the hand moved, or the recording has no velocity." /></div>
      <div><h3>Intervals</h3><${Chart} label=${`Intervals between spikes of unit ${unit.id}`} x=${unit.isi.map((/** @type {number} */ _, /** @type {number} */ i) => (i + 1) * width * 1000)} series=${[{ name: "intervals", values: unit.isi, kind: "bars" }]} xLabel="ms" yLabel="n" width=${HALF} empty="Not two spikes yet." /></div>
    </div>`;
}

/** Mean over the groups, weighted by their trials. @param {any} answer */
function recordedRates(answer) {
  const groups = answer.groups ?? [];
  const n = groups.reduce((/** @type {number} */ sum, /** @type {any} */ each) => sum + (each.n ?? each.n_trials ?? 0), 0);
  const first = groups[0]?.rates ?? groups[0]?.rate_hz ?? [];
  const rates = first.map((/** @type {any} */ _, /** @type {number} */ i) =>
    groups.reduce((/** @type {number} */ sum, /** @type {any} */ each) => sum + ((each.rates ?? each.rate_hz)[i] ?? 0) * (each.n ?? each.n_trials ?? 0), 0) / Math.max(1, n));
  return { rates, n };
}
