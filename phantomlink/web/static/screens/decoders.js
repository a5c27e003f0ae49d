/** Decoders of a session side by side, and their difference by trial. */

import { html, render, signal } from "../vendor/preact.js";
import { BASE, api, apiIfThere } from "../api.js";
import { number } from "../core/format.js";
import { Chart } from "../parts/chart.js";
import { DecoderTable } from "../parts/decoder-list.js";
import { Poll, PollTrouble } from "../parts/polling.js";
import { Shell } from "../parts/shell.js";
import { Empty } from "../parts/states.js";

const POLL_MS = 2000;
const codes = signal(/** @type {string[] | null} */ (null));
const chosen = signal(new URL(location.href).searchParams.get("session") ?? "");
/** null while unknown, false where the server does not score. */
const decoders = signal(/** @type {any[] | null | false} */ (null));
const report = signal(/** @type {any} */ (null));
/** What the report is of. */
let reported = "";
const poll = new Poll(refresh, POLL_MS);

/** @param {HTMLElement} root */
export function showDecoders(root) {
  document.title = "Decoders · PhantomLink";
  render(html`<${DecodersScreen} />`, root);
  void poll.run();
}

async function refresh() {
  codes.value = Object.keys((await api("api/sessions")).sessions);
  if (!codes.value.includes(chosen.value)) chosen.value = codes.value[0] ?? "";
  if (!chosen.value) return;
  const path = `api/sessions/${encodeURIComponent(chosen.value)}`;
  const answer = await apiIfThere(`${path}/decoders`);
  decoders.value = answer === null ? false : answer.decoders;
  // Comparing costs the server more than the list: asked for when somebody has answered since.
  const key = [chosen.value, ...(answer?.decoders ?? []).map((/** @type {any} */ each) => `${each.decoder} ${each.closed}`)].join("/");
  if (key === reported) return;
  report.value = answer?.decoders.length ? await apiIfThere(`${path}/report?format=json`) : null;
  reported = key;
}

function DecodersScreen() {
  const all = codes.value;
  const list = decoders.value;
  const choose = (/** @type {any} */ event) => {
    chosen.value = event.target.value;
    decoders.value = report.value = null;
    void poll.run();
  };
  return html`<${Shell} current="decoders">
    <div class="row headline"><h1>Decoders</h1>${all && all.length > 0 && html`<label>Session <select value=${chosen.value} onChange=${choose}>${all.map((code) => html`<option>${code}</option>`)}</select></label>`}</div>
    <${PollTrouble} poll=${poll} />
    <div class="grid decoders${poll.status.value.state === "open" ? "" : " stale"}">
      <section class="card wide" aria-label="Decoders of this session">
        ${all === null ? null : all.length === 0 ? html`<${Empty} title="No session">Decoders answer the packets of a session. <a href=${BASE}>Create a session</a>.</${Empty}>`
          : list === false ? html`<${Empty} title="This server does not score decoders yet" />`
          : list !== null && list.length === 0 ? html`<${Empty} title="No decoder has answered">Send this on the socket of the stream, for each packet:
            <pre tabindex="0" role="region" aria-label="Example of a prediction"><code>${'{"type": "prediction",\n "data": {"packet_id": 1234, "vx": 12.3, "vy": -4.5, "decoder": "mine"}}'}</code></pre></${Empty}>`
          : list && html`<${DecoderTable} decoders=${list} whole=${wholeRuns(report.value)} />`}
      </section>
      ${report.value && html`<${Differences} report=${report.value} />`}
    </div>
  </${Shell}>`;
}

/** Scores over all trials, by decoder. @param {any} shown the report @returns {Map<string, any>} */
function wholeRuns(shown) {
  return new Map((shown?.runs[0]?.decoders ?? []).map((/** @type {any} */ each) => [each.decoder, each.scores.trials.answered.whole]));
}

/** Each two decoders, by trial: what their RMSE of velocity differs by. @param {{report: any}} props */
function Differences({ report: shown }) {
  const pairs = (shown.runs[0]?.comparison?.pairs ?? []).filter(
    (/** @type {any} */ pair) => pair.window === "trials" && pair.figure === "rmse",
  );
  return html`${pairs.map((/** @type {any} */ pair) => {
    const name = `${pair.first} − ${pair.second}`;
    const trials = pair.trials;
    return html`<section class="card" key=${`${name}-${pair.quantity}`} aria-label=${name}><h2>${name} <span class="dim small">RMSE of ${pair.quantity}, by trial</span></h2>
      <${Chart} label=${`Difference of RMSE, ${name}, ${trials.length} trials, mean ${number(pair.mean_difference, 2)}`} x=${trials.map((/** @type {any} */ _, /** @type {number} */ i) => i)} series=${[
        { name: `${pair.second} better`, values: trials.map((/** @type {any} */ each) => Math.max(0, each.difference)), kind: "bars" },
        { name: `${pair.first} better`, values: trials.map((/** @type {any} */ each) => Math.max(0, -each.difference)), kind: "steps" },
      ]} ticks=${trials.length > 1 ? [["1", 0], [String(trials.length), trials.length - 1]] : [["1", 0]]} xLabel="trial, in order" yLabel="size of the difference" />
      <p>Mean difference ${number(pair.mean_difference, 2)}, 95 % [${number(pair.ci95[0], 2)}, ${number(pair.ci95[1], 2)}], p ${number(pair.p_holm ?? pair.p, 3)}; ${pair.first} better in ${pair.first_better_in} of ${pair.n_trials} trials.</p></section>`;
  })}`;
}
