/** Snippets of this session, and its digest to compare with what a client has received. */

import { html, signal } from "../vendor/preact.js";
import { BASE, api, token } from "../api.js";
import { snippets } from "../core/snippets.js";
import { attempt, copy } from "./notices.js";

const chosen = signal(0);
const digest = signal(/** @type {any} */ (null));
const other = signal("");

/** @param {{model: import("../live-model.js").LiveModel}} props */
export function Connect({ model }) {
  const all = snippets(BASE, model.code, token.value !== null, `PhantomLink-Neural-${model.code}`);
  const shown = all[chosen.value];
  const link = () => {
    const url = new URL(location.href);
    if (model.position.value !== null) url.searchParams.set("at", String(model.position.value));
    return url.href;
  };
  return html`<section class="card connect" aria-labelledby="connect-title">
    <div class="row"><h2 id="connect-title">Connect</h2><span class="push"></span>
      <button onClick=${() => void copy(new URL(`s/${encodeURIComponent(model.code)}`, BASE).href, "Link")}>Copy link</button>
      <button onClick=${() => void copy(link(), "Link to this place")}>Link to this place</button></div>
    <div class="segments" role="group" aria-label="Language">
      ${all.map((each, i) => html`<button aria-pressed=${i === chosen.value} onClick=${() => { chosen.value = i; }}>${each.name}</button>`)}
    </div>
    <p class="dim small">Needs: ${shown.install}</p>
    <pre tabindex="0" role="region" aria-label=${`${shown.name} program`}><code>${shown.code}</code></pre>
    <button onClick=${() => void copy(shown.code, `${shown.name} program`)}>Copy</button>
    <${Digest} model=${model} />
  </section>`;
}

/** @param {{model: import("../live-model.js").LiveModel}} props */
function Digest({ model }) {
  const compute = () => attempt(async () => {
    digest.value = await api(`api/sessions/${encodeURIComponent(model.code)}/digest`);
  });
  const value = digest.value?.digest ?? digest.value?.sha256;
  const typed = other.value.trim();
  return html`<details><summary>Digest of what this session sends</summary>
    <div class="row"><button onClick=${() => void compute()}>Compute</button></div>
    ${value && html`<p><code class="long">${value}</code></p>
      <label>Compare with <input value=${typed} onInput=${(/** @type {any} */ e) => { other.value = e.target.value; }} /></label>
      ${typed && html`<p role="status">${typed === value ? "✓ the same" : "✗ different"}</p>`}`}
  </details>`;
}
