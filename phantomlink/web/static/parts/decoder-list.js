/** Decoders of a session: who answers, how well, and how soon. */

import { html } from "../vendor/preact.js";
import { micros, number } from "../core/format.js";
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

/** @param {{decoders: any[]}} props */
export function DecoderTable({ decoders }) {
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Decoders"><table>
    <thead><tr><th scope="col">Decoder</th><th scope="col">R² (last 10 s)</th><th scope="col">answered</th><th scope="col">late</th><th scope="col">latency p50</th></tr></thead>
    <tbody>${decoders.map((each) => html`<tr key=${each.name}><th scope="row">${each.name}</th>
      <td>${number(each.r2 ?? each.last_10_s?.r2, 3)}</td><td>${each.coverage == null ? "–" : `${number(each.coverage * 100, 1)} %`}</td>
      <td>${number(each.late)}</td><td>${micros(each.latency_us?.p50)}</td></tr>`)}</tbody>
  </table></div>`;
}
