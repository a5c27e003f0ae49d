/** The way of a cursor that goes with decoded velocities, from the true place where a trial begins. */

import { FLAG } from "./ring.js";

/** Longer ago the sum of the errors says little. */
const LONGEST_SECONDS = 10;

/**
 * @param {import("./ring.js").ColumnRing} ring
 * @param {Float32Array} said vx, vy by slot, see `ColumnRing.decoded`
 * @param {number} end the column behind the last one shown
 * @param {number} columnSeconds
 * @returns {[number, number][]} a place for each column from the first of the trial (or of the time
 *   between two) up to `end`; empty where no decoder has spoken or the place is not known. Where it
 *   said nothing the cursor rests
 */
export function decodedPath(ring, said, end, columnSeconds) {
  let first = end - 1;
  const oldest = Math.max(ring.start, end - Math.ceil(LONGEST_SECONDS / columnSeconds));
  const trial = ring.trials[ring.slot(first)];
  while (first > oldest) {
    const [slot, before] = [ring.slot(first), ring.slot(first - 1)];
    if (ring.flags[slot] & (FLAG.BREAK | FLAG.GAP) || ring.trials[before] !== trial) break;
    first -= 1;
  }
  const begin = ring.slot(first) * 4;
  let [x, y] = [ring.kinematics[begin + 2], ring.kinematics[begin + 3]];
  if (Number.isNaN(y)) y = 0;
  if (!Number.isFinite(x)) return [];
  /** @type {[number, number][]} */
  const path = [[x, y]];
  let hasSpoken = false;
  for (let column = first + 1; column < end; column += 1) {
    const at = ring.slot(column) * 2;
    if (Number.isFinite(said[at])) {
      hasSpoken = true;
      x += said[at] * columnSeconds;
      y += (Number.isFinite(said[at + 1]) ? said[at + 1] : 0) * columnSeconds;
    }
    path.push([x, y]);
  }
  return hasSpoken ? path : [];
}

/**
 * How much of the way from one place to another lies within a picture: 1 where all of it does.
 * @param {readonly [number, number]} from within the picture, px
 * @param {readonly [number, number]} to px
 * @param {readonly [number, number]} size of the picture, px
 * @param {number} margin that is kept free, px
 */
export function partInside(from, to, size, margin) {
  let part = 1;
  for (const axis of [0, 1]) {
    const way = to[axis] - from[axis];
    const room = way > 0 ? size[axis] - margin - from[axis] : from[axis] - margin;
    if (Math.abs(way) > room) part = Math.min(part, Math.max(0, room) / Math.abs(way));
  }
  return part;
}
