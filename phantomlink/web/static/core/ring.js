/**
 * The last columns of a view, in arrays of fixed size. A column is a few bins of one unit order;
 * columns are numbered from 0 as they arrive, and the ring holds the numbers [start, end).
 */

/** What a column is beside its counts, as bits of `flags`. */
export const FLAG = {
  /** It does not follow the column before: a seek, a loop, or a jump of a filtered playhead. */
  BREAK: 1,
  /** Nothing is known of it: the view was too slow, or the connection was gone. */
  GAP: 2,
  /** Packets of it were lost on purpose. */
  LOST: 4,
  /** Its counts were perturbed. */
  PERTURBED: 8,
  /** It was summed with its neighbours on the way; the counts are spread evenly again. */
  MERGED: 16,
  /** Nothing of its time was observed: its counts are not known. */
  UNOBSERVED: 32,
  /** All of its packets were lost on purpose: where the cursor was then, nobody was told. */
  ABSENT: 64,
};

const MOST_BYTES = 64 * 1024 * 1024;
/** As which more packets of a column are told too. */
const MOST_LOST = 255;
/** A longer gap looks like one of this many columns. */
const LONGEST_GAP = 400;

export class ColumnRing {
  /**
   * @param {number} nUnits
   * @param {number} binsPerColumn
   * @param {number} nColumns wanted; fewer where they would take more than 64 MiB
   */
  constructor(nUnits, binsPerColumn, nColumns) {
    this.nUnits = nUnits;
    this.binsPerColumn = binsPerColumn;
    this.capacity = Math.max(64, Math.min(nColumns, Math.floor(MOST_BYTES / (nUnits + 48))));
    this.start = 0;
    this.end = 0;
    this.largest = 0;
    /** Of the spikes of all units in a column. */
    this.largestTotal = 0;
    this.counts = new Uint8Array(this.capacity * nUnits);
    /** vx, vy, x, y at the end of a column; NaN where the recording has none. */
    this.kinematics = new Float32Array(this.capacity * 4);
    /** target_x, target_y, target_id, reach_id; NaN outside trials. */
    this.intention = new Float32Array(this.capacity * 4);
    /** vx, vy of built-in decoders at the end of a column; NaN where one said nothing. @type {Map<string, Float32Array>} */
    this.decoded = new Map();
    /** Spikes of all units. */
    this.totals = new Uint32Array(this.capacity);
    this.packets = new Int32Array(this.capacity);
    this.bins = new Uint16Array(this.capacity);
    this.loops = new Int32Array(this.capacity);
    this.trials = new Int32Array(this.capacity);
    this.flags = new Uint8Array(this.capacity);
    /** When the last packet of its message left the server, Unix s. */
    this.stamps = new Float64Array(this.capacity);
    /** @type {any} */
    this.last = null;
    this.hasStanding = false;
    /** How often a column was taken back: who has drawn it draws anew. */
    this.rewrites = 0;
  }

  /** @param {number} column @returns {number} its place in the arrays */
  slot(column) {
    return column % this.capacity;
  }

  /** Counts of a column, one a unit. @param {number} column */
  countsOf(column) {
    const from = this.slot(column) * this.nUnits;
    return this.counts.subarray(from, from + this.nUnits);
  }

  /**
   * Take a message of columns.
   * @param {any} message see `columns` of the view
   * @returns {number} how many columns have been added
   */
  push(message) {
    if (this.hasStanding) this.#dropStanding();
    const before = this.end;
    if (message.gap) this.pushGap(message.gap);
    const per = message.bins_per_column;
    const n = message.counts.length / this.nUnits;
    // A message of columns that were summed on the way is spread over as many columns again.
    const spread = Math.max(1, Math.round(per / this.binsPerColumn));
    const kinematics = floats(message.kinematics);
    const intention = floats(message.intention);
    const trials = new Int32Array(message.trial_id.slice().buffer);
    const decoded = this.#decodedOf(message);
    let flags = message.perturbation_id === null ? 0 : FLAG.PERTURBED;
    if (spread > 1) flags |= FLAG.MERGED;
    if (!this.#follows(message)) flags |= FLAG.BREAK;
    for (let i = 0; i < n; i += 1) {
      const counts = message.counts.subarray(i * this.nUnits, (i + 1) * this.nUnits);
      for (let part = 0; part < spread; part += 1) {
        const slot = this.#next();
        this.#spread(counts, slot, part, spread);
        this.kinematics.set(kinematics.subarray(i * 4, i * 4 + 4), slot * 4);
        this.intention.set(intention.subarray(i * 4, i * 4 + 4), slot * 4);
        for (const [said, values] of decoded) {
          said.set(values === null ? [NaN, NaN] : values.subarray(i * 2, i * 2 + 2), slot * 2);
        }
        const isAbsent = message.lost[i] >= Math.min(per, MOST_LOST);
        // What is lost on purpose ends no trial.
        this.trials[slot] = isAbsent && !(flags & FLAG.BREAK) ? this.#trialBefore() : trials[i];
        this.packets[slot] = message.packet_id + i * per + Math.floor((part * per) / spread);
        this.bins[slot] = Math.max(1, Math.round(per / spread));
        this.loops[slot] = message.loop;
        this.stamps[slot] = message.timestamp;
        this.flags[slot] = flags | (message.lost[i] ? FLAG.LOST : 0) | (isAbsent ? FLAG.ABSENT : 0) | (message.observed?.[i] === 0 ? FLAG.UNOBSERVED : 0);
        flags &= ~FLAG.BREAK;
      }
    }
    this.last = { end: message.packet_id + n * per, loop: message.loop };
    return this.end - before;
  }

  /**
   * Take the packet that a session stands on: shown until anything else comes.
   * @param {any} message as of `push`, of one column
   */
  pushStanding(message) {
    if (this.hasStanding) this.#dropStanding();
    const last = this.last;
    // Right behind what has been played it would be shown before it is sent.
    if (last !== null && last.loop === message.loop && last.end === message.packet_id) return;
    this.push(message);
    this.last = last;
    this.hasStanding = true;
  }

  #dropStanding() {
    this.hasStanding = false;
    this.end -= 1;
    this.rewrites += 1;
  }

