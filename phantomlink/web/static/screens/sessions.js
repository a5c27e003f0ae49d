/** All sessions: what each is doing, and the making of new ones. */

import { effect, html, render, signal } from "../vendor/preact.js";
import { BASE, api, apiIfThere, needsToken } from "../api.js";
import { clock, micros, number, plural } from "../core/format.js";
import { perturbationName, perturbationSchema, presetNames } from "../core/perturbation-form.js";
import { attempt, copy, notify } from "../parts/notices.js";
import { Shell } from "../parts/shell.js";
import { Empty, StateBadge, Trouble, connectionState, sessionState } from "../parts/states.js";
import { SessionsModel } from "../sessions-model.js";

const UNDO_MS = 5000;
const datasets = signal(/** @type {any} */ (null));
const presets = signal(/** @type {string[]} */ ([]));
/** Sessions that are to be deleted unless that is undone. */
const leaving = signal(/** @type {ReadonlySet<string>} */ (new Set()));

/** @param {HTMLElement} root */
export function showSessions(root) {
  document.title = "Sessions · PhantomLink";
  const model = new SessionsModel();
  render(html`<${SessionsScreen} model=${model} />`, root);
  model.start();
  let asked = false;
  effect(() => {
    if (model.sessions.value === null || asked || needsToken.value) return;
    asked = true;
    void attempt(async () => {
      datasets.value = await apiIfThere("api/datasets");
      presets.value = presetNames(perturbationSchema(await api("openapi.json")) ?? {});
    });
  });
}

/** @param {{model: SessionsModel}} props */
function SessionsScreen({ model }) {
  const sessions = model.sessions.value;
  const shown = Object.entries(sessions ?? {}).filter(([code]) => !leaving.value.has(code));
  const status = connectionState(model.status.value, (model.retryAt.value - model.clockMs.value) / 1000);
  return html`<${Shell} current="">
    <div class="row headline"><h1>Sessions</h1>
      <span class="dim">${sessions === null ? "" : plural(shown.length, "session")}</span>
      ${model.totals.value && html`<span class="dim">${plural(model.totals.value.listeners ?? 0, "listener")}, ${plural(model.totals.value.viewers ?? 0, "view")}</span>`}
    </div>
    <${Trouble} shown=${status} onRetry=${model.status.value.state === "waiting" ? () => model.connection?.retryNow() : null} />
    <div class="grid sessions">
      <section class="card wide${sessions !== null && status.name !== "open" ? " stale" : ""}" aria-label="Sessions">
        ${sessions === null ? html`<p class="dim">${status.name === "open" || status.name === "connecting" ? "Asking for the sessions …" : "The sessions are not known."}</p>`
          : shown.length === 0
          ? html`<${Empty} title="No sessions">A session is one playback of a recording, with its own position, speed and faults. Create one, or connect a client to <code>/stream/any-name</code>.</${Empty}>`
          : html`<${Table} shown=${shown} />`}
      </section>
      <${CreateForm} />
    </div>
  </${Shell}>`;
}

/** @param {{shown: [string, any][]}} props */
function Table({ shown }) {
  return html`<div class="scroll" tabindex="0" role="region" aria-label="List of sessions"><table class="sessions-table stacked" role="table">
    <thead role="rowgroup"><tr role="row"><th scope="col" role="columnheader">Session</th><th scope="col" role="columnheader">State</th><th scope="col" role="columnheader">Position</th><th scope="col" role="columnheader">Rate</th><th scope="col" role="columnheader">Listeners</th><th scope="col" role="columnheader">Perturbation</th><th scope="col" role="columnheader">Lateness p99</th><th scope="col" role="columnheader">Lost</th><th scope="col" role="columnheader"><span class="sr">What to do</span></th></tr></thead>
    <tbody role="rowgroup">${shown.map(([code, session]) => html`<${Row} key=${code} code=${code} session=${session} />`)}</tbody>
  </table></div>`;
}

