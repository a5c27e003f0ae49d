/**
 * What is marked over the columns of a raster: spans and points, kept for the columns that are
 * shown, so that a frame looks at a few of them and not at each column.
 */

import { clock } from "./format.js";
import { FLAG } from "./ring.js";

/** Columns of the trial table, in the order of a trial, and how the legend calls them. */
export const EVENTS = /** @type {const} */ ([
  ["target_on_time", "target on"], ["go_cue_time", "go cue"], ["move_onset_time", "move onset"],
]);

const SPANS = /** @type {const} */ ([
  [FLAG.GAP, "gap"], [FLAG.PERTURBED, "perturbed"], [FLAG.UNOBSERVED, "unobserved"], [FLAG.LOST, "lost"],
]);

/**
 * @typedef {{from: number, to: number}} Span columns [from, to)
 * @typedef {Span & {trial: number, reach: number | null, labels: string[]}} TrialSpan `labels`: the longest first
 */

export class Annotations {
  constructor() {
    /** @type {Record<string, Span[]>} */
    this.spans = { gap: [], perturbed: [], unobserved: [], lost: [] };
    /** @type {TrialSpan[]} */
    this.trials = [];
    /** Columns with which a seek, a loop or a jump begins. @type {number[]} */
    this.breaks = [];
    /** Columns in which a trial begins or ends. @type {number[]} */
    this.edges = [];
    /** @type {{column: number, event: number}[]} */
    this.events = [];
    /** Columns in which a whole second of the recording begins. @type {{column: number, second: number, label: string}[]} */
    this.seconds = [];
  }

  /**
   * Add columns behind the last ones.
   * @param {import("./ring.js").ColumnRing} ring
   * @param {number} from @param {number} to
   * @param {ReadonlyMap<number, {reach: number | null, bins: (number | null)[]}>} trials see `trialMarks`
   * @param {number} binSeconds
   */
  extend(ring, from, to, trials, binSeconds) {
    for (let column = from; column < to; column += 1) {
      const slot = ring.slot(column);
      const flags = ring.flags[slot];
      for (const [flag, name] of SPANS) {
        if (flags & flag) grow(this.spans[name], column, () => ({ from: column, to: column + 1 }));
      }
      if (flags & FLAG.BREAK && column > ring.start) this.breaks.push(column);
      const second = Math.ceil(ring.packets[slot] * binSeconds - 1e-9);
      if (!(flags & FLAG.GAP) && second < (ring.packets[slot] + ring.bins[slot]) * binSeconds - 1e-9) {
        this.seconds.push({ column, second, label: clock(second, 0) });
      }
      const trial = ring.trials[slot];
      const last = this.trials[this.trials.length - 1];
      const goesOn = last?.to === column && last.trial === trial && !(flags & FLAG.BREAK);
      if (!(flags & FLAG.GAP) && column > ring.start && ring.trials[ring.slot(column - 1)] !== trial) {
        this.edges.push(column);
      }
      if (trial < 0) continue;
      const marks = trials.get(trial);
      if (goesOn) last.to = column + 1;
      else {
        const reach = marks?.reach ?? null;
        const short = `trial ${trial}`;
        const labels = [...(reach === null ? [] : [`${short} · reach ${reach}`]), short, String(trial)];
        this.trials.push({ from: column, to: column + 1, trial, reach, labels });
      }
      marks?.bins.forEach((bin, event) => {
        const offset = bin === null ? -1 : bin - ring.packets[slot];
        if (offset >= 0 && offset < ring.bins[slot]) this.events.push({ column, event });
      });
    }
  }

  /** Forget what lies before a column. @param {number} start */
  trim(start) {
    for (const list of [...Object.values(this.spans), this.trials]) {
      while (list.length > 0 && list[0].to <= start) list.shift();
    }
    for (const list of [this.breaks, this.edges]) {
      while (list.length > 0 && list[0] < start) list.shift();
    }
    for (const list of [this.events, this.seconds]) {
      while (list.length > 0 && list[0].column < start) list.shift();
    }
  }
}

/** @param {Span[]} list @param {number} column @param {() => Span} make */
function grow(list, column, make) {
  const last = list[list.length - 1];
  if (last?.to === column) last.to = column + 1;
  else list.push(make());
}

/**
 * Reach and bins of the events of each trial.
 * @param {readonly any[]} trials of `/api/trials`
 * @param {number} t0Seconds where bin 0 begins
 * @param {number} binSeconds
 * @returns {Map<number, {reach: number | null, bins: (number | null)[]}>}
 */
export function trialMarks(trials, t0Seconds, binSeconds) {
  return new Map(trials.map((trial) => [trial.trial_id, {
    reach: trial.reach_id ?? null,
    bins: EVENTS.map(([column]) => {
      const time = trial[column];
      return typeof time === "number" ? Math.floor((time - t0Seconds) / binSeconds + 1e-9) : null;
    }),
  }]));
}
