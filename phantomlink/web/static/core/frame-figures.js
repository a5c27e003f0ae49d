/** How the drawing does: frames a second, how long a frame takes, and from stamp to pixel. */

const KEPT = 600;

export class FrameFigures {
  constructor() {
    /** @type {number[]} */
    this.latenciesMs = [];
    /** @type {number[]} */
    this.drawsMs = [];
    /** @type {number[]} */
    this.framesMs = [];
    this.stamp = 0;
  }

  /** A message has come. @param {number} stampSeconds of its last packet, Unix s */
  arrived(stampSeconds) {
    this.stamp = stampSeconds;
  }

  /** A frame was drawn. @param {number} begin @param {number} end ms of `performance.now()` */
  drew(begin, end) {
    keep(this.drawsMs, end - begin);
    keep(this.framesMs, begin);
    if (this.stamp > 0) {
      keep(this.latenciesMs, performance.timeOrigin + end - this.stamp * 1000);
      this.stamp = 0;
    }
  }

  /** The last frames: when each began to be drawn, Unix ms, and how long that took. */
  frames() {
    return { began_ms: this.framesMs.map((ms) => performance.timeOrigin + ms), draws_ms: [...this.drawsMs] };
  }

  read() {
    const recent = this.framesMs.filter((ms) => ms > performance.now() - 1000);
    return {
      fps: recent.length,
      draw_ms: percentiles(this.drawsMs),
      stamp_to_pixel_ms: percentiles(this.latenciesMs),
    };
  }
}

/** @param {number[]} list @param {number} value */
function keep(list, value) {
  list.push(value);
  if (list.length > KEPT) list.shift();
}

/** @param {number[]} values */
function percentiles(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (/** @type {number} */ part) => sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? null;
  return { p50: at(0.5), p99: at(0.99), n: sorted.length };
}
