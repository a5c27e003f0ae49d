/** How punctual the server is: lateness of each session, and what else tells of its clock. */

import { html, render, signal } from "../vendor/preact.js";
import { BASE, api } from "../api.js";
import { micros, number, plural } from "../core/format.js";
import { Chart } from "../parts/chart.js";
import { Poll, PollTrouble } from "../parts/polling.js";
import { Shell } from "../parts/shell.js";
import { Empty } from "../parts/states.js";

const POLL_MS = 2000;
const codes = signal(/** @type {string[] | null} */ (null));
const chosen = signal(new URL(location.href).searchParams.get("session") ?? "");
const timing = signal(/** @type {any} */ (null));
const previous = signal(/** @type {any} */ (null));
const poll = new Poll(refresh, POLL_MS);

/** @param {HTMLElement} root */
export function showTiming(root) {
  document.title = "Timing · PhantomLink";
  render(html`<${TimingScreen} />`, root);
  void poll.run();
}

async function refresh() {
  codes.value = Object.keys((await api("api/sessions")).sessions);
  if (!codes.value.includes(chosen.value)) chosen.value = codes.value[0] ?? "";
  if (!chosen.value) return;
  const next = await api(`api/sessions/${encodeURIComponent(chosen.value)}/timing`);
  previous.value = timing.value?.session_code === next.session_code ? timing.value : null;
  timing.value = next;
}

function TimingScreen() {
  const all = codes.value;
  const shown = timing.value;
  const choose = (/** @type {any} */ event) => {
    chosen.value = event.target.value;
    timing.value = previous.value = null;
    void poll.run();
  };
  return html`<${Shell} current="timing">
    <div class="row headline"><h1>Timing</h1>
      ${all && all.length > 0 && html`<label>Session <select value=${chosen.value} onChange=${choose}>${all.map((code) => html`<option>${code}</option>`)}</select></label>`}
    </div>
    <${PollTrouble} poll=${poll} />
    ${all === null ? null : all.length === 0 ? html`<section class="card"><${Empty} title="No session to measure">Timing is measured on the packets of sessions. <a href=${BASE}>Create a session</a>.</${Empty}></section>`
      : shown && html`<div class="grid timing${poll.status.value.state === "open" ? "" : " stale"}">
        ${shown.playheads.map((/** @type {any} */ head, /** @type {number} */ i) => html`<${Playhead} head=${head} before=${previous.value?.playheads[i]} />`)}
        <${Sending} shown=${shown} /><${Server} server=${shown.server} /></div>`}
  </${Shell}>`;
}

/** @param {{head: any, before: any}} props */
function Playhead({ head, before }) {
  const late = head.lateness_us;
  const name = Object.entries(head.filter).filter(([, value]) => value !== null).map(([key, value]) => `${key} ${value}`).join(", ") || "whole recording";
  const buckets = merged(late.histogram, before?.lateness_us.histogram ?? []);
  return html`<section class="card" aria-label=${`Lateness of the playhead over ${name}`}>
    <h2>Lateness <span class="dim small">${name}</span></h2>
    ${late.count === 0 ? html`<${Empty} title="Nothing has been sent yet">Lateness is measured on packets, and packets need a listener.</${Empty}>` : html`
      <dl class="facts">${[["p50", late.p50], ["p99", late.p99], ["p99.9", late.p999], ["latest", late.max]].map(([label, value]) => html`<div><dt>${label}</dt><dd>${micros(value)}</dd></div>`)}</dl>
      <${Chart} label=${`Lateness of ${number(late.count)} packets: median ${micros(late.p50)}, 99 % within ${micros(late.p99)}`} x=${buckets.map((_, i) => i)} series=${[{ name: "since the start", values: buckets.map((each) => Math.log10(1 + each.packets)), kind: "bars" }, { name: "last 2 s", values: buckets.map((each) => Math.log10(1 + each.recent)), kind: "steps" }]} xLabel="lateness, at most" yLabel="packets (log)" yTicks=${decades(buckets)} ticks=${buckets.flatMap((each, i) => (/** @type {any} */ (i) % Math.max(1, Math.ceil(buckets.length / 5)) === 0 ? [[micros(each.up_to_us), i]] : []))} />`}
    <dl class="facts">
      ${[["packets", number(head.packets)], ["drift", head.drift_ppm === null ? "–" : `${number(head.drift_ppm, 2)} ppm`], ["stalls", number(head.stalls)], ["overruns", number(head.overruns)], ["anchors", number(head.anchors)], ["hand-over p99", micros(head.handover_us.p99)], ["lost on purpose", number(head.injected.lost)], ["delayed on purpose", number(head.injected.delayed)]].map(([label, value]) => html`<div><dt>${label}</dt><dd>${value}</dd></div>`)}
    </dl>
    ${head.events.length > 0 && html`<details><summary>${plural(head.events.length, "late event")}</summary><div class="scroll" tabindex="0" role="region" aria-label="Late events"><table><thead><tr><th scope="col">When</th><th scope="col">What</th><th scope="col">Late</th></tr></thead><tbody>
      ${head.events.map((/** @type {any} */ event) => html`<tr><td>${event.at}</td><td>${event.kind}</td><td>${micros(event.late_us)}</td></tr>`)}</tbody></table></div></details>`}
  </section>`;
}

