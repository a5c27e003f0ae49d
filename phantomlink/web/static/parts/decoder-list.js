/** Decoders of a session: who answers, how well, and how soon. */

import { html } from "../vendor/preact.js";
import { UNKNOWN, number } from "../core/format.js";
import { Empty } from "./states.js";

/** @param {{model: import("../live-model.js").LiveModel}} props */
export function DecoderList({ model }) {
  const decoders = model.decoders.value;
  return html`<section class="card decoders" aria-labelledby="decoders-title">
    <h2 id="decoders-title">Decoders</h2>
    ${decoders.length === 0
      ? html`<${Empty} title="No decoder answers">A client that sends predictions on its stream, or a built-in decoder, is shown here.
        <pre tabindex="0" role="region" aria-label="Example of a prediction"><code>${'{"type": "prediction", "data": {"packet_id": 1234,\n  "vx": 12.3, "vy": -4.5, "decoder": "mine"}}'}</code></pre></${Empty}>`
      : html`<${DecoderTable} decoders=${decoders} />`}
  </section>`;
}

/**
 * @param {object} props
 * @param {any[]} props.decoders each in short
 * @param {Map<string, any> | null} [props.whole] scores over all trials, by name; null where they are not asked for
 */
export function DecoderTable({ decoders, whole = null }) {
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Decoders"><table>
    <thead><tr><th scope="col">Decoder</th><th scope="col">R² of velocity, last 10 s</th>${whole && html`<th scope="col">R², all trials</th><th scope="col">RMSE, all trials</th>`}<th scope="col">answered</th><th scope="col">late</th><th scope="col">latency p50</th></tr></thead>
    <tbody>${decoders.map((each) => html`<tr key=${each.decoder}><th scope="row">${each.decoder}<br /><span class="dim small">${[each.model ? `built in, ${each.kind}` : each.kind, each.connected ? null : "not connected"].filter(Boolean).join(", ")}</span></th>
      <td>${number(recentR2(each), 3)}</td>
      ${whole && html`<td>${number(quantityOf(whole.get(each.decoder))?.r2?.both, 3)}</td><td>${number(quantityOf(whole.get(each.decoder))?.rmse, 2)}</td>`}
      <td>${each.coverage === null ? "–" : `${number(each.coverage * 100, 1)} %`}</td>
      <td>${number(each.late)}</td><td>${each.latency_ms.p50 === null ? UNKNOWN : `${number(each.latency_ms.p50, 2)} ms`}</td></tr>`)}</tbody>
  </table></div>
  ${decoders.some((each) => recentR2(each) === null) && html`<p class="dim small">R² is known once trials are played; time between trials, and trials that a model was fitted to, do not count.</p>`}`;
}

/** @param {any} decoder @returns {number | null} of both axes; null where it is not defined */
function recentR2(decoder) {
  return quantityOf(decoder.last_10_s)?.r2?.both ?? null;
}

/** What a decoder predicts, velocity first. @param {any} figures */
function quantityOf(figures) {
  return figures?.velocity ?? figures?.position;
}
