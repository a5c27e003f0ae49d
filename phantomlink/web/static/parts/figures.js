/** Numbers of the moment: where it stands, and how punctual it is. */

import { html } from "../vendor/preact.js";
import { UNKNOWN, micros, number } from "../core/format.js";

/** @param {{model: import("../live-model.js").LiveModel}} props */
export function Figures({ model }) {
  const [state, stats, now] = [model.state.value, model.stats.value, model.now.value];
  const k = now?.kinematics;
  const target = now?.intention;
  const pair = (/** @type {any} */ a, /** @type {any} */ b) => (Number.isFinite(a) ? `${number(a, 1)}, ${number(b, 1)}` : UNKNOWN);
  const facts = [
    ["packet", number(now?.packet_id)],
    ["trial", now?.trial_id ?? (now ? "none" : UNKNOWN)],
    ["rate", state ? `${number(state.rate_hz, 2)} /s` : UNKNOWN],
    ["position", k ? pair(k[2], k[3]) : UNKNOWN],
    ["velocity", k ? pair(k[0], k[1]) : UNKNOWN],
    ["target", target ? pair(target[0], target[1]) : UNKNOWN],
    ["lateness p50", micros(stats?.lateness_us?.p50)],
    ["lateness p99", micros(stats?.lateness_us?.p99)],
    ["lost by slow clients", number(stats?.dropped_packets)],
    ["lost on purpose", number(stats?.injected?.lost)],
    ["from stamp to pixel", now?.figures?.stamp_to_pixel_ms?.p50 == null ? UNKNOWN : `${number(now.figures.stamp_to_pixel_ms.p50, 0)} ms`],
    ["frames a second", number(now?.figures?.fps)],
  ];
  return html`<section class="card figures" aria-label="Figures of the moment"><dl class="facts">
    ${facts.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}
  </dl></section>`;
}