/** Buckets of a factor of two, with what has come since the last look. @param {any[]} histogram @param {any[]} before */
function merged(histogram, before) {
  const old = new Map(before.map((each) => [each.up_to_us, each.packets]));
  /** @type {Map<number, {up_to_us: number, packets: number, recent: number}>} */
  const octaves = new Map();
  for (const { up_to_us, packets } of histogram) {
    const octave = Math.ceil(Math.log2(Math.max(1, up_to_us)));
    const each = octaves.get(octave) ?? { up_to_us: 2 ** octave, packets: 0, recent: 0 };
    each.packets += packets;
    each.recent += before.length ? packets - (old.get(up_to_us) ?? 0) : 0;
    octaves.set(octave, each);
  }
  const keys = [...octaves.keys()].sort((a, b) => a - b);
  if (keys.length === 0) return [];
  const all = [];
  for (let octave = keys[0]; octave <= keys[keys.length - 1]; octave += 1) {
    all.push(octaves.get(octave) ?? { up_to_us: 2 ** octave, packets: 0, recent: 0 });
  }
  return all;
}

/** Ticks of a logarithmic axis of numbers. @param {{packets: number}[]} buckets @returns {[string, number][]} */
function decades(buckets) {
  const most = Math.max(1, ...buckets.map((each) => each.packets));
  const ticks = [1, 10, 100, 1000, 1e4, 1e5, 1e6, 1e7, 1e8];
  return ticks.filter((n, i) => i === 0 || ticks[i - 1] < most).map((n) => [n >= 1e6 ? `${n / 1e6}M` : n >= 1000 ? `${n / 1000}k` : String(n), Math.log10(1 + n)]);
}

/** @param {{shown: any}} props */
function Sending({ shown }) {
  const slow = shown.slow_clients_now;
  return html`<section class="card" aria-label="Sending"><h2>Sending</h2>
    <${LatencyBar} parts=${[["scheduler", shown.playheads[0]?.lateness_us.p50], ["hand-over", shown.playheads[0]?.handover_us.p50], ["server", shown.send_latency_us.p50]]} />
    <dl class="facts">${[["send p50", micros(shown.send_latency_us.p50)], ["send p99", micros(shown.send_latency_us.p99)], ["dropped", number(shown.dropped_packets)], ["slow clients", number(shown.slow_clients)], ["closed as slow", number(shown.slow_clients_closed)]].map(([label, value]) => html`<div><dt>${label}</dt><dd>${value}</dd></div>`)}</dl>
    ${slow.length > 0 && html`<table><caption>Behind now</caption><thead><tr><th scope="col">Client</th><th scope="col">Packets wait</th><th scope="col">Dropped</th></tr></thead><tbody>${slow.map((/** @type {any} */ each) => html`<tr><th scope="row">${each.client_id}</th><td>${number(each.queued_packets)}</td><td>${number(each.dropped_packets)}</td></tr>`)}</tbody></table>`}
  </section>`;
}

/** Median time of a packet's way, in parts. @param {{parts: [string, number | null][]}} props */
function LatencyBar({ parts }) {
  const known = parts.filter(([, us]) => us !== null && us !== undefined);
  const total = known.reduce((sum, [, us]) => sum + Number(us), 0);
  if (total === 0) return null;
  let x = 0;
  const text = known.map(([name, us]) => `${name} ${micros(us)}`).join(", ");
  return html`<figure class="chart"><svg viewBox="0 0 320 22" role="img" aria-label=${`Median way of a packet: ${text}`}>
    ${known.map(([, us], i) => {
      const width = (Number(us) / total) * 320;
      x += width;
      return html`<rect class="part s${i}" x=${x - width} width=${Math.max(1, width - 1)} height="22" />`;
    })}</svg><figcaption>${known.map(([name, us], i) => html`<span class="key s${i}">${name} ${micros(us)}</span>`)}</figcaption></figure>`;
}

/** @param {{server: any}} props */
function Server({ server }) {
  const { clock } = server;
  const facts = [
    ["clock", clock.source], ["wake margin", micros(clock.wake_margin_us)],
    ["spin", clock.spin_share === undefined ? "–" : `${number(clock.spin_share * 100, 1)} % of ${number(clock.spin_share_allowed * 100, 0)} %`],
    ["collection p99", micros(server.gc_pauses_us.p99)], ["longest collection", micros(server.gc_pauses_us.max)], ["collections in ticks", number(server.gc_pauses_in_ticks)],
  ];
  return html`<section class="card" aria-label="Server"><h2>Server</h2>
    <dl class="facts">${facts.map(([label, value]) => html`<div><dt>${label}</dt><dd>${value}</dd></div>`)}</dl>
    <div class="scroll" tabindex="0" role="region" aria-label="Tuning of the system"><table><thead><tr><th scope="col">Tuning</th><th scope="col">State</th><th scope="col">Detail</th></tr></thead><tbody>
      ${server.system.map((/** @type {any} */ each) => html`<tr><th scope="row">${each.name}</th><td>${each.state}</td><td>${each.detail}</td></tr>`)}</tbody></table></div>
  </section>`;
}
