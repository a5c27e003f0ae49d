/** The live screen's facts as signals, and what it can ask of the engine and of the server. */

import { computed, signal } from "./vendor/preact.js";
import { BASE, api, apiIfThere, needsToken, token } from "./api.js";
import { changedAddress, readAddress } from "./core/url-state.js";
import { loadCaptures } from "./parts/captures.js";
import { attempt, notify } from "./parts/notices.js";
import { LiveEngine } from "./live-engine.js";

/** A drag asks at most five times a second: a request costs the server 3 ms. */
const SEEK_MS = 200;

export class LiveModel {
  /** @param {string} code of the session */
  constructor(code) {
    const address = readAddress(location.href);
    this.code = code;
    this.at = address.at;
    this.filter = address.filter;
    this.options = signal({
      window: address.window, sort: address.sort, search: address.search,
      page: 0, pageSize: 0, sweep: false, unit: -1, align: "move_onset_time",
    });
    this.status = signal(/** @type {any} */ ({ state: "connecting" }));
    this.retryAt = signal(0);
    this.metadata = signal(/** @type {any} */ (null));
    this.unitIds = signal(/** @type {number[]} */ ([]));
    this.columnSeconds = signal(0.025);
    this.state = signal(/** @type {any} */ (null));
    this.stats = signal(/** @type {any} */ (null));
    this.now = signal(/** @type {any} */ (null));
    this.hover = signal(/** @type {any} */ (null));
    this.shown = signal(/** @type {any} */ ({ units: [], nMatching: 0 }));
    this.rates = signal(/** @type {number[]} */ ([]));
    this.unit = signal(/** @type {any} */ (null));
    this.decoders = signal(/** @type {any[]} */ ([]));
    this.trials = signal(/** @type {any[]} */ ([]));
    this.isPlayer = signal(false);
    this.clockMs = signal(Date.now());
    this.schema = signal(/** @type {any} */ (null));
    /** Who waits for what the canvases show, by number. */
    this.reads = new Map();
    this.nReads = 0;
    /** Live only when it is: a message younger than 1 s, or 3 periods. */
    this.isLive = computed(() => {
      const [now, state] = [this.now.value, this.state.value];
      if (this.status.value.state !== "open" || !now || !state?.is_playing) return false;
      return now.silent_ms !== null && now.silent_ms < Math.max(1000, 3000 / state.rate_hz);
    });
    /** Of the session: while it plays columns tell it, else the last word of the server. */
    this.position = computed(() => {
      const state = this.state.value;
      if (!state?.is_playing) return state?.current_packet ?? null;
      return this.now.value?.newest_packet_id ?? state.current_packet;
    });
    // What changes seldom, of what is told five times a second: whoever shows it is not drawn anew.
    this.largest = computed(() => this.now.value?.largest ?? 4);
    this.isEmpty = computed(() => this.now.value?.newest_packet_id === null);
    setInterval(() => {
      this.clockMs.value = Date.now();
    }, 500);
  }

  /**
   * Give the engine its canvases, and begin.
   * @param {HTMLCanvasElement} raster @param {HTMLCanvasElement} cursor @param {string} theme
   */
  start(raster, cursor, theme) {
    const filter = Object.keys(this.filter).length ? this.filter : {};
    const init = {
      kind: "init", base: BASE, code: this.code, token: token.value, theme,
      query: filter, options: this.options.value,
    };
    if (typeof Worker === "function" && "transferControlToOffscreen" in raster && "requestAnimationFrame" in self) {
      const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
      worker.onmessage = (event) => this.#hear(event.data);
      this.post = (/** @type {any} */ message, /** @type {any[]} */ transfer = []) => worker.postMessage(message, transfer);
      const canvases = [raster.transferControlToOffscreen(), cursor.transferControlToOffscreen()];
      this.post({ ...init, raster: canvases[0], cursor: canvases[1] }, canvases);
    } else {
      const engine = new LiveEngine((message) => this.#hear(message));
      this.post = (/** @type {any} */ message) => engine.handle(message);
      this.post({ ...init, raster, cursor });
    }
    document.addEventListener("visibilitychange", () =>
      this.post({ kind: "visible", isVisible: document.visibilityState === "visible" }));
    addEventListener("pagehide", () => this.post({ kind: "close" }));
    if (this.at !== null) void this.#openAt(this.at);
  }

  /** @param {any} message @param {any[]} [_transfer] */
  post(message, _transfer) {
    throw new Error(`${message.kind} before the start`);
  }

  /** @param {Record<string, any>} changes of the options */
  set(changes) {
    this.options.value = { ...this.options.value, ...changes };
    this.post({ kind: "options", options: changes });
    const { window, sort, search } = this.options.value;
    history.replaceState(null, "", changedAddress(location.href, {
      window: window === 10 ? null : window, sort: sort === "id" ? null : sort, units: search,
    }));
  }

  /** What the canvases show. @returns {Promise<any>} */
  read() {
    const id = (this.nReads += 1);
    return new Promise((resolve) => {
      this.reads.set(id, resolve);
      this.post({ kind: "read", id });
    });
  }

  /** @param {any} message of the engine */
  #hear(message) {
    switch (message.kind) {
      case "status":
        this.status.value = message.status;
        if (message.status.state === "ended" && message.status.code === 401) needsToken.value = true;
        if (message.status.state === "waiting") this.retryAt.value = Date.now() + message.status.seconds * 1000;
        return;
      case "hello":
        if (this.metadata.value === null) void this.#loadTrials();
        this.metadata.value = message.metadata;
        this.unitIds.value = message.unitIds;
        this.columnSeconds.value = message.columnSeconds;
        return;
      case "state":
        if (message.cause === "capture") void attempt(loadCaptures);
        if (message.cause === "perturbation") notify("The perturbation has changed");
        this.state.value = message.state;
        return;
      case "stats": this.stats.value = message.stats; return;
      case "now": this.now.value = message.now; return;
      case "hover": this.hover.value = message.hover; return;
      case "shown": this.shown.value = message; return;
      case "units": this.rates.value = message.rates; return;
      case "unit": this.unit.value = message.unit; return;
      case "decoders": this.decoders.value = message.decoders; return;
      case "player": this.isPlayer.value = message.isPlaying; return;
      case "no_loop": notify("These columns are not in the last minute of this view"); return;
      case "read":
        this.reads.get(message.id)?.(message);
        this.reads.delete(message.id);
        return;
      default: throw new Error(`no message ${message.kind}`);
    }
  }

