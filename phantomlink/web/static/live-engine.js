/**
 * What watches one session and draws it, without a page: it owns the socket, the ring and the two
 * canvases. It runs in a worker, or on the main thread where a worker cannot have a canvas; it is
 * told what to do by messages and tells what there is to say by messages, the same in both.
 */

import { connectStream, connectView } from "./phantomlink-client.js";
import { ColumnRing } from "./core/ring.js";
import { trialMarks } from "./core/annotations.js";
import { TimeMachine } from "./core/time-machine.js";
import { eventBins, livePsth } from "./core/psth.js";
import { describeUnit, orderedUnits, summarizeUnits } from "./core/units.js";
import { Raster } from "./draw/raster.js";
import { CursorPlot } from "./draw/cursor.js";
import { FrameFigures } from "./core/frame-figures.js";

const HISTORY_SECONDS = 60;
const TELL_MS = 200;
const UNITS_MS = 2000;

export class LiveEngine {
  /** @param {(message: any) => void} tell */
  constructor(tell) {
    this.tell = tell;
    /** @type {ColumnRing | null} */
    this.ring = null;
    this.machine = new TimeMachine();
    this.figures = new FrameFigures();
    this.options = { window: 10, sort: /** @type {"id" | "rate" | "direction"} */ ("id"), search: "", page: 0, pageSize: 0, sweep: false, unit: -1, align: "move_onset_time" };
    this.hello = /** @type {any} */ (null);
    this.state = /** @type {any} */ (null);
    this.trials = new Map();
    /** Of the trials, what the raster marks. */
    this.marks = new Map();
    this.hover = /** @type {any} */ (null);
    this.units = /** @type {number[]} */ ([]);
    this.summary = /** @type {any} */ (null);
    this.isVisible = true;
    this.isDirty = true;
    this.lastFrameMs = 0;
    this.lastToldMs = 0;
    this.lastUnitsMs = 0;
    this.arrivedMs = 0;
    this.arrivedColumns = 1;
    /** By kind, what is told with the next figures: the page is laid out once for all of them. */
    this.untold = new Map();
    /** @type {any} */
    this.player = null;
  }

  /** @param {any} message */
  handle(message) {
    const handler = this.#handlers[message.kind];
    if (handler === undefined) throw new Error(`no message ${message.kind}`);
    handler(message);
    if (message.kind !== "read") this.isDirty = true;
  }

