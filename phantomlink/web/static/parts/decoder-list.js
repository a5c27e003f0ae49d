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
  const columns = [
    { label: "R² of velocity, last 10 s", value: (/** @type {any} */ each) => number(recentR2(each), 3) },
    ...(whole
      ? [
          { label: "R², all trials", value: (/** @type {any} */ each) => number(quantityOf(whole.get(each.decoder))?.r2?.both, 3) },
          { label: "RMSE, all trials", value: (/** @type {any} */ each) => number(quantityOf(whole.get(each.decoder))?.rmse, 2) },
        ]
      : []),
    { label: "answered", value: (/** @type {any} */ each) => (each.coverage === null ? "–" : `${number(each.coverage * 100, 1)} %`) },
    { label: "late", value: (/** @type {any} */ each) => number(each.late) },
    { label: "latency p50", value: (/** @type {any} */ each) => (each.latency_ms.p50 === null ? UNKNOWN : `${number(each.latency_ms.p50, 2)} ms`) },
  ];
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Decoders"><table class="stacked" role="table">
    <thead role="rowgroup"><tr role="row"><th scope="col" role="columnheader">Decoder</th>${columns.map(({ label }) => html`<th scope="col" role="columnheader">${label}</th>`)}</tr></thead>
    <tbody role="rowgroup">${decoders.map((each) => html`<tr role="row" key=${each.decoder}><th scope="row" role="rowheader">${each.decoder}<br /><span class="dim small">${[each.model ? `built in, ${each.kind}` : each.kind, each.connected ? null : "not connected"].filter(Boolean).join(", ")}</span></th>
      ${columns.map(({ label, value }) => html`<td role="cell" data-label=${label}>${value(each)}</td>`)}</tr>`)}</tbody>
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
