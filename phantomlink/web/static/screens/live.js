/** One session, live. */

import { effect, html, render, signal } from "../vendor/preact.js";
import { api, apiIfThere } from "../api.js";
import { plural } from "../core/format.js";
import { loadCaptures } from "../parts/captures.js";
import { CursorPanel } from "../parts/cursor-panel.js";
import { Connect } from "../parts/connect.js";
import { Figures } from "../parts/figures.js";
import { KeysHelp, listenToKeys } from "../parts/keys.js";
import { PerturbationPanel, loadSchema } from "../parts/perturbation-panel.js";
import { RasterPanel } from "../parts/raster-panel.js";
import { Scrubber } from "../parts/scrubber.js";
import { Shell, reducesMotion, theme } from "../parts/shell.js";
import { StateBadge, Trouble, connectionState, sessionState } from "../parts/states.js";
import { Transport } from "../parts/transport.js";
import { UnitPanel, followUnit } from "../parts/unit-panel.js";
import { attempt } from "../parts/notices.js";
import { LiveModel } from "../live-model.js";
import { DecoderList } from "../parts/decoder-list.js";

const overview = signal(/** @type {any} */ (null));

/** @param {string} code @param {HTMLElement} root */
export function showLive(code, root) {
  document.title = `${code} · PhantomLink`;
  const model = new LiveModel(code);
  // For tests and for whoever looks: what the page knows. It holds nothing that the page does not.
  Object.assign(window, { phantomlink: model });
  // The canvases belong to the worker for good: they are made once, whatever the page does.
  const raster = canvas("raster-canvas", "Spikes of each unit over time; the same as text below");
  const cursor = canvas("cursor-canvas", "Cursor, targets and barriers; the same as text below");
  const hold = (/** @type {HTMLCanvasElement} */ element) => (/** @type {HTMLElement | null} */ box) => box?.append(element);
  const [holdRaster, holdCursor] = [hold(raster), hold(cursor)];
  // First of all: the worker loads and connects while the page is drawn.
  model.start(raster, cursor, theme.value);
  render(html`<${LiveScreen} model=${model} holdRaster=${holdRaster} holdCursor=${holdCursor} />`, root);
  follow(model, "raster", raster);
  follow(model, "cursor", cursor);
  effect(() => model.post({ kind: "theme", theme: theme.value }));
  if (reducesMotion.value) model.set({ sweep: true });
  pointAt(model, raster);
  listenToKeys(model);
  followUnit(model);
  void loadSchema(model);
  void attempt(loadCaptures);
  let asked = false;
  effect(() => {
    const metadata = model.metadata.value;
    if (!metadata || asked) return;
    asked = true;
    void attempt(async () => {
      overview.value = await apiIfThere(`api/datasets/${encodeURIComponent(metadata.dataset)}/overview?columns=1000`);
    });
  });
}

/** @param {{model: LiveModel, holdRaster: any, holdCursor: any}} props */
function LiveScreen({ model, holdRaster, holdCursor }) {
  const wasThere = model.metadata.value !== null;
  const { state, code } = model.status.value;
  const isRefused = state === "ended" && !(wasThere && code === 1000);
  return html`<${Shell} current="live" help=${html`<${KeysHelp} />`}>
    <div class="live">
      <${Headline} model=${model} />
      <${Connection} model=${model} />
      <div class=${`grid${isRefused && !wasThere ? " hidden" : ""}`}>
        <${Transport} model=${model} />
        <${RasterPanel} model=${model} canvas=${html`<div class="hold" ref=${holdRaster}></div>`} />
        <div class="side"><${CursorPanel} model=${model} canvas=${html`<div class="hold" ref=${holdCursor}></div>`} /><${Figures} model=${model} /></div>
        <${Scrubber} model=${model} overview=${overview.value} />
        <div class="stack"><${PerturbationPanel} model=${model} /><${DecoderList} model=${model} /></div>
        <div class="stack"><${UnitPanel} model=${model} /></div>
        <div class="stack"><${Connect} model=${model} /></div>
      </div>
    </div>
  </${Shell}>`;
}

/** @param {{model: LiveModel}} props */
function Headline({ model }) {
  const state = model.state.value;
  const isOpen = model.status.value.state === "open";
  const shown = state && isOpen ? sessionState(state) : null;
  return html`<div class="row headline">
    <h1>${model.code}</h1>
    <span class="live-dot ${model.isLive.value ? "on" : "off"}" data-test="live"><span class="shape" aria-hidden="true"></span>${model.isLive.value ? "live" : "not live"}</span>
    ${shown && html`<span data-test="state"><${StateBadge} state=${shown} withDetail=${true} /></span>`}
    ${model.isPlayer.value && isOpen && html`<span class="dim">plays because of you</span>`}
    <span class="dim">${model.metadata.value?.dataset ?? ""}${model.metadata.value?.is_synthetic ? ", synthetic" : ""}</span>
    <${Lacks} missing=${model.metadata.value?.missing ?? []} />
    ${state?.viewers > 1 && html`<span class="dim">${state.viewers} views</span>`}
  </div>`;
}

/** What the recording lacks, by name. @param {{missing: string[]}} props */
function Lacks({ missing }) {
  if (missing.length === 0) return null;
  return html`<details class="lacks"><summary>lacks ${plural(missing.length, "thing")}</summary><ul class="card">${missing.map((line) => html`<li>${line}</li>`)}</ul></details>`;
}

/** Why there is no connection, and what to do. @param {{model: LiveModel}} props */
function Connection({ model }) {
  const status = model.status.value;
  const left = (model.retryAt.value - model.clockMs.value) / 1000;
  const shown = connectionState(status, left);
  const create = () => attempt(async () => {
    await api("api/sessions/create", { method: "POST", body: { custom_code: model.code } });
    location.reload();
  });
  return html`<${Trouble} shown=${shown} onRetry=${status.state === "waiting" ? () => model.post({ kind: "retry" }) : null}>
    ${["unknown", "gone"].includes(shown.name) && html`<button class="primary" onClick=${() => void create()}>Create ${model.code}</button>`}
    ${status.state === "ended" && html`<a href="../">All sessions</a>`}
  </${Trouble}>`;
}

/** @param {string} id @param {string} label */
function canvas(id, label) {
  const element = document.createElement("canvas");
  element.id = id;
  element.setAttribute("role", "img");
  element.setAttribute("aria-label", label);
  return element;
}

/** Let a canvas have as many pixels as it is large. @param {LiveModel} model @param {string} which @param {HTMLCanvasElement} element */
function follow(model, which, element) {
  const tell = () => {
    const scale = devicePixelRatio;
    const [width, height] = [Math.round(element.clientWidth * scale), Math.round(element.clientHeight * scale)];
    if (width > 0 && height > 0) model.post({ kind: "resize", which, width, height, scale });
  };
  new ResizeObserver(tell).observe(element);
}

/** @param {LiveModel} model @param {HTMLCanvasElement} element */
function pointAt(model, element) {
  const tell = (/** @type {PointerEvent} */ event) =>
    model.post({ kind: "hover", x: event.offsetX * devicePixelRatio, y: event.offsetY * devicePixelRatio });
  element.addEventListener("pointermove", tell);
  element.addEventListener("pointerdown", tell);
  element.addEventListener("pointerleave", () => model.post({ kind: "hover", x: -1, y: -1 }));
  element.addEventListener("click", () => {
    const unit = model.hover.value?.units?.[0];
    if (unit) model.set({ unit: unit.row });
  });
}
