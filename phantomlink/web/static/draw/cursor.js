/**
 * The cursor over the recording's own targets and barriers: a trail that breaks at seeks and gaps,
 * the last trials faded, decoded cursors over it with the distance to the truth.
 */

import { decodedPath, partInside } from "../core/decoded-path.js";
import { INKS } from "../core/palette.js";
import { FLAG } from "../core/ring.js";

const TRAIL_SECONDS = 1.5;
const OLD_TRIALS = 3;

export class CursorPlot {
  /** @param {OffscreenCanvas | HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    this.pen = /** @type {OffscreenCanvasRenderingContext2D} */ (
      canvas.getContext("2d", { alpha: false })
    );
    this.scale = 1;
    this.theme = /** @type {"dark" | "light"} */ ("dark");
    /** Of everything that was drawn so far: it only grows. */
    this.bounds = { left: -1, right: 1, bottom: -1, top: 1 };
    /** Columns of `ring` before this one are within the bounds. */
    this.included = 0;
    /** @type {any} */
    this.ring = null;
    /** From places to pixels: x0 + x * k, y0 - y * k. */
    this.map = { x0: 0, y0: 0, k: 1 };
    /** What was drawn last, in pixels, for the text behind the canvas and for tests. */
    this.last = { x: NaN, y: NaN, column: -1, decoded: /** @type {any[]} */ ([]) };
  }

  /** Make room for places. @param {Iterable<readonly [number, number]>} places */
  include(places) {
    const { bounds } = this;
    for (const [x, y] of places) {
      if (!Number.isFinite(x) || !Number.isFinite(y)) continue;
      bounds.left = Math.min(bounds.left, x);
      bounds.right = Math.max(bounds.right, x);
      bounds.bottom = Math.min(bounds.bottom, y);
      bounds.top = Math.max(bounds.top, y);
    }
  }

  /** Let the bounds have the columns that are new. @param {import("../core/ring.js").ColumnRing} ring @param {number} end */
  #includeNew(ring, end) {
    if (this.ring !== ring) this.included = ring.start;
    this.ring = ring;
    const { bounds } = this;
    // The last one may have been taken back meanwhile (see `pushStanding`).
    for (let column = Math.max(ring.start, Math.min(this.included, end - 1)); column < end; column += 1) {
      const slot = ring.slot(column);
      const x = ring.kinematics[slot * 4 + 2];
      const y = yOf(ring, slot);
      if (!Number.isFinite(x) || !Number.isFinite(y)) continue;
      if (x < bounds.left) bounds.left = x;
      if (x > bounds.right) bounds.right = x;
      if (y < bounds.bottom) bounds.bottom = y;
      if (y > bounds.top) bounds.top = y;
    }
    this.included = end;
  }

  /** A place of the recording in pixels. @param {number} x @param {number} y @returns {[number, number]} */
  place(x, y) {
    const { x0, y0, k } = this.map;
    return [x0 + x * k, y0 - y * k];
  }

  #fit() {
    const { bounds, canvas, scale } = this;
    const margin = 22 * scale;
    const span = Math.max(
      (bounds.right - bounds.left) / Math.max(1, canvas.width - 2 * margin),
      (bounds.top - bounds.bottom) / Math.max(1, canvas.height - 2 * margin),
    );
    const [middleX, middleY] = [(bounds.left + bounds.right) / 2, (bounds.top + bounds.bottom) / 2];
    const k = 1 / span;
    this.map = { x0: canvas.width / 2 - middleX * k, y0: canvas.height / 2 + middleY * k, k };
  }

  /**
   * @param {object} shown
   * @param {import("../core/ring.js").ColumnRing} shown.ring
   * @param {number} shown.end the column behind the last one shown
   * @param {number} shown.binSeconds
   * @param {Map<number, any>} shown.trials of the recording, by number
   */
  draw(shown) {
    const { pen, canvas, scale } = this;
    const ink = INKS[this.theme];
    pen.fillStyle = ink.ground;
    pen.fillRect(0, 0, canvas.width, canvas.height);
    const { ring } = shown;
    // Where packets are lost on purpose the cursor rests.
    const end = shown.end <= ring.start ? shown.end : ring.lastTold(shown.end - 1) + 1;
    this.last = { x: NaN, y: NaN, column: -1, decoded: [] };
    if (end <= ring.start) return;
    this.#includeNew(ring, end);
    this.#fit();
    const newest = ring.slot(end - 1);
    const trial = shown.trials.get(ring.trials[newest]);
    if (trial) this.#scene(trial, newest, ring, ink);
    this.#oldTrials(ring, end, ring.trials[newest], ink);
    const columns = Math.ceil(TRAIL_SECONDS / (ring.binsPerColumn * shown.binSeconds));
    this.#trail(ring, Math.max(ring.start, end - columns), end, ink);
    const [x, y] = this.#point(ring, newest);
    if (!Number.isFinite(x)) {
      pen.fillStyle = ink.text;
      pen.font = `${13 * scale}px system-ui, sans-serif`;
      pen.textAlign = "left";
      pen.fillText("no position here", 14 * scale, 24 * scale);
      return;
    }
    const [px, py] = this.place(x, y);
    const decoded = [...ring.decoded].flatMap(([name, said], i) => {
      const path = decodedPath(ring, said, end, ring.binsPerColumn * shown.binSeconds);
      return path.length > 1 ? [this.#decoded(name, path, [x, y], ink.decoded[i % ink.decoded.length], ink)] : [];
    });
    this.last = { x: px, y: py, column: end - 1, decoded };
    pen.fillStyle = ink.cursor;
    this.#disc(px, py, 6 * scale);
  }

  /** @param {any} ring @param {number} slot @returns {[number, number]} */
  #point(ring, slot) {
    return [ring.kinematics[slot * 4 + 2], yOf(ring, slot)];
  }

  /** @param {any} trial @param {number} slot @param {any} ring @param {any} ink */
  #scene(trial, slot, ring, ink) {
    const { pen, scale } = this;
    pen.fillStyle = ink.barrier;
    for (const [x, y, halfWidth, halfHeight] of trial.barrier_pos ?? []) {
      const [left, top] = this.place(x - halfWidth, y + halfHeight);
      const [right, bottom] = this.place(x + halfWidth, y - halfHeight);
      pen.fillRect(left, top, right - left, bottom - top);
    }
    const [targetX, targetY] = [ring.intention[slot * 4], ring.intention[slot * 4 + 1]];
    pen.lineWidth = 2 * scale;
    pen.strokeStyle = ink.target;
    pen.setLineDash([4 * scale, 3 * scale]);
    for (const [x, y] of trial.target_pos ?? []) {
      // The one to reach is filled, and its outline would only make it ragged.
      if (Math.fround(x) === targetX && Math.fround(y) === targetY) continue;
      const [px, py] = this.place(x, y);
      pen.strokeRect(px - 8 * scale, py - 8 * scale, 16 * scale, 16 * scale);
    }
    pen.setLineDash([]);
    if (Number.isFinite(targetX)) {
      pen.fillStyle = ink.target;
      const [px, py] = this.place(targetX, Number.isNaN(targetY) ? 0 : targetY);
      pen.fillRect(px - 8 * scale, py - 8 * scale, 16 * scale, 16 * scale);
    }
  }

  /** @param {any} ring @param {number} end @param {number} current @param {any} ink */
  #oldTrials(ring, end, current, ink) {
    const shown = new Set();
    let column = end - 1;
    for (; column > ring.start; column -= 1) {
      const trial = ring.trials[ring.slot(column)];
      if (trial >= 0 && trial !== current) shown.add(trial);
      if (shown.size > OLD_TRIALS) break;
    }
    this.pen.strokeStyle = ink.old;
    this.pen.lineWidth = this.scale;
    this.#lines(ring, column + 1, end, (slot) => shown.has(ring.trials[slot]));
  }

  /** @param {any} ring @param {number} from @param {number} end @param {any} ink */
  #trail(ring, from, end, ink) {
    this.pen.strokeStyle = ink.trail;
    this.pen.lineWidth = 2.5 * this.scale;
    this.pen.lineJoin = "round";
    this.#lines(ring, from, end, () => true);
  }

  /** @param {any} ring @param {number} from @param {number} end @param {(slot: number) => boolean} wanted */
  #lines(ring, from, end, wanted) {
    const { pen } = this;
    const { x0, y0, k } = this.map;
    pen.beginPath();
    let isDown = false;
    let trial = NaN;
    for (let column = from; column < end; column += 1) {
      const slot = ring.slot(column);
      if (ring.flags[slot] & FLAG.ABSENT) continue;
      const x = ring.kinematics[slot * 4 + 2];
      const breaks = ring.flags[slot] & (FLAG.BREAK | FLAG.GAP) || ring.trials[slot] !== trial;
      trial = ring.trials[slot];
      if (!wanted(slot) || !Number.isFinite(x)) {
        isDown = false;
        continue;
      }
      const [px, py] = [x0 + x * k, y0 - yOf(ring, slot) * k];
      if (isDown && !breaks) pen.lineTo(px, py);
      else pen.moveTo(px, py);
      isDown = true;
    }
    pen.stroke();
  }

  /**
   * Where a decoder says the cursor has gone, and how far it ends from the truth.
   * @param {string} name @param {readonly [number, number][]} path @param {[number, number]} truth
   * @param {string} colour @param {any} ink
   */
  #decoded(name, path, truth, colour, ink) {
    const { pen, canvas, scale } = this;
    const end = path[path.length - 1];
    const [[px, py], [x, y]] = [this.place(...truth), this.place(...end)];
    pen.strokeStyle = ink.error;
    pen.lineWidth = scale;
    pen.setLineDash([2 * scale, 2 * scale]);
    pen.beginPath();
    pen.moveTo(px, py);
    pen.lineTo(x, y);
    pen.stroke();
    pen.setLineDash([]);
    pen.strokeStyle = colour;
    pen.lineWidth = 2 * scale;
    pen.beginPath();
    path.forEach((each, i) => (i === 0 ? pen.moveTo(...this.place(...each)) : pen.lineTo(...this.place(...each))));
    pen.stroke();
    // One that has left the picture stands where the line to it does.
    const part = partInside([px, py], [x, y], [canvas.width, canvas.height], 8 * scale);
    pen.beginPath();
    pen.arc(px + part * (x - px), py + part * (y - py), 6 * scale, 0, 7);
    pen.stroke();
    return { name, colour, x: end[0], y: end[1], is_outside: part < 1, error: Math.hypot(end[0] - truth[0], end[1] - truth[1]) };
  }

  /** @param {number} x @param {number} y @param {number} radius */
  #disc(x, y, radius) {
    this.pen.beginPath();
    this.pen.arc(x, y, radius, 0, 7);
    this.pen.fill();
  }
}

/** A recording of one axis has no y. @param {any} ring @param {number} slot */
function yOf(ring, slot) {
  const y = ring.kinematics[slot * 4 + 3];
  return Number.isNaN(y) ? 0 : y;
}