/** @param {{code: string, session: any}} props */
function Row({ code, session }) {
  const href = new URL(`s/${encodeURIComponent(code)}`, BASE).href;
  const bin = session.bin_size_ms / 1000;
  const remove = () => {
    leaving.value = new Set([...leaving.value, code]);
    const forget = () => { leaving.value = new Set([...leaving.value].filter((each) => each !== code)); };
    const timer = setTimeout(() => void attempt(async () => {
      try {
        await api(`api/sessions/${encodeURIComponent(code)}`, { method: "DELETE" });
      } finally {
        forget();
      }
    }), UNDO_MS);
    notify(`Session ${code} will be deleted`, { ms: UNDO_MS, action: { label: "Undo", run: () => { clearTimeout(timer); forget(); } } });
  };
  // The roles are said again: a phone shows rows as cards, which would take them away.
  return html`<tr role="row">
    <th scope="row" role="rowheader"><a href=${href}>${code}</a>${session.dataset ? html`<br /><span class="dim small">${session.dataset}</span>` : null}</th>
    <td role="cell" data-label="State"><${StateBadge} state=${sessionState(session)} /></td>
    <td role="cell" data-label="Position"><progress max=${session.total_packets} value=${session.current_packet} aria-label=${`Position of ${code}`}></progress><br /><span class="small dim">${clock(session.current_packet * bin)} of ${clock(session.total_packets * bin)}</span></td>
    <td role="cell" data-label="Rate">${number(session.frequency_hz, 2)} /s${session.speed === 1 ? "" : html`<br /><span class="small dim">${number(session.speed, 2)}×</span>`}</td>
    <td role="cell" data-label="Listeners">${number(session.active_connections)}</td>
    <td role="cell" data-label="Perturbation">${perturbationName(session.perturbation)}</td>
    <td role="cell" data-label="Lateness p99">${micros(session.lateness_p99_us)}</td>
    <td role="cell" data-label="Lost">${number(session.dropped_packets)}</td>
    <td role="cell" class="acts"><button onClick=${() => void copy(href, "Link")} aria-label=${`Copy link of ${code}`}>Copy link</button> <button class="danger" onClick=${remove} aria-label=${`Delete ${code}`}>Delete</button></td>
  </tr>`;
}

function CreateForm() {
  const submit = (/** @type {any} */ event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    /** @type {any} */
    const body = {};
    const text = (/** @type {string} */ name) => String(form.get(name) ?? "").trim();
    if (text("code")) body.custom_code = text("code");
    if (text("dataset")) body.dataset = text("dataset");
    if (text("bin")) body.bin_size_ms = Number(text("bin"));
    if (text("speed")) body.speed = Number(text("speed"));
    if (text("perturbation")) body.perturbation = text("perturbation");
    if (text("seed")) body.seed = Number(text("seed"));
    if (form.get("private")) body.private = true;
    void attempt(async () => {
      const made = await api("api/sessions/create", { method: "POST", body });
      location.href = new URL(`s/${encodeURIComponent(made.session_code)}`, BASE).href;
    });
  };
  const names = (datasets.value?.datasets ?? []).map((/** @type {any} */ card) => card.phantomlink?.name ?? card.identifier ?? card.name);
  return html`<section class="card create" aria-labelledby="create-title"><h2 id="create-title">New session</h2>
    <form onSubmit=${submit} class="form">
      <label>Code <input name="code" maxlength="64" pattern="[A-Za-z0-9_\\-]+" placeholder="made up" autocomplete="off" /></label>
      <label>Dataset <select name="dataset"><option value="">${datasets.value?.default ?? "what the server plays"}</option>${names.filter((/** @type {string} */ name) => name !== datasets.value?.default).map((/** @type {string} */ name) => html`<option>${name}</option>`)}</select></label>
      <label>Bin width, ms <input name="bin" type="number" step="any" min="0.1" placeholder="25" /></label>
      <label>Speed <input name="speed" type="number" step="any" min="0.1" max="100" placeholder="1" /></label>
      <label>Perturbation <select name="perturbation"><option value="">the server's</option>${presets.value.map((name) => html`<option value=${name}>${name.replaceAll("_", " ")}</option>`)}</select></label>
      <label>Seed <input name="seed" type="number" min="0" step="1" placeholder="0" /></label>
      <label class="check"><input name="private" type="checkbox" /> private: only who knows the code sees it</label>
      <button class="primary">Create and open</button>
    </form></section>`;
}
