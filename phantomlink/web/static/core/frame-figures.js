/** How the drawing does: frames a second, how long a frame takes, and from stamp to pixel. */

const KEPT = 600;

/** The last values. In plain arrays every one that is sorted would be an object of its own. */
class LastValues {
  constructor() {
    this.values = new Float64Array(KEPT);
    this.nAdded = 0;
  }

  /** @param {number} value */
  add(value) {
    this.values[this.nAdded % KEPT] = value;
    this.nAdded += 1;
  }

  /** A copy, in no order. */
  copied() {
    return this.values.slice(0, Math.min(this.nAdded, KEPT));
  }

  percentiles() {
    const sorted = this.copied().sort();
    const at = (/** @type {number} */ part) => sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? null;
    return { p50: at(0.5), p99: at(0.99), n: sorted.length };
  }
}

export class FrameFigures {
  constructor() {
    this.latenciesMs = new LastValues();
    this.drawsMs = new LastValues();
    /** When each was begun, as the draws. */
    this.framesMs = new LastValues();
    this.stamp = 0;
  }

  /** A message has come. @param {number} stampSeconds of its last packet, Unix s */
  arrived(stampSeconds) {
    this.stamp = stampSeconds;
  }

  /** A frame was drawn. @param {number} begin @param {number} end ms of `performance.now()` */
  drew(begin, end) {
    this.drawsMs.add(end - begin);
    this.framesMs.add(begin);
    if (this.stamp > 0) {
      this.latenciesMs.add(performance.timeOrigin + end - this.stamp * 1000);
      this.stamp = 0;
    }
  }

  /** The last frames, in no order: when each began to be drawn, Unix ms, and how long that took. */
  frames() {
    return {
      began_ms: Array.from(this.framesMs.copied(), (ms) => performance.timeOrigin + ms),
      draws_ms: [...this.drawsMs.copied()],
    };
  }

  read() {
    const since = performance.now() - 1000;
    return {
      fps: this.framesMs.copied().filter((ms) => ms > since).length,
      draw_ms: this.drawsMs.percentiles(),
      stamp_to_pixel_ms: this.latenciesMs.percentiles(),
    };
  }
}
