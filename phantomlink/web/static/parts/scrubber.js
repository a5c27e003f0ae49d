/** The whole recording on a line: overview, trials, playheads. Dragging seeks. */

import { html, signal } from "../vendor/preact.js";
import { clock, number } from "../core/format.js";

const W = 1000;
const H = 56;
const zoom = signal({ from: 0, to: 1 });
/** Packets that a brush (Shift and drag) goes over; null for none. */
const brush = signal(/** @type {[number, number] | null} */ (null));

/** @param {number} factor of what is shown @param {number} middle part of the recording that stays where it is, if it is shown */
function zoomBy(factor, middle) {
  const { from, to } = zoom.value;
  const span = Math.min(1, Math.max(0.005, (to - from) * factor));
  const place = (middle - from) / (to - from);
  const left = middle - (place >= 0 && place <= 1 ? place : 0.5) * span;
  const begin = Math.min(1 - span, Math.max(0, left));
  zoom.value = { from: begin, to: begin + span };
}

/** @param {{model: import("../live-model.js").LiveModel, overview: any}} props */
export function Scrubber({ model, overview }) {
  const [metadata, state] = [model.metadata.value, model.state.value];
  const total = metadata?.total_packets ?? 0;
  if (!total) return null;
  const { from, to } = zoom.value;
  const px = (/** @type {number} */ packet) => ((packet / total - from) / (to - from)) * W;
  const packetAt = (/** @type {any} */ event) => {
    const box = event.currentTarget.getBoundingClientRect();
    const part = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    return Math.min(total - 1, Math.floor((from + part * (to - from)) * total));
  };
  const drag = (/** @type {any} */ event) => {
    if (event.type === "pointerdown") event.currentTarget.setPointerCapture(event.pointerId);
    if (event.type === "pointerdown" && event.shiftKey) brush.value = [packetAt(event), packetAt(event)];
    else if (brush.value !== null && event.buttons & 1) brush.value = [brush.value[0], packetAt(event)];
    else if (event.buttons & 1) model.seekSoon(packetAt(event));
  };
  const release = () => {
    if (brush.value === null) return;
    const [from, to] = [Math.min(...brush.value), Math.max(...brush.value)];
    brush.value = null;
    model.post({ kind: "loopPackets", from, to });
  };
  const wheel = (/** @type {any} */ event) => {
    event.preventDefault();
    zoomBy(event.deltaY > 0 ? 1.25 : 0.8, packetAt(event) / total);
  };
  const keys = (/** @type {any} */ event) => {
    const bins = Math.round(1000 / metadata.bin_size_ms);
    if (event.key === "+" || event.key === "-") {
      zoomBy(event.key === "+" ? 0.625 : 1.6, (model.position.value ?? 0) / total);
      return;
    }
    const steps = { ArrowLeft: -bins, ArrowRight: bins, PageUp: -10 * bins, PageDown: 10 * bins };
    const step = steps[/** @type {keyof typeof steps} */ (event.key)];
    const place = event.key === "Home" ? 0 : event.key === "End" ? total - 1 : step === undefined ? null : (model.position.value ?? 0) + step;
    if (place === null) return;
    event.preventDefault();
    model.seekSoon(Math.min(total - 1, Math.max(0, place)));
  };
  const bin = metadata.bin_size_ms / 1000;
  const position = model.position.value ?? 0;
  const t0 = metadata.t0_seconds ?? 0;
  return html`<section class="card scrubber" aria-labelledby="scrubber-title">
    <div class="row"><h2 id="scrubber-title">Recording</h2>
      <span class="big" data-test="position">${clock(position * bin)} <span class="dim">of ${clock(total * bin)}</span></span>
      <span class="dim">packet ${number(position)}</span>
      <span class="push"></span>
      <span class="dim small">drag seeks<span class="fine"> · wheel zooms · Shift and drag loops in this view</span></span>
      <button aria-label="Zoom out" aria-keyshortcuts="-" disabled=${to - from >= 1} onClick=${() => zoomBy(1.6, position / total)}>−</button>
      <button aria-label="Zoom in" aria-keyshortcuts="+" onClick=${() => zoomBy(0.625, position / total)}>+</button>
      ${to - from < 1 && html`<button onClick=${() => { zoom.value = { from: 0, to: 1 }; }}>Whole recording</button>`}
    </div>
    <svg class="line" viewBox="0 0 ${W} ${H}" preserveAspectRatio="none" role="slider" tabindex="0"
      aria-label="Position in the recording" aria-valuemin="0" aria-valuemax=${total - 1} aria-valuenow=${position}
      aria-valuetext=${`${clock(position * bin)} of ${clock(total * bin)}`}
      onPointerDown=${drag} onPointerMove=${drag} onPointerUp=${release} onPointerCancel=${release} onWheel=${wheel} onKeyDown=${keys}>
      <rect class="ground" width=${W} height=${H} />
      ${overview && html`<path class="overview" d=${area(overview, from, to)} />`}
      <${TrialTicks} trials=${model.trials.value} t0=${t0} bin=${bin} px=${px} />
      ${(state?.playheads ?? []).map((/** @type {any} */ head) => html`<line class="head other" x1=${px(head.current_packet)} x2=${px(head.current_packet)} y1="0" y2=${H} />`)}
      ${brush.value && html`<rect class="brush" x=${px(Math.min(...brush.value))} width=${Math.max(1, Math.abs(px(brush.value[1]) - px(brush.value[0])))} height=${H} />`}
      <line class="head" x1=${px(position)} x2=${px(position)} y1="0" y2=${H} />
    </svg>
    ${overview ? null : html`<p class="dim small">Trials only: this server has no overview of the dataset yet.</p>`}
  </section>`;
}

/** @param {{trials: any[], t0: number, bin: number, px: (packet: number) => number}} props */
function TrialTicks({ trials, t0, bin, px }) {
  const d = trials.map((trial) => {
    const [x0, x1] = [px((trial.start_time - t0) / bin), px((trial.stop_time - t0) / bin)];
    const y = 42 + ((trial.reach_id ?? 0) % 3) * 4;
    return x1 < 0 || x0 > W ? "" : `M${x0} ${y}H${Math.max(x0 + 1, x1)}`;
  });
  return html`<path class="trials" d=${d.join("")} />`;
}

/** @param {any} overview @param {number} from @param {number} to */
function area(overview, from, to) {
  const spikes = overview.spikes;
  const most = Math.max(1, ...spikes);
  const step = W / (spikes.length * (to - from));
  const at = (/** @type {number} */ i) => (i / spikes.length - from) * (W / (to - from));
  const points = spikes.map((/** @type {number} */ n, /** @type {number} */ i) => `L${at(i)} ${40 - ((n ?? 0) / most) * 36}H${at(i) + step}`);
  return `M${at(0)} 40${points.join("")}V40Z`;
}