  /** Note that so many columns are not known. @param {number} n */
  pushGap(n) {
    if (this.hasStanding) this.#dropStanding();
    for (let i = 0; i < Math.min(n, LONGEST_GAP); i += 1) {
      const slot = this.#next();
      this.counts.fill(0, slot * this.nUnits, (slot + 1) * this.nUnits);
      this.kinematics.fill(NaN, slot * 4, slot * 4 + 4);
      this.intention.fill(NaN, slot * 4, slot * 4 + 4);
      for (const said of this.decoded.values()) said.fill(NaN, slot * 2, slot * 2 + 2);
      this.totals[slot] = 0;
      this.trials[slot] = -1;
      this.packets[slot] = -1;
      this.bins[slot] = 0;
      this.loops[slot] = 0;
      this.stamps[slot] = 0;
      this.flags[slot] = FLAG.GAP;
    }
    this.last = null;
  }

  /** Where each decoder's velocities are kept, with those of a message. @param {any} message @returns {[Float32Array, Float32Array | null][]} */
  #decodedOf(message) {
    const said = message.decoded ?? {};
    for (const name of Object.keys(said)) {
      if (!this.decoded.has(name)) this.decoded.set(name, new Float32Array(this.capacity * 2).fill(NaN));
    }
    return [...this.decoded].map(([name, kept]) => [kept, said[name] ? floats(said[name]) : null]);
  }

  #trialBefore() {
    return this.end - 2 < this.start ? -1 : this.trials[this.slot(this.end - 2)];
  }

  /** The newest column up to this one that has been told anything of; this one where there is none. @param {number} column */
  lastTold(column) {
    for (let told = column; told >= this.start; told -= 1) {
      if (!(this.flags[this.slot(told)] & FLAG.ABSENT)) return told;
    }
    return column;
  }

  /** The column that holds a packet, the newest such; -1 where none does. @param {number} packet */
  find(packet) {
    for (let column = this.end - 1; column >= this.start; column -= 1) {
      const slot = this.slot(column);
      const first = this.packets[slot];
      if (first >= 0 && packet >= first && packet < first + this.bins[slot]) return column;
    }
    return -1;
  }

  /** The newest stretch of columns with packets of [from, to]; null where none has any. @param {number} from @param {number} to @returns {[number, number] | null} */
  findSpan(from, to) {
    let [first, end] = [-1, -1];
    for (let column = this.end - 1; column >= this.start; column -= 1) {
      const packet = this.packets[this.slot(column)];
      if (packet >= from && packet <= to) {
        if (end < 0) end = column + 1;
        first = column;
      } else if (end >= 0) break;
    }
    return end < 0 ? null : [first, end];
  }

  /** @param {any} message */
  #follows(message) {
    return (
      this.last !== null &&
      this.last.loop === message.loop &&
      this.last.end === message.packet_id
    );
  }

  #next() {
    const slot = this.slot(this.end);
    this.end += 1;
    if (this.end - this.start > this.capacity) this.start = this.end - this.capacity;
    return slot;
  }

  /**
   * @param {Uint8Array} counts of a column
   * @param {number} slot
   * @param {number} part which of its parts
   * @param {number} parts
   */
  #spread(counts, slot, part, parts) {
    const to = slot * this.nUnits;
    let largest = this.largest;
    let total = 0;
    for (let unit = 0; unit < this.nUnits; unit += 1) {
      const count = counts[unit];
      // The parts of a count add up to it.
      const share =
        parts === 1
          ? count
          : Math.floor(((part + 1) * count) / parts) - Math.floor((part * count) / parts);
      this.counts[to + unit] = share;
      total += share;
      if (share > largest) largest = share;
    }
    this.largest = largest;
    this.totals[slot] = total;
    if (total > this.largestTotal) this.largestTotal = total;
  }
}

/** @param {Uint8Array} bytes little-endian, as every machine with a browser is */
function floats(bytes) {
  return new Float32Array(bytes.slice().buffer);
}
