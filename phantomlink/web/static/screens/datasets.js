/** What can be played, and what a recording lacks. */

import { html, render, signal } from "../vendor/preact.js";
import { BASE, api, apiIfThere } from "../api.js";
import { bytes, clock, number, plural } from "../core/format.js";
import { CaptureTable, loadCaptures } from "../parts/captures.js";
import { attempt } from "../parts/notices.js";
import { Shell } from "../parts/shell.js";
import { Empty } from "../parts/states.js";

const datasets = signal(/** @type {any} */ (null));
const playing = signal(/** @type {any} */ (null));

/** @param {HTMLElement} root */
export function showDatasets(root) {
  document.title = "Datasets · PhantomLink";
  render(html`<${DatasetsScreen} />`, root);
  void attempt(refresh);
}

async function refresh() {
  playing.value = await api("api/metadata");
  datasets.value = (await apiIfThere("api/datasets")) ?? { datasets: null };
  await loadCaptures();
}

function DatasetsScreen() {
  const cards = datasets.value?.datasets;
  const refused = datasets.value?.fetch_refused;
  const rescan = () => attempt(async () => {
    await api("api/datasets/rescan", { method: "POST" });
    await refresh();
  });
  return html`<${Shell} current="datasets">
    <div class="row headline"><h1>Datasets</h1><span class="push"></span>${cards && html`<button onClick=${() => void rescan()}>Look again</button>`}</div>
    ${cards && refused && cards.some((/** @type {any} */ card) => card.phantomlink.state === "listed") && html`<p class="dim">Listed datasets are not on this server yet, and cannot be fetched from this page: ${refused}. Whoever runs it can also do so in a shell: <code>phantomlink fetch NAME</code>.</p>`}
    <div class="grid datasets">
      ${!cards && playing.value && html`<${Playing} metadata=${playing.value} />`}
      ${cards ? cards.map((/** @type {any} */ card) => html`<${Card} key=${nameOf(card)} card=${card} isDefault=${nameOf(card) === datasets.value.default} />`)
        : datasets.value && html`<section class="card"><h2>Catalogue</h2><${Empty} title="This server has no catalogue yet">It plays the one recording beside this.</${Empty}></section>`}
      <section class="card whole"><h2>Captures</h2><${CaptureTable} /></section>
    </div>
  </${Shell}>`;
}

/** @param {any} card @returns {string} */
function nameOf(card) {
  return card.phantomlink?.name ?? card.name ?? card.identifier;
}

/** @param {{metadata: any}} props */
function Playing({ metadata }) {
  return html`<section class="card" aria-labelledby="playing-title"><h2 id="playing-title">Plays now: ${metadata.dataset}</h2>
    <dl class="facts"><div><dt>units</dt><dd>${number(metadata.num_channels)}</dd></div><div><dt>length</dt><dd>${clock(metadata.duration_seconds)}</dd></div>
      <div><dt>trials</dt><dd>${number(metadata.num_trials)}</dd></div><div><dt>spikes</dt><dd>${number(metadata.num_spikes)}</dd></div></dl>
    <${Series} behaviour=${metadata.behaviour} />
    ${metadata.is_synthetic && html`<p class="dim">Synthetic: made by this program, in the form of a real recording.</p>`}
    ${(metadata.missing ?? []).length > 0 && html`<h3>What it lacks</h3><ul>${metadata.missing.map((/** @type {string} */ line) => html`<li>${line}</li>`)}</ul>`}
  </section>`;
}

/** Which series of the file are played. @param {{behaviour: any}} props */
function Series({ behaviour }) {
  const text = (/** @type {any} */ each) => (each ? `${each.path} (${each.unit || "no unit"})` : "none");
  return html`<p class="small">Position <code>${text(behaviour?.position)}</code><br />Velocity <code>${text(behaviour?.velocity)}</code></p>`;
}

/** @param {{card: any, isDefault: boolean}} props */
function Card({ card, isDefault }) {
  const block = card.phantomlink ?? card;
  const name = nameOf(card);
  const create = () => attempt(async () => {
    const made = await api("api/sessions/create", { method: "POST", body: { dataset: name } });
    location.href = new URL(`s/${encodeURIComponent(made.session_code)}`, BASE).href;
  });
  const fetchIt = () => attempt(async () => {
    await api(`api/datasets/${encodeURIComponent(name)}/fetch`, { method: "POST" });
    await refresh();
  });
  const licences = card.license ? [card.license].flat().map((each) => (typeof each === "string" ? each : each.name)) : [];
  const about = [card.identifier !== name && card.identifier, card.species, card.contentSize && bytes(card.contentSize), licences.length > 0 && `licence ${licences.join(", ")}`].filter(Boolean);
  const canPlay = block.state === "available" || block.state === "open";
  return html`<section class="card" aria-label=${`Dataset ${name}`}>
    <div class="row"><h2>${block.title ?? name}</h2>${isDefault && html`<span class="badge">default</span>`}<span class="badge ${block.state}"><span class="shape" aria-hidden="true"></span>${block.state}</span></div>
    ${block.reason && html`<p class="dim">${block.reason}</p>`}
    ${block.num_channels != null && html`<dl class="facts"><div><dt>units</dt><dd>${number(block.num_channels)}</dd></div><div><dt>length</dt><dd>${clock(block.duration_seconds)}</dd></div><div><dt>trials</dt><dd>${number(block.num_trials)}</dd></div></dl>`}
    ${block.num_channels != null && html`<${Series} behaviour=${block.behaviour} />`}
    ${block.description && html`<p class="small">${block.description}</p>`}
    ${about.length > 0 && html`<p class="dim small">${about.join(" · ")}</p>`}
    ${(block.missing ?? []).length > 0 && html`<details><summary>Lacks ${plural(block.missing.length, "thing")}</summary><ul>${block.missing.map((/** @type {any} */ line) => html`<li>${typeof line === "string" ? line : JSON.stringify(line)}</li>`)}</ul></details>`}
    <div class="row">${canPlay && html`<button class="primary" onClick=${() => void create()} aria-label=${`New session of ${name}`}>New session</button>`}
      ${block.state === "listed" && (datasets.value?.fetch_refused ? html`<code>phantomlink fetch ${name}</code>` : html`<button onClick=${() => void fetchIt()} aria-label=${`Fetch ${name}`}>Fetch</button>`)}</div>
  </section>`;
}
