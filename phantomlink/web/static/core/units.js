/** Which units the raster shows and in which order, and what the ring says of one of them. */

import { FLAG } from "./ring.js";

/**
 * Spikes, rate and preferred direction of every unit over the ring.
 * @param {import("./ring.js").ColumnRing} ring
 * @param {number} binSeconds
 * @returns {{rates: Float64Array, directions: Float64Array}} per second; radians
 */
export function summarizeUnits(ring, binSeconds) {
  const { nUnits } = ring;
  const totals = new Float64Array(nUnits);
  const alongX = new Float64Array(nUnits);
  const alongY = new Float64Array(nUnits);
  let seconds = 0;
  for (let column = ring.start; column < ring.end; column += 1) {
    const slot = ring.slot(column);
    if (ring.flags[slot] & FLAG.GAP) continue;
    seconds += ring.bins[slot] * binSeconds;
    const [vx, vy] = [ring.kinematics[slot * 4], ring.kinematics[slot * 4 + 1]];
    const speed = Math.hypot(vx, vy);
    const counts = ring.countsOf(column);
    for (let unit = 0; unit < nUnits; unit += 1) {
      if (counts[unit] === 0) continue;
      totals[unit] += counts[unit];
      if (speed > 0) {
        alongX[unit] += (counts[unit] * vx) / speed;
        alongY[unit] += (counts[unit] * vy) / speed;
      }
    }
  }
  const rates = totals.map((total) => (seconds > 0 ? total / seconds : NaN));
  const directions = alongX.map((x, unit) => Math.atan2(alongY[unit], x));
  return { rates, directions };
}

/**
 * Rows of the units to show, in order.
 * @param {readonly number[]} unitIds
 * @param {"id" | "rate" | "direction"} sort
 * @param {string} search `1011 1041`, `1000-1100`, or a part of ids; empty for all
 * @param {{rates: Float64Array, directions: Float64Array}} summary
 */
export function orderedUnits(unitIds, sort, search, summary) {
  const rows = [...unitIds.keys()].filter((row) => matches(unitIds[row], search));
  if (sort === "rate") rows.sort((a, b) => summary.rates[b] - summary.rates[a] || a - b);
  if (sort === "direction") rows.sort((a, b) => summary.directions[a] - summary.directions[b] || a - b);
  return rows;
}

/** @param {number} id @param {string} search */
function matches(id, search) {
  const words = search.split(/[\s,]+/).filter(Boolean);
  if (words.length === 0) return true;
  return words.some((word) => {
    const range = /^(\d+)-(\d+)$/.exec(word);
    if (range) return id >= Number(range[1]) && id <= Number(range[2]);
    return String(id).includes(word);
  });
}

/**
 * What was received of one unit over the ring.
 * @param {import("./ring.js").ColumnRing} ring
 * @param {number} unit its row
 * @param {number} binSeconds
 * @returns {{n_spikes: number, rate_hz: number, isi: number[], tuning: (number | null)[]}} `isi`:
 *   how often 1, 2, ... 40 columns lay between columns with spikes, the last one for longer;
 *   `tuning`: spikes a second in 8 directions of velocity, from 0 rad on
 */
export function describeUnit(ring, unit, binSeconds) {
  const isi = new Array(40).fill(0);
  const spikesIn = new Array(8).fill(0);
  const secondsIn = new Array(8).fill(0);
  let nSpikes = 0;
  let seconds = 0;
  let lastSpike = -1;
  for (let column = ring.start; column < ring.end; column += 1) {
    const slot = ring.slot(column);
    if (ring.flags[slot] & (FLAG.GAP | FLAG.BREAK)) lastSpike = -1;
    if (ring.flags[slot] & FLAG.GAP) continue;
    const count = ring.counts[slot * ring.nUnits + unit];
    const width = ring.bins[slot] * binSeconds;
    seconds += width;
    nSpikes += count;
    if (count > 0) {
      if (lastSpike >= 0) isi[Math.min(column - lastSpike, 40) - 1] += 1;
      lastSpike = column;
    }
    const [vx, vy] = [ring.kinematics[slot * 4], ring.kinematics[slot * 4 + 1]];
    // At rest there is no direction.
    if (!(Math.hypot(vx, vy) > 0)) continue;
    const sector = ((Math.round(Math.atan2(vy, vx) / (Math.PI / 4)) % 8) + 8) % 8;
    spikesIn[sector] += count;
    secondsIn[sector] += width;
  }
  return {
    n_spikes: nSpikes,
    rate_hz: seconds > 0 ? nSpikes / seconds : NaN,
    isi,
    tuning: spikesIn.map((n, sector) => (secondsIn[sector] > 0 ? n / secondsIn[sector] : null)),
  };
}
