/** Play, pause, step, speed: of the session, for everybody; and the time machine, for this page. */

import { html } from "../vendor/preact.js";
import { WINDOWS_SECONDS } from "../core/url-state.js";
import { clock, number } from "../core/format.js";
import { CaptureButton } from "./captures.js";

const SPEEDS = [0.1, 0.25, 0.5, 1, 2, 4, 10, 25, 100];
const REPLAYS = [0.25, 0.5, 1, 2, 4];

/** @param {{model: import("../live-model.js").LiveModel}} props */
export function Transport({ model }) {
  const state = model.state.value;
  // What would be asked of a server that is gone is not offered.
  const isOff = !state || model.status.value.state !== "open";
  const isHeld = !state || state.is_paused || state.is_stopped;
  const run = (/** @type {string} */ action, /** @type {any} */ body) => () => void model.control(action, body);
  const back = () => {
    const bins = Math.round(5000 / (model.metadata.value?.bin_size_ms ?? 25));
    void model.control("seek", { packet_id: Math.max(0, (model.position.value ?? 0) - bins) });
  };
  const goTo = (/** @type {any} */ event) => {
    event.preventDefault();
    const seconds = parseClock(String(new FormData(event.target).get("place")));
    if (seconds !== null) void model.control("seek", { position_seconds: seconds });
  };
  const noListener = !isOff && !state.listeners && !state.is_paused;
  // Where nothing plays this is what to do first.
  const playHere = html`<button class=${noListener ? "primary" : ""} title="Listens for you, so that the session plays" onClick=${() => model.post({ kind: "play", play: true })} disabled=${isOff}>Play here</button>`;
  return html`<section class="card transport row" aria-label="The session, for everybody who listens">
    ${noListener && playHere}
    <button class=${noListener ? "" : "primary"} onClick=${run(isHeld ? "resume" : "pause")} aria-keyshortcuts="Space" disabled=${isOff}>${isHeld ? "Resume" : "Pause"}</button>
    <button onClick=${run("stop")} disabled=${isOff}>Stop</button>
    <button onClick=${run("step", { packets: 1 })} disabled=${isOff || !state.is_paused} title="One packet on; while paused">Step</button>
    <button onClick=${() => model.seekTrial(-1)} disabled=${isOff}>Trial −1</button>
    <button onClick=${() => model.seekTrial(1)} disabled=${isOff}>Trial +1</button>
    <button onClick=${back} disabled=${isOff}>Back 5 s</button>
    <form class="row" onSubmit=${goTo}><label>Go to <input name="place" id="goto" size="6" placeholder="1:23.4" autocomplete="off" /></label><button disabled=${isOff}>Go</button></form>
    <label>Speed
      <select disabled=${isOff} value=${String(state?.speed ?? 1)} onChange=${(/** @type {any} */ e) => void model.control("speed", { speed: Number(e.target.value) })}>
        ${[...new Set([...SPEEDS, state?.speed ?? 1])].sort((a, b) => a - b).map((speed) => html`<option value=${String(speed)}>${number(speed, 2)}×</option>`)}
      </select>
    </label>
    <${FilterChoice} model=${model} />
    <div class="row last"><${CaptureButton} code=${model.code} isOff=${isOff} />
      ${model.isPlayer.value
        ? html`<button onClick=${() => model.post({ kind: "play", play: false })}>Stop playing here</button>`
        : !noListener && playHere}</div>
  </section>`;
}

/** @param {{model: import("../live-model.js").LiveModel}} props */
function FilterChoice({ model }) {
  const reaches = [...new Set(model.trials.value.map((trial) => trial.reach_id))].filter((id) => id !== null && id !== undefined).sort((a, b) => a - b);
  const current = model.filter.reach_id ?? "";
  const choose = (/** @type {any} */ event) => {
    const url = new URL(location.href);
    for (const name of ["trial_id", "target_id", "reach_id"]) url.searchParams.delete(name);
    if (event.target.value !== "") url.searchParams.set("reach_id", event.target.value);
    location.href = url.href;
  };
  return html`<label title="Shows the filtered playhead, when somebody listens to it">Watch
    <select value=${String(current)} onChange=${choose}>
      <option value="">everything</option>
      ${reaches.map((id) => html`<option value=${String(id)}>reach ${id}</option>`)}
    </select>
  </label>`;
}

/** @param {{model: import("../live-model.js").LiveModel}} props */
export function ViewControls({ model }) {
  const now = model.now.value;
  const options = model.options.value;
  const isFrozen = now?.is_frozen ?? false;
  const behind = (now?.behind_columns ?? 0) * model.columnSeconds.value;
  return html`<div class="row viewbar" role="toolbar" aria-label="This view">
    <button aria-pressed=${isFrozen} aria-keyshortcuts="F" onClick=${() => model.post({ kind: isFrozen ? "live" : "freeze" })}>${isFrozen ? "Back to live" : "Freeze view"}</button>
    <button aria-label="View one column back" aria-keyshortcuts="," onClick=${() => model.post({ kind: "move", columns: -1 })}>‹</button>
    <button aria-label="View one column on" aria-keyshortcuts="." onClick=${() => model.post({ kind: "move", columns: 1 })}>›</button>
    <button aria-label="View to the trial before" onClick=${() => model.post({ kind: "trial", step: -1 })}>«</button>
    <button aria-label="View to the next trial" onClick=${() => model.post({ kind: "trial", step: 1 })}>»</button>
    ${isFrozen && html`
      <label>Replay <select value=${String(now?.rate || 1)} onChange=${(/** @type {any} */ e) => model.post({ kind: "replay", rate: Number(e.target.value) })}>${REPLAYS.map((rate) => html`<option value=${String(rate)}>${rate}×</option>`)}</select></label>
      <button onClick=${() => model.post({ kind: "replay", rate: now?.rate ? 0 : 1 })}>${now?.rate ? "Hold" : "Replay"}</button>
      <button aria-pressed=${now?.has_loop ?? false} onClick=${() => model.post({ kind: "loop", seconds: now?.has_loop ? 0 : 3 })}>Loop 3 s</button>
      <label class="grow">Place in the last ${clock((now?.kept_columns ?? 0) * model.columnSeconds.value, 0)}
        <input type="range" min="1" max=${now?.kept_columns ?? 1} value=${(now?.kept_columns ?? 1) - (now?.behind_columns ?? 0)} onInput=${(/** @type {any} */ e) => model.post({ kind: "move", columns: Number(e.target.value) - ((now?.kept_columns ?? 1) - (now?.behind_columns ?? 0)) })} /></label>
      <strong class="frozen">View frozen, session goes on (+${number(behind, 1)} s)</strong>`}
    <span class="push"></span>
    <fieldset class="segments"><legend class="sr">Window</legend>
      ${WINDOWS_SECONDS.map((seconds) => html`<button aria-pressed=${options.window === seconds} onClick=${() => model.set({ window: seconds })}>${seconds} s</button>`)}
    </fieldset>
  </div>`;
}

/** Minutes and seconds, or seconds; null where it is neither. @param {string} text */
export function parseClock(text) {
  const found = /^(?:(\d+):)?(\d+(?:\.\d+)?)$/.exec(text.trim());
  return found === null ? null : Number(found[1] ?? 0) * 60 + Number(found[2]);
}
