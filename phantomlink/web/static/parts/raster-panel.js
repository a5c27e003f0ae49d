/** The raster with its controls, what the pointer is at, and the text behind the canvas. */

import { html, signal } from "../vendor/preact.js";
import { number, plural } from "../core/format.js";
import { EVENTS } from "../core/annotations.js";
import { FLAG } from "../core/ring.js";
import { colourAt } from "../core/palette.js";
import { theme } from "./shell.js";
import { ViewControls } from "./transport.js";

const PAGE = 64;
/** As the raster draws them. */
const SHAPES = { target_on_time: "□", go_cue_time: "▲", move_onset_time: "●" };
const isTableOpen = signal(false);

/** @param {{model: import("../live-model.js").LiveModel, canvas: any}} props */
export function RasterPanel({ model, canvas }) {
  const { nMatching } = model.shown.value;
  const options = model.options.value;
  const total = model.unitIds.value.length;
  const hasPages = options.pageSize > 0;
  const pages = Math.max(1, Math.ceil(nMatching / PAGE));
  const turn = (/** @type {number} */ step) => model.set({ page: (options.page + step + pages) % pages });
  return html`<section class="card raster" aria-labelledby="raster-title">
    <div class="row">
      <h2 id="raster-title">Spikes</h2>
      <span class="dim" data-test="unit-count">${nMatching} of ${plural(total, "unit")}</span>
      <span class="push"></span>
      <label>Units <input type="search" id="unit-search" size="14" value=${options.search} placeholder="11, 20-35" onInput=${(/** @type {any} */ e) => model.set({ search: e.target.value, page: 0 })} /></label>
      <label>Sort <select value=${options.sort} onChange=${(/** @type {any} */ e) => model.set({ sort: e.target.value })}>
        <option value="id">as recorded</option><option value="rate">by rate</option><option value="direction">by direction</option></select></label>
      <button aria-pressed=${hasPages} onClick=${() => model.set({ pageSize: hasPages ? 0 : PAGE, page: 0 })}>${hasPages ? "All units" : "In pages"}</button>
      ${hasPages && html`<button aria-label="Page before" onClick=${() => turn(-1)}>‹</button><span>${options.page + 1} / ${pages}</span><button aria-label="Next page" onClick=${() => turn(1)}>›</button>`}
    </div>
    <div class="canvas-box">${canvas}<${States} model=${model} /></div>
    <div class="row small below">
      <${Scale} model=${model} />
      <span class="push"></span>
      <${HoverText} model=${model} />
    </div>
    <${ViewControls} model=${model} />
    <${RasterTable} model=${model} />
  </section>`;
}

/** @param {{model: import("../live-model.js").LiveModel}} props */
function Scale({ model }) {
  const most = model.largest.value;
  const steps = [0, 1, 2, 3, Math.ceil(most / 2), most].filter((n, i, all) => n <= most && all.indexOf(n) === i);
  return html`<span class="scale" aria-label="Colours of spikes in a column">
    ${steps.map((n) => html`<span><svg width="14" height="12" aria-hidden="true"><rect class="swatch" width="14" height="12" fill=${`rgb(${colourAt(theme.value, Math.sqrt(n / most)).join()})`} /></svg>${n}${n === most ? "+" : ""}</span>`)}
    <span class="dim">spikes in ${number(model.columnSeconds.value * 1000, 1)} ms</span>
    ${EVENTS.filter(([column]) => model.trials.value.some((trial) => typeof trial[column] === "number")).map(([column, name]) => html`<span class="events" key=${column}>${SHAPES[column]} ${name}</span>`)}
  </span>`;
}

/** @param {{model: import("../live-model.js").LiveModel}} props */
function HoverText({ model }) {
  const hover = model.hover.value;
  if (!hover) return html`<span class="dim">Point at the raster for counts; click for a unit.</span>`;
  const notes = [
    hover.flags & FLAG.GAP && "not known: the view was behind",
    hover.flags & FLAG.UNOBSERVED && "nothing was observed then",
    hover.flags & FLAG.LOST && "packets lost on purpose",
    hover.flags & FLAG.PERTURBED && "perturbed",
    hover.flags & FLAG.MERGED && "summed with its neighbours on the way",
  ].filter(Boolean);
  const units = hover.units.map((/** @type {any} */ each) => `unit ${each.id}: ${each.count}`).join(", ");
  return html`<span>${units} · packet ${hover.packet_id}${hover.trial_id >= 0 ? ` · trial ${hover.trial_id}` : ""}${notes.length ? ` · ${notes.join(", ")}` : ""}</span>`;
}

/** What lies over the picture when it is not live. @param {{model: import("../live-model.js").LiveModel}} props */
function States({ model }) {
  const state = model.state.value;
  if (model.status.value.state !== "open") return html`<div class="veil" aria-hidden="true"></div>`;
  if (state && !state.is_playing && model.isEmpty.value) {
    return html`<div class="over">Nothing has been played yet. The picture begins when somebody listens, or with “Play here”.</div>`;
  }
  return null;
}

/** @param {{model: import("../live-model.js").LiveModel}} props */
function RasterTable({ model }) {
  return html`<details class="text" onToggle=${(/** @type {any} */ event) => { isTableOpen.value = event.currentTarget.open; }}>
    <summary>As text</summary>
    ${isTableOpen.value && html`<${Rates} model=${model} />`}
  </details>`;
}

/** @param {{model: import("../live-model.js").LiveModel}} props */
function Rates({ model }) {
  const { units } = model.shown.value;
  const rates = model.rates.value;
  const ids = model.unitIds.value;
  const total = rates.reduce((sum, rate) => sum + (Number.isFinite(rate) ? rate : 0), 0);
  return html`<p>${plural(ids.length, "unit")}, ${number(total, 0)} spikes/s in all over the last minute at most.</p>
    <div class="scroll" tabindex="0" role="region" aria-label="Rates of the units"><table>
      <thead><tr><th scope="col">Unit</th><th scope="col">Spikes/s</th><th scope="col"><span class="sr">What to do</span></th></tr></thead>
      <tbody>${units.slice(0, 200).map((/** @type {number} */ row) => html`<tr key=${row}><th scope="row">${ids[row]}</th><td>${number(rates[row], 1)}</td><td><button class="plain" onClick=${() => model.set({ unit: row })}>Show unit ${ids[row]}</button></td></tr>`)}</tbody>
    </table></div>`;
}
