/** Which columns are shown: the newest, or a place in the ring while the session goes on. */

export class TimeMachine {
  constructor() {
    this.isFrozen = false;
    /** Column behind the last one shown, a part of one included; counts while frozen. */
    this.end = 0;
    /** Times the speed of the session; 0 stands still. */
    this.rate = 0;
    /** @type {[number, number] | null} columns that are played over and over */
    this.loop = null;
  }

  /** @param {number} end of the ring */
  freeze(end) {
    this.isFrozen = true;
    this.end = end;
    this.rate = 0;
  }

  live() {
    this.isFrozen = false;
    this.rate = 0;
    this.loop = null;
  }

  /**
   * The column behind the last one to show, after a while has passed.
   * @param {{start: number, end: number}} ring
   * @param {number} seconds since it was asked last
   * @param {number} columnsPerSecond of the session
   */
  advance(ring, seconds, columnsPerSecond) {
    if (!this.isFrozen) return ring.end;
    this.end += seconds * columnsPerSecond * this.rate;
    if (this.loop !== null) {
      const [from, to] = this.loop;
      if (from < ring.start) this.loop = null;
      else if (this.end >= to) this.end = from + ((this.end - from) % Math.max(1, to - from));
    }
    this.#keepInside(ring);
    if (this.end >= ring.end) this.rate = 0;
    return Math.floor(this.end);
  }

  /** Go so many columns on, or back. @param {{start: number, end: number}} ring @param {number} columns */
  move(ring, columns) {
    if (!this.isFrozen) this.freeze(ring.end);
    this.end += columns;
    this.#keepInside(ring);
  }

  /** @param {{start: number, end: number}} ring */
  #keepInside(ring) {
    this.end = Math.min(ring.end, Math.max(Math.min(ring.start + 1, ring.end), this.end));
  }
}
