/** Rates around an event of the trials, of what was received. */

import { FLAG } from "./ring.js";

/**
 * @param {import("./ring.js").ColumnRing} ring
 * @param {number} unit its row
 * @param {Map<number, number>} events bin of the event, by trial
 * @param {number} binSeconds
 * @param {number} halfColumns columns before the event, and as many from it on
 * @returns {{times: number[], rates: (number | null)[], n_trials: number}} `times`: where each
 *   column begins, s from the event; a rate is null where no trial had that column
 */
export function livePsth(ring, unit, events, binSeconds, halfColumns) {
  const spikes = new Float64Array(2 * halfColumns);
  const columns = new Float64Array(2 * halfColumns);
  const seen = new Set();
  for (let column = ring.start; column < ring.end; column += 1) {
    const slot = ring.slot(column);
    if (ring.flags[slot] & (FLAG.GAP | FLAG.ABSENT)) continue;
    const trial = ring.trials[slot];
    const event = events.get(trial);
    if (event === undefined) continue;
    const place = halfColumns + Math.floor((ring.packets[slot] - event) / ring.binsPerColumn);
    if (place < 0 || place >= 2 * halfColumns) continue;
    spikes[place] += ring.counts[slot * ring.nUnits + unit];
    columns[place] += ring.bins[slot] * binSeconds;
    seen.add(`${ring.loops[slot]}/${trial}`);
  }
  const width = ring.binsPerColumn * binSeconds;
  return {
    times: [...spikes.keys()].map((place) => (place - halfColumns) * width),
    rates: [...spikes].map((n, place) => (columns[place] > 0 ? n / columns[place] : null)),
    n_trials: seen.size,
  };
}

/**
 * The bin of an event of each trial.
 * @param {readonly any[]} trials of `/api/trials`
 * @param {string} event a column of times
 * @param {number} t0Seconds where bin 0 begins
 * @param {number} binSeconds
 */
export function eventBins(trials, event, t0Seconds, binSeconds) {
  const bins = new Map();
  for (const trial of trials) {
    const time = trial[event];
    if (typeof time === "number") bins.set(trial.trial_id, Math.floor((time - t0Seconds) / binSeconds));
  }
  return bins;
}