  async #loadTrials() {
    const answer = await attempt(() => api(`api/trials?session=${encodeURIComponent(this.code)}`).catch(
      // A server of one recording does not ask which.
      (error) => (error.status === 422 ? api("api/trials") : Promise.reject(error)),
    ));
    if (!answer) return;
    this.trials.value = answer.trials;
    this.post({ kind: "trials", trials: answer.trials });
  }

  /** An address with a place opens paused there, unless others listen. @param {number} packet */
  async #openAt(packet) {
    const session = await attempt(() => apiIfThere(`api/sessions/${this.code}`));
    if (!session) return;
    if (session.active_connections > 0) {
      notify(`${session.active_connections} listen to this session: it stays where it is.`, {
        ms: 30000,
        action: { label: "New session at this place", run: () => void this.copySession(packet) },
      });
      return;
    }
    await this.control("pause");
    await this.control("seek", { packet_id: packet });
  }

  /** A session of the same dataset, bin width, perturbation and seed. @param {number | null} at */
  async copySession(at) {
    const [session, metadata] = [await attempt(() => api(`api/sessions/${this.code}`)), this.metadata.value];
    if (!session) return;
    /** @type {any} */
    const body = { bin_size_ms: session.bin_size_ms, seed: session.seed };
    if (session.perturbation) body.perturbation = session.perturbation;
    if (session.dataset && metadata) body.dataset = session.dataset;
    const made = await attempt(() => api("api/sessions/create", { method: "POST", body }));
    if (made) location.href = new URL(`s/${made.session_code}${at === null ? "" : `?at=${at}`}`, BASE).href;
  }

  /**
   * Steer the session; says so when others listen to it.
   * @param {string} action @param {any} [body]
   */
  async control(action, body) {
    const path = `api/control/${encodeURIComponent(this.code)}/${action}`;
    const before = this.position.value;
    const done = await attempt(() => api(path, { method: "POST", body }));
    const n = (this.state.value?.listeners ?? 0) - (this.isPlayer.value ? 1 : 0);
    if (done && n > 0 && action !== "seek") notify(`Done for ${n === 1 ? "1 listener" : `${n} listeners`}`);
    if (done && n > 0 && action === "seek" && before !== null && !this.isSeeking) {
      notify(`Sought for ${n === 1 ? "1 listener" : `${n} listeners`}`, {
        action: { label: "Go back", run: () => void this.control("seek", { packet_id: before }) },
      });
    }
    return done;
  }

  /** Seek while dragging: the last place counts, five a second at most. @param {number} packet */
  seekSoon(packet) {
    this.soon = packet;
    if (this.isSeeking) return;
    this.isSeeking = true;
    void (async () => {
      while (this.soon !== null) {
        const wanted = this.soon;
        this.soon = null;
        await this.control("seek", { packet_id: wanted });
        await new Promise((resolve) => setTimeout(resolve, SEEK_MS));
      }
      this.isSeeking = false;
    })();
  }

  /** Go to the trial before or after this one. @param {number} step */
  seekTrial(step) {
    const trials = this.trials.value;
    if (trials.length === 0) return;
    const bin = (this.metadata.value?.bin_size_ms ?? 25) / 1000;
    const t0 = this.metadata.value?.t0_seconds ?? 0;
    const seconds = t0 + (this.position.value ?? 0) * bin;
    const starts = trials.map((trial) => trial.start_time).sort((a, b) => a - b);
    const place = starts.findLastIndex((start) => start <= seconds + bin);
    const wanted = starts[Math.min(starts.length - 1, Math.max(0, place + step))];
    // The first bin that begins in the trial.
    void this.control("seek", { packet_id: Math.max(0, Math.ceil((wanted - t0) / bin - 1e-6)) });
  }
}
