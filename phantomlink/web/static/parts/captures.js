/** Captures: files of what sessions have sent; begun, stopped and had from here. */

import { html, signal } from "../vendor/preact.js";
import { BASE, api, apiIfThere, token } from "../api.js";
import { bytes, clock, number } from "../core/format.js";
import { attempt, notify } from "./notices.js";
import { Empty } from "./states.js";

/** null where this server makes none, undefined while that is not known. */
export const captures = signal(/** @type {any[] | null | undefined} */ (undefined));

/** Ask which there are. */
export async function loadCaptures() {
  captures.value = (await apiIfThere("api/captures"))?.captures ?? null;
  void follow();
}

/** @param {string} id @param {string} action @param {string} method */
function change(id, action, method) {
  return attempt(async () => {
    await api(`api/captures/${encodeURIComponent(id)}${action}`, { method });
    await loadCaptures();
  });
}

const FOLLOW_MS = 1000;
let isFollowing = false;

/** While a capture runs, ask how it does. */
async function follow() {
  if (isFollowing) return;
  isFollowing = true;
  while (captures.value?.some((each) => each.state === "running")) {
    await new Promise((resolve) => setTimeout(resolve, FOLLOW_MS));
    if (document.visibilityState === "visible") await attempt(loadCaptures);
  }
  isFollowing = false;
}

/** Begin to record a session, or end it. @param {{code: string, isOff: boolean}} props */
export function CaptureButton({ code, isOff }) {
  const all = captures.value;
  if (!all) return null;
  const running = all.find((each) => each.session === code && each.state === "running");
  const begin = () => attempt(async () => {
    await api("api/captures", { method: "POST", body: { session: code } });
    await loadCaptures();
  });
  const end = async () => {
    await change(running.id, "/stop", "POST");
    notify(`Capture ${running.id} is kept`, { action: { label: "Datasets", run: () => { location.href = new URL("datasets", BASE).href; } } });
  };
  return running
    ? html`<button class="recording" disabled=${isOff} onClick=${() => void end()}><span class="light on" aria-hidden="true"></span>Stop recording <span class="small" data-test="recording">${clock(running.seconds, 0)} · ${bytes(running.bytes)}</span></button>`
    : html`<button disabled=${isOff} onClick=${() => void begin()} title="Keep what is sent from now on as a file"><span class="light" aria-hidden="true"></span>Record</button>`;
}

export function CaptureTable() {
  const all = captures.value;
  if (all === undefined) return null;
  if (all === null) return html`<${Empty} title="This server records no captures yet">A capture is a file of what a session has sent.</${Empty}>`;
  if (all.length === 0) return html`<${Empty} title="No captures">Record what a session sends from its own page.</${Empty}>`;
  return html`<div class="scroll" tabindex="0" role="region" aria-label="List of captures"><table>
    <thead><tr><th scope="col">Capture</th><th scope="col">State</th><th scope="col">Packets</th><th scope="col">Length</th><th scope="col">Size</th><th scope="col"><span class="sr">What to do</span></th></tr></thead>
    <tbody>${all.map((each) => html`<tr key=${each.id}>
      <th scope="row">${each.title || each.id}<br /><span class="dim small">${each.session || "private"}, ${each.dataset}</span></th>
      <td>${each.state === "running" && html`<span class="light on" aria-hidden="true"></span>`}${each.state}</td><td>${number(each.packets)}</td><td>${clock(each.seconds, 0)}</td><td>${bytes(each.bytes)}</td>
      <td class="acts">${each.state === "running"
        ? html`<button onClick=${() => void change(each.id, "/stop", "POST")} aria-label=${`Stop ${each.id}`}>Stop</button>`
        : html`<button onClick=${() => void download(each)} aria-label=${`Download ${each.id}`}>Download</button> <button class="danger" onClick=${() => void change(each.id, "", "DELETE")} aria-label=${`Delete ${each.id}`}>Delete</button>`}</td>
    </tr>`)}</tbody></table></div>`;
}

/** A link cannot show a token; it has a ticket in its place. @param {any} capture */
function download(capture) {
  const path = `/api/captures/${encodeURIComponent(capture.id)}/file?format=${capture.formats[0]}`;
  return attempt(async () => {
    const url = token.value ? (await api("api/tickets", { method: "POST", body: { path } })).url : path;
    location.href = new URL(url.slice(1), BASE).href;
  });
}