  /** @type {Record<string, (message: any) => void>} */
  #handlers = {
    init: (message) => this.#init(message),
    options: ({ options }) => {
      Object.assign(this.options, options);
      if ("unit" in options) this.#describe();
      this.#reorder();
    },
    theme: ({ theme }) => {
      this.raster.theme = this.cursor.theme = theme;
    },
    resize: ({ which, width, height, scale }) => {
      const plot = which === "raster" ? this.raster : this.cursor;
      plot.scale = scale;
      plot.canvas.width = width;
      plot.canvas.height = height;
    },
    trials: ({ trials }) => {
      this.trials = new Map(trials.map((/** @type {any} */ each) => [each.trial_id, each]));
      for (const { target_pos, barrier_pos } of trials) {
        this.cursor.include(target_pos ?? []);
        this.cursor.include(barrier_pos ?? []);
      }
      this.#mark();
    },
    hover: ({ x, y }) => this.#hover(x, y),
    visible: ({ isVisible }) => {
      this.isVisible = isVisible;
    },
    freeze: () => this.ring && this.machine.freeze(this.ring.end),
    live: () => this.machine.live(),
    move: ({ columns, seconds }) =>
      this.ring && this.machine.move(this.ring, columns ?? Math.round(seconds * this.#columnsHz())),
    trial: ({ step }) => this.#moveTrial(step),
    replay: ({ rate }) => {
      if (this.ring && !this.machine.isFrozen) this.machine.freeze(this.ring.end);
      this.machine.rate = rate;
    },
    loop: ({ seconds }) => this.#loop(seconds),
    loopPackets: ({ from, to }) => this.#loopPackets(from, to),
    play: ({ play }) => this.#play(play),
    retry: () => this.connection.retryNow(),
    read: ({ id }) => this.tell({ kind: "read", id, ...this.#read() }),
    close: () => {
      this.connection.close();
      this.player?.close();
      this.isClosed = true;
    },
  };

  /** @param {any} message */
  #init({ base, code, token, query, raster, cursor, theme, options }) {
    this.address = { base, code, token };
    this.raster = new Raster(raster);
    this.cursor = new CursorPlot(cursor);
    this.raster.theme = this.cursor.theme = theme;
    Object.assign(this.options, options);
    this.connection = connectView(base, code, {
      token, query, stays: true,
      onMessage: (/** @type {any} */ received) => this.#receive(received),
      onStatus: (/** @type {any} */ status) => this.tell({ kind: "status", status }),
    });
    this.#frame(0);
  }

  /** @param {any} message of the view */
  #receive(message) {
    this.isDirty = true;
    this.receivedMs = performance.now();
    switch (message.type) {
      case "hello": this.#greet(message); return;
      case "columns": this.#take(message); return;
      case "state": this.#changeState(message); return;
      case "stats": this.untold.set("stats", { kind: "stats", stats: message }); return;
      case "decoders": this.untold.set("decoders", { kind: "decoders", decoders: message.decoders }); return;
      default: // A newer server may say more.
    }
  }

  /** @param {any} hello */
  #greet(hello) {
    const ring = this.ring;
    const isSame =
      ring !== null && ring.nUnits === hello.unit_ids.length &&
      ring.binsPerColumn === hello.bins_per_column &&
      this.hello.metadata.dataset === hello.metadata.dataset;
    this.hello = hello;
    this.binSeconds = hello.metadata.bin_size_ms / 1000;
    this.#mark();
    if (isSame && ring.end > ring.start) {
      // What was missed while the connection was gone is not known; what is new in the history is.
      const last = ring.stamps[ring.slot(ring.end - 1)];
      ring.pushGap(1);
      for (const run of hello.history) if (run.timestamp > last) ring.push(run);
    } else {
      const columns = Math.ceil(HISTORY_SECONDS / (hello.bins_per_column * this.binSeconds));
      this.ring = new ColumnRing(hello.unit_ids.length, hello.bins_per_column, Math.max(1200, columns));
      for (const run of hello.history) this.ring.push(run);
    }
    this.#reorder();
    this.tell({ kind: "hello", metadata: hello.metadata, unitIds: hello.unit_ids, columnSeconds: this.binSeconds * hello.bins_per_column });
    this.#changeState({ cause: "arrival", state: hello.state, packet: null });
  }

