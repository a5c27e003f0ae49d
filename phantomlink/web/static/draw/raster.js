/**
 * The raster: a bitmap of one pixel a column and unit (or a few units, where there are more than
 * the canvas has pixels), which holds the shown columns by their number modulo its width. New columns are
 * put into it; a frame is two `drawImage`, and what lies over them.
 */

import { INKS, colourTable, scaleMaximum } from "../core/palette.js";
import { FLAG } from "../core/ring.js";
import { clock } from "../core/format.js";

const LEFT = 52;
const RIGHT = 8;
const TOP = 18;
const BOTTOM = 22;

export class Raster {
  /** @param {OffscreenCanvas | HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    this.pen = /** @type {OffscreenCanvasRenderingContext2D} */ (
      canvas.getContext("2d", { alpha: false })
    );
    this.scale = 1;
    this.theme = /** @type {"dark" | "light"} */ ("dark");
    this.maximum = 0;
    this.width = 0;
    this.rows = 0;
    this.perRow = 1;
    /** @type {OffscreenCanvas | null} */
    this.bitmap = null;
    /** Columns that the bitmap holds: [from, to). */
    this.from = 0;
    this.to = 0;
    /** @type {readonly number[]} */
    this.units = [];
    this.table = new Uint32Array(256);
    this.key = "";
  }

  /** Where the columns are, in pixels of the canvas. */
  get plot() {
    const { scale, canvas } = this;
    const [left, top] = [Math.round(LEFT * scale), Math.round(TOP * scale)];
    return {
      left, top,
      width: Math.max(1, canvas.width - left - Math.round(RIGHT * scale)),
      height: Math.max(1, canvas.height - top - Math.round(BOTTOM * scale)),
    };
  }

  /**
   * @param {object} shown
   * @param {import("../core/ring.js").ColumnRing} shown.ring
   * @param {number} shown.end the column behind the last one shown
   * @param {number} shown.columns how many fit
   * @param {number} shown.ahead columns by which time has gone on since, a part of one included
   * @param {readonly number[]} shown.units rows of the units, in order
   * @param {readonly number[]} shown.unitIds
   * @param {number} shown.binSeconds
   * @param {boolean} shown.sweep columns stay where they are, the newest replace the oldest
   * @param {{column: number, row: number} | null} shown.hover
   * @param {[number, number] | null} shown.loop columns that the time machine repeats
   */
  draw(shown) {
    this.#prepare(shown);
    const { pen, plot, bitmap, width } = this;
    const ink = INKS[this.theme];
    pen.fillStyle = ink.ground;
    pen.fillRect(0, 0, this.canvas.width, this.canvas.height);
    if (bitmap !== null && this.to > this.from) {
      pen.save();
      pen.beginPath();
      // With room for what is marked above and below.
      pen.rect(plot.left, 0, plot.width, this.canvas.height);
      pen.clip();
      pen.imageSmoothingEnabled = false;
      const columnPx = plot.width / width;
      if (shown.sweep) {
        pen.drawImage(bitmap, plot.left, plot.top, plot.width, plot.height);
      } else {
        // The columns from `first` on, up to the edge of the bitmap, then those from its begin on.
        const first = this.to - width;
        const head = ((first % width) + width) % width;
        const x = plot.left - shown.ahead * columnPx;
        const n = width - head;
        pen.drawImage(bitmap, head, 0, n, this.rows, x, plot.top, n * columnPx, plot.height);
        if (head > 0) {
          const at = x + n * columnPx;
          pen.drawImage(bitmap, 0, 0, head, this.rows, at, plot.top, head * columnPx, plot.height);
        }
      }
      this.#marks(shown, columnPx);
      pen.restore();
    }
    this.#axes(shown);
  }

  /** Where a column begins on the canvas, px. @param {any} shown @param {number} column */
  #x(shown, column) {
    const columnPx = this.plot.width / this.width;
    if (shown.sweep) return this.plot.left + (column % this.width) * columnPx;
    return this.plot.left + (column - (this.to - this.width) - shown.ahead) * columnPx;
  }

  /**
   * What is under a point of the canvas; null where that is no column.
   * @param {any} shown @param {number} x @param {number} y px
   */
  at(shown, x, y) {
    const { plot } = this;
    if (x < plot.left || x >= plot.left + plot.width) return null;
    if (y < plot.top || y >= plot.top + plot.height || this.rows === 0) return null;
    const place = ((x - plot.left) / plot.width) * this.width;
    let column = Math.floor(this.to - this.width + place + shown.ahead);
    if (shown.sweep) {
      const first = this.to - this.width;
      column = first + ((((Math.floor(place) - first) % this.width) + this.width) % this.width);
    }
    if (column < this.from || column >= this.to) return null;
    return { column, row: Math.floor(((y - plot.top) / plot.height) * this.rows) };
  }

  /** Let the bitmap hold what is shown. @param {any} shown */
  #prepare(shown) {
    const { ring, units } = shown;
    const maximum = scaleMaximum(ring.largest);
    const perRow = Math.max(1, Math.ceil(units.length / this.plot.height));
    const rows = Math.max(1, Math.ceil(units.length / perRow));
    const key = [shown.columns, rows, perRow, this.theme, maximum, ring.rewrites, units.join()].join("/");
    if (key !== this.key || this.ring !== ring) {
      this.key = key;
      this.ring = ring;
      this.width = shown.columns;
      this.rows = rows;
      this.perRow = perRow;
      this.units = units;
      this.maximum = maximum;
      this.table = colourTable(this.theme, maximum);
      this.bitmap = new OffscreenCanvas(this.width, rows);
      this.bitmapPen = /** @type {OffscreenCanvasRenderingContext2D} */ (
        this.bitmap.getContext("2d", { alpha: false })
      );
      this.from = this.to = 0;
    }
    const from = Math.max(ring.start, shown.end - this.width);
    const isNext = from >= this.from && from <= this.to && shown.end >= this.to && this.to > 0;
    let first = isNext ? this.to : from;
    if (!isNext && this.bitmapPen) {
      this.bitmapPen.fillStyle = INKS[this.theme].ground;
      this.bitmapPen.fillRect(0, 0, this.width, this.rows);
    }
    while (first < shown.end) {
      // As far as the bitmap's edge.
      const slot = first % this.width;
      const n = Math.min(shown.end - first, this.width - slot);
      this.bitmapPen?.putImageData(this.#pixels(first, n), slot, 0);
      first += n;
    }
    this.from = from;
    this.to = shown.end;
  }

  /** @param {number} first column @param {number} n */
  #pixels(first, n) {
    const { ring, units, rows, perRow, table } = this;
    const image = new ImageData(n, rows);
    const pixels = new Uint32Array(image.data.buffer);
    for (let i = 0; i < n; i += 1) {
      const base = ring.slot(first + i) * ring.nUnits;
      for (let row = 0; row < rows; row += 1) {
        let count = 0;
        const stop = Math.min((row + 1) * perRow, units.length);
        for (let place = row * perRow; place < stop; place += 1) {
          const each = ring.counts[base + units[place]];
          if (each > count) count = each;
        }
        pixels[row * n + i] = table[count];
      }
    }
    return image;
  }

  /** @param {any} shown @param {number} columnPx */
  #marks(shown, columnPx) {
    const { pen, plot, ring, scale } = this;
    const ink = INKS[this.theme];
    const line = Math.max(1, Math.round(scale));
    let trial = null;
    for (let column = this.from; column < this.to; column += 1) {
      const slot = ring.slot(column);
      const flags = ring.flags[slot];
      const x = this.#x(shown, column);
      if (flags & FLAG.GAP) this.#hatch(x, columnPx, ink.gap);
      if (flags & FLAG.LOST) this.#tick(x, columnPx, ink.lost);
      if (flags & FLAG.PERTURBED) {
        pen.fillStyle = ink.tint;
        pen.fillRect(x, plot.top - 2 * line, Math.ceil(columnPx), 2 * line);
      }
      if (trial !== null && ring.trials[slot] !== trial && !(flags & FLAG.GAP)) {
        pen.fillStyle = ink.trial;
        // Dots, on the column's first pixel: a line through all units would hide their counts.
        for (let y = plot.top; y < plot.top + plot.height; y += 8 * line) {
          pen.fillRect(Math.floor(x), y, line, 3 * line);
        }
      }
      if (flags & FLAG.BREAK && column > ring.start) {
        pen.fillStyle = ink.break;
        pen.fillRect(Math.floor(x), plot.top, line, plot.height);
      }
      trial = ring.trials[slot];
    }
    if (shown.sweep) {
      pen.fillStyle = ink.head;
      pen.fillRect(this.#x(shown, this.to), plot.top, 2 * line, plot.height);
    }
    if (shown.loop !== null) {
      pen.strokeStyle = ink.break;
      pen.lineWidth = 2 * line;
      const [from, to] = shown.loop;
      const x = this.#x(shown, from);
      pen.strokeRect(x, plot.top, this.#x(shown, to) - x, plot.height);
    }
    if (shown.hover !== null) {
      pen.strokeStyle = ink.hover;
      pen.lineWidth = line;
      const rowPx = plot.height / this.rows;
      const y = plot.top + shown.hover.row * rowPx;
      pen.strokeRect(plot.left, y - line, plot.width, Math.max(rowPx, 2) + 2 * line);
    }
  }

  /** @param {number} x @param {number} width @param {string} colour */
  #hatch(x, width, colour) {
    const { pen, plot, scale } = this;
    pen.strokeStyle = colour;
    pen.lineWidth = Math.max(1, scale);
    pen.beginPath();
    const step = 8 * scale;
    // Lines of a slope that goes on in the next column.
    const shift = x % step;
    for (let y = plot.top - step; y < plot.top + plot.height + step; y += step) {
      pen.moveTo(x, y + shift);
      pen.lineTo(x + width, y + shift + width);
    }
    pen.stroke();
  }

  /** @param {number} x @param {number} width @param {string} colour */
  #tick(x, width, colour) {
    const { pen, plot, scale } = this;
    pen.fillStyle = colour;
    pen.fillRect(x, plot.top + plot.height, Math.max(width, 2), 5 * scale);
  }

  /** @param {any} shown */
  #axes(shown) {
    const { pen, plot, scale, ring } = this;
    const ink = INKS[this.theme];
    pen.fillStyle = ink.text;
    pen.font = `${Math.round(11 * scale)}px system-ui, sans-serif`;
    pen.textBaseline = "middle";
    pen.textAlign = "right";
    const labels = Math.max(2, Math.floor(plot.height / (22 * scale)));
    const step = Math.max(1, Math.ceil(this.rows / labels));
    for (let row = 0; row < this.rows && this.units.length > 0; row += step) {
      const y = plot.top + ((row + 0.5) / this.rows) * plot.height;
      pen.fillText(String(shown.unitIds[this.units[row * this.perRow]]), plot.left - 6 * scale, y);
    }
    pen.textAlign = "center";
    const every = Math.max(1, Math.round(this.width / Math.max(2, Math.floor(plot.width / (90 * scale)))));
    let lastTrialX = -Infinity;
    for (let column = this.from; column < this.to; column += 1) {
      const slot = ring.slot(column);
      const x = this.#x(shown, column);
      if (x < plot.left || x > plot.left + plot.width) continue;
      if (column % every === 0 && !(ring.flags[slot] & FLAG.GAP)) {
        pen.fillStyle = ink.text;
        const seconds = ring.packets[slot] * shown.binSeconds;
        const edge = 24 * scale;
        const label = Math.min(Math.max(x, plot.left + edge), plot.left + plot.width - edge);
        pen.fillText(clock(seconds), label, plot.top + plot.height + 12 * scale);
        pen.fillRect(x, plot.top + plot.height, Math.max(1, scale), 4 * scale);
      }
      const trial = ring.trials[slot];
      const isStart = column === this.from || ring.trials[ring.slot(column - 1)] !== trial;
      if (trial >= 0 && isStart && x - lastTrialX > 46 * scale) {
        pen.textAlign = "left";
        pen.fillStyle = ink.trial;
        pen.fillText(`trial ${trial}`, x + 2 * scale, plot.top - 9 * scale);
        pen.textAlign = "center";
        lastTrialX = x;
      }
    }
  }
}