  /** @param {any} message */
  #take(message) {
    if (this.ring === null) return;
    const now = performance.now();
    this.arrivedColumns = this.ring.push(message);
    this.arrivedMs = now;
    this.figures.arrived(message.timestamp);
  }

  /** @param {any} message */
  #changeState(message) {
    this.state = message.state;
    if (message.packet && this.ring !== null) this.ring.pushStanding(message.packet);
    this.tell({ kind: "state", cause: message.cause, state: message.state });
  }

  #columnsHz() {
    return this.state === null ? 0 : this.state.rate_hz / this.hello.bins_per_column;
  }

  /** @param {number} nowMs */
  #frame(nowMs) {
    if (this.isClosed) return;
    requestAnimationFrame((ms) => this.#frame(ms));
    const elapsed = Math.min(0.25, (nowMs - this.lastFrameMs) / 1000);
    this.lastFrameMs = nowMs;
    if (!this.isVisible || this.ring === null) return;
    const isMoving = this.machine.isFrozen
      ? this.machine.rate !== 0
      : this.state?.is_playing && !this.options.sweep;
    if (this.isDirty || isMoving) this.#draw(elapsed);
    if (nowMs - this.lastToldMs >= TELL_MS) this.#say(nowMs);
  }

  /** @param {number} elapsed s */
  #draw(elapsed) {
    const begin = performance.now();
    const before = this.end;
    this.end = this.machine.advance(this.ring, elapsed, this.#columnsHz());
    this.raster.draw(this.#shown(begin));
    // Between two messages the raster goes on, and the cursor stands.
    if (this.isDirty || this.end !== before) {
      this.cursor.draw({
        ring: this.ring, end: this.end, binSeconds: this.binSeconds, trials: this.trials,
      });
    }
    this.isDirty = false;
    this.figures.drew(begin, performance.now());
  }

  /** @param {number} nowMs */
  #shown(nowMs) {
    const columnSeconds = this.hello.bins_per_column * this.binSeconds;
    let ahead = 0;
    if (!this.machine.isFrozen && this.state?.is_playing && !this.options.sweep) {
      // Time goes on between two messages; without a next one it stands still again.
      const passed = ((nowMs - this.arrivedMs) / 1000) * this.#columnsHz();
      ahead = Math.min(passed, this.arrivedColumns + 0.5);
    } else if (this.machine.isFrozen) {
      ahead = this.machine.end - Math.floor(this.machine.end);
    }
    return {
      ring: this.ring, end: this.end, ahead,
      columns: Math.max(8, Math.round(this.options.window / columnSeconds)),
      units: this.units, unitIds: this.hello.unit_ids, binSeconds: this.binSeconds,
      sweep: this.options.sweep, hover: this.hover, loop: this.machine.loop, trials: this.marks,
    };
  }

  #mark() {
    if (this.hello === null) return;
    this.marks = trialMarks([...this.trials.values()], this.hello.metadata.t0_seconds ?? 0, this.binSeconds);
  }

  #reorder() {
    if (this.ring === null) return;
    if (this.summary === null || this.options.sort === "id") {
      this.summary = summarizeUnits(this.ring, this.binSeconds);
    }
    const all = orderedUnits(this.hello.unit_ids, this.options.sort, this.options.search, this.summary);
    const { pageSize, page } = this.options;
    this.units = pageSize > 0 ? all.slice(page * pageSize, (page + 1) * pageSize) : all;
    this.tell({ kind: "shown", units: this.units, nMatching: all.length });
  }

  /** @param {number} x @param {number} y px of the canvas; negative for nowhere */
  #hover(x, y) {
    this.hover = this.ring === null || x < 0 ? null : this.raster.at(this.#shown(performance.now()), x, y);
    if (this.hover === null) {
      this.tell({ kind: "hover", hover: null });
      return;
    }
    const { column, row } = this.hover;
    const slot = this.ring.slot(column);
    const places = this.units.slice(row * this.raster.perRow, (row + 1) * this.raster.perRow);
    const counts = this.ring.countsOf(column);
    this.tell({
      kind: "hover",
      hover: {
        units: places.map((unit) => ({ row: unit, id: this.hello.unit_ids[unit], count: counts[unit] })),
        packet_id: this.ring.packets[slot], trial_id: this.ring.trials[slot], flags: this.ring.flags[slot],
      },
    });
  }

  /** @param {number} step */
  #moveTrial(step) {
    const { ring, machine } = this;
    if (ring === null) return;
    if (!machine.isFrozen) machine.freeze(ring.end);
    let column = Math.floor(machine.end) - 1;
    const trial = ring.trials[ring.slot(column)];
    while (column > ring.start && column < ring.end - 1) {
      column += step;
      if (ring.trials[ring.slot(column)] !== trial) break;
    }
    machine.move(ring, column + 1 - machine.end);
  }

  /** @param {number} seconds up to what is shown; 0 ends it */
  #loop(seconds) {
    if (this.ring === null) return;
    if (seconds === 0) {
      this.machine.loop = null;
      return;
    }
    if (!this.machine.isFrozen) this.machine.freeze(this.ring.end);
    const to = Math.floor(this.machine.end);
    this.machine.loop = [Math.max(this.ring.start, to - Math.round(seconds * this.#columnsHz())), to];
    this.machine.rate = this.machine.rate || 1;
  }

  /** Loop over the columns of packets [from, to], as far as they are kept. @param {number} from @param {number} to */
  #loopPackets(from, to) {
    if (this.ring === null) return;
    const span = this.ring.findSpan(from, to);
    if (span === null) {
      this.tell({ kind: "no_loop" });
      return;
    }
    if (!this.machine.isFrozen) this.machine.freeze(this.ring.end);
    this.machine.loop = span;
    this.machine.end = span[0] + 1;
    this.machine.rate = this.machine.rate || 1;
  }

  /** Listen, so that the session plays; what comes is thrown away. @param {boolean} play */
  #play(play) {
    this.player?.close();
    this.player = null;
    if (play) {
      const { base, code, token } = this.address;
      this.player = connectStream(base, code, {
        token, stays: true,
        onMessage: () => {},
        onStatus: (/** @type {any} */ status) => {
          if (status.state === "ended") this.#play(false);
        },
      });
    }
    this.tell({ kind: "player", isPlaying: this.player !== null });
  }

  /** @param {number} nowMs */
  #say(nowMs) {
    this.lastToldMs = nowMs;
    for (const message of this.untold.values()) this.tell(message);
    this.untold.clear();
    const { ring, machine } = this;
    const column = ring.lastTold(Math.max(ring.start, (this.end ?? ring.end) - 1));
    const slot = ring.slot(column);
    const isEmpty = ring.end === ring.start;
    const newest = isEmpty ? null : ring.packets[ring.slot(ring.end - 1)];
    this.tell({
      kind: "now",
      now: {
        packet_id: isEmpty ? null : ring.packets[slot],
        newest_packet_id: newest,
        trial_id: isEmpty || ring.trials[slot] < 0 ? null : ring.trials[slot],
        kinematics: isEmpty ? null : [...ring.kinematics.subarray(slot * 4, slot * 4 + 4)],
        intention: isEmpty ? null : [...ring.intention.subarray(slot * 4, slot * 4 + 4)],
        is_frozen: machine.isFrozen, rate: machine.rate, has_loop: machine.loop !== null,
        behind_columns: ring.end - (this.end ?? ring.end), kept_columns: ring.end - ring.start,
        silent_ms: this.receivedMs === undefined ? null : performance.now() - this.receivedMs,
        largest: this.raster.maximum, decoded: this.cursor.last.decoded,
        figures: this.figures.read(),
      },
    });
    if (nowMs - this.lastUnitsMs >= UNITS_MS) {
      this.lastUnitsMs = nowMs;
      this.summary = summarizeUnits(ring, this.binSeconds);
      if (this.options.sort !== "id" && !machine.isFrozen) this.#reorder();
      this.tell({ kind: "units", rates: [...this.summary.rates], directions: [...this.summary.directions] });
      this.#describe();
    }
  }

  #describe() {
    const unit = this.options.unit;
    if (unit < 0 || this.ring === null) return;
    const { t0_seconds: t0 } = this.hello.metadata;
    const events = eventBins([...this.trials.values()], this.options.align, t0 ?? 0, this.binSeconds);
    const half = Math.round(0.5 / (this.ring.binsPerColumn * this.binSeconds));
    this.tell({
      kind: "unit",
      unit: {
        row: unit, id: this.hello.unit_ids[unit],
        ...describeUnit(this.ring, unit, this.binSeconds),
        psth: livePsth(this.ring, unit, events, this.binSeconds, Math.max(1, half)),
      },
    });
  }

  /** What is on the canvases, for the table behind them and for tests. */
  #read() {
    const { ring, raster, cursor } = this;
    if (ring === null) return { columns: [] };
    const slots = [];
    for (let column = raster.from; column < raster.to; column += 1) slots.push(ring.slot(column));
    return {
      isDrawn: !this.isDirty, frames: this.figures.frames(),
      packets: slots.map((slot) => ring.packets[slot]),
      bins: slots.map((slot) => ring.bins[slot]),
      flags: slots.map((slot) => ring.flags[slot]),
      loops: slots.map((slot) => ring.loops[slot]),
      trials: slots.map((slot) => ring.trials[slot]),
      decoded: Object.fromEntries([...ring.decoded].map(([name, said]) => [name, slots.map((slot) => [said[slot * 2], said[slot * 2 + 1]])])),
      positions: slots.map((slot) => [ring.kinematics[slot * 4 + 2], ring.kinematics[slot * 4 + 3]]),
      width: raster.width, rows: raster.rows, perRow: raster.perRow, maximum: raster.maximum,
      units: [...raster.units], plot: raster.plot, cursor: { ...cursor.last, bounds: cursor.bounds },
    };
  }
}
