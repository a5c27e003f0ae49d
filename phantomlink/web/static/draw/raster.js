/**
 * The raster: a bitmap of one pixel a column and unit (or a few units, where there are more than
 * the canvas has pixels), which holds the shown columns by their number modulo its width. Below it, in
 * the same bitmap, a strip of the spikes of all units. New columns are put into it; a frame is two
 * `drawImage` of each, and what lies over them.
 */

import { Annotations } from "../core/annotations.js";
import { INKS, colourTable, pixelOf, scaleMaximum } from "../core/palette.js";
import { FLAG } from "../core/ring.js";
import { TextWidths, UnitLabels } from "./axis-text.js";

const LEFT = 52;
const RIGHT = 8;
const TOP = 30;
const BOTTOM = 22;
/** Of the strip, in pixels of the page and of the bitmap. */
const STRIP = 30;
const STRIP_GAP = 7;
/** Between two ticks of the time axis; the first that leaves room for its label is taken. */
const TICK_SECONDS = [1, 2, 5, 10, 30];

export class Raster {
  /** @param {OffscreenCanvas | HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    this.pen = /** @type {OffscreenCanvasRenderingContext2D} */ (
      canvas.getContext("2d", { alpha: false })
    );
    this.scale = 1;
    /** Where the columns are, with the width, height and scale of the canvas that this is of. */
    this.area = { of: [0, 0, 0], plot: { left: 0, top: 0, width: 1, height: 1 }, font: "" };
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
    this.stripMaximum = 1;
    this.notes = new Annotations();
    this.widths = new TextWidths();
    this.labels = new UnitLabels();
  }

  /** Where the columns are, in pixels of the canvas. */
  get plot() {
    const { scale, canvas, area } = this;
    // Asked for many times a frame: made when the canvas changes.
    if (area.of[0] === canvas.width && area.of[1] === canvas.height && area.of[2] === scale) return area.plot;
    const [left, top] = [Math.round(LEFT * scale), Math.round(TOP * scale)];
    area.of = [canvas.width, canvas.height, scale];
    area.font = `${Math.round(11 * scale)}px system-ui, sans-serif`;
    area.plot = {
      left, top,
      width: Math.max(1, canvas.width - left - Math.round(RIGHT * scale)),
      height: Math.max(1, canvas.height - top - Math.round((BOTTOM + STRIP + STRIP_GAP) * scale)),
    };
    return area.plot;
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
   * @param {ReadonlyMap<number, any>} shown.trials what is marked of them, see `trialMarks`
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
      const strip = this.strip;
      for (const [row, n, y, height] of [[0, this.rows, plot.top, plot.height], [this.rows, STRIP, strip.top, strip.height]]) {
        if (shown.sweep) {
          pen.drawImage(bitmap, 0, row, width, n, plot.left, y, plot.width, height);
          continue;
        }
        // The columns from `first` on, up to the edge of the bitmap, then those from its begin on.
        const first = this.to - width;
        const head = ((first % width) + width) % width;
        const x = plot.left - shown.ahead * columnPx;
        const before = width - head;
        pen.drawImage(bitmap, head, row, before, n, x, y, before * columnPx, height);
        if (head > 0) pen.drawImage(bitmap, 0, row, head, n, x + before * columnPx, y, head * columnPx, height);
      }
      this.#marks(shown, columnPx);
      pen.restore();
    }
    this.#axes(shown);
  }

  /** Where the spikes of all units are, in pixels of the canvas. */
  get strip() {
    const { plot, scale } = this;
    return { top: plot.top + plot.height + Math.round(STRIP_GAP * scale), height: Math.round(STRIP * scale) };
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
    const stripMaximum = roundUp(ring.largestTotal);
    const key = `${shown.columns}/${rows}/${perRow}/${this.theme}/${maximum}/${stripMaximum}/${ring.rewrites}`;
    if (key !== this.key || this.units !== units || this.ring !== ring || this.trials !== shown.trials) {
      this.trials = shown.trials;
      this.stripMaximum = stripMaximum;
      this.key = key;
      this.ring = ring;
      this.width = shown.columns;
      this.rows = rows;
      this.perRow = perRow;
      this.units = units;
      this.maximum = maximum;
      this.table = colourTable(this.theme, maximum);
      this.bitmap = new OffscreenCanvas(this.width, rows + STRIP);
      this.bitmapPen = /** @type {OffscreenCanvasRenderingContext2D} */ (
        this.bitmap.getContext("2d", { alpha: false })
      );
      this.from = this.to = 0;
    }
    const from = Math.max(ring.start, shown.end - this.width);
    const isNext = from >= this.from && from <= this.to && shown.end >= this.to && this.to > 0;
    let first = isNext ? this.to : from;
    if (!isNext) this.notes = new Annotations();
    this.notes.extend(ring, first, shown.end, shown.trials, shown.binSeconds);
    this.notes.trim(from);
    if (!isNext && this.bitmapPen) {
      this.bitmapPen.fillStyle = INKS[this.theme].ground;
      this.bitmapPen.fillRect(0, 0, this.width, this.rows + STRIP);
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
    const image = new ImageData(n, rows + STRIP);
    const [ground, bar] = [table[0], pixelOf(INKS[this.theme].strip)];
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
      const high = Math.round((ring.totals[ring.slot(first + i)] / this.stripMaximum) * STRIP);
      for (let row = 0; row < STRIP; row += 1) {
        pixels[(rows + row) * n + i] = row >= STRIP - high ? bar : ground;
      }
    }
    return image;
  }

  /** @param {any} shown @param {number} columnPx */
  #marks(shown, columnPx) {
    const { pen, plot, scale, notes } = this;
    const ink = INKS[this.theme];
    const line = Math.max(1, Math.round(scale));
    const { gap, unobserved, perturbed, lost } = notes.spans;
    for (const { x, width } of this.#pieces(shown, gap, columnPx)) this.#hatch(x, width, ink.gap, 8);
    for (const { x, width } of this.#pieces(shown, unobserved, columnPx)) {
      pen.fillStyle = ink.unobserved;
      pen.fillRect(x, plot.top - 4 * line, width, 4 * line);
      this.#hatch(x, width, ink.unobserved, 16);
    }
    pen.fillStyle = ink.lost;
    for (const { x, width } of this.#pieces(shown, lost, columnPx)) {
      pen.fillRect(x, plot.top + plot.height, Math.max(width, 2), 5 * scale);
    }
    pen.fillStyle = ink.tint;
    for (const { x, width } of this.#pieces(shown, perturbed, columnPx)) {
      pen.fillRect(x, plot.top - 2 * line, Math.ceil(width), 2 * line);
    }
    pen.fillStyle = ink.trial;
    for (const column of notes.edges) {
      const x = Math.floor(this.#x(shown, column));
      // Above and below: a column may be one pixel wide, and a line through it would hide its counts.
      pen.fillRect(x, plot.top - 14 * scale, line, 14 * scale);
      pen.fillRect(x, plot.top + plot.height, line, 6 * scale);
    }
    pen.fillStyle = ink.break;
    for (const column of notes.breaks) pen.fillRect(Math.floor(this.#x(shown, column)), plot.top, line, plot.height);
    for (const each of notes.events) this.#event(this.#x(shown, each.column) + columnPx / 2, each.event, ink);
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

  /** Where spans are, px; in a sweep one that goes over the edge is two. @param {any} shown @param {readonly {from: number, to: number}[]} spans @param {number} columnPx */
  #pieces(shown, spans, columnPx) {
    const pieces = [];
    for (const span of spans) {
      for (let from = Math.max(span.from, this.from); from < span.to;) {
        const edge = shown.sweep ? from - (from % this.width) + this.width : span.to;
        const to = Math.min(span.to, edge);
        pieces.push({ x: this.#x(shown, from), width: (to - from) * columnPx });
        from = to;
      }
    }
    return pieces;
  }

  /** An event of a trial, above the raster: each kind has a shape. @param {number} x @param {number} event @param {any} ink */
  #event(x, event, ink) {
    const { pen, plot, scale } = this;
    const [y, half] = [plot.top - 8 * scale, 4 * scale];
    pen.fillStyle = pen.strokeStyle = ink.event;
    pen.lineWidth = 1.5 * scale;
    pen.beginPath();
    if (event === 0) {
      pen.rect(x - half + scale, y - half + scale, 2 * (half - scale), 2 * (half - scale));
      pen.stroke();
      return;
    }
    if (event === 1) {
      pen.moveTo(x - half, y + half);
      pen.lineTo(x, y - half);
      pen.lineTo(x + half, y + half);
    } else pen.arc(x, y, half, 0, 7);
    pen.fill();
  }

  /** @param {number} x @param {number} width @param {string} colour @param {number} apart px of the page */
  #hatch(x, width, colour, apart) {
    const { pen, plot, scale } = this;
    pen.save();
    pen.beginPath();
    pen.rect(x, plot.top, width, plot.height);
    pen.clip();
    pen.strokeStyle = colour;
    pen.lineWidth = Math.max(1, scale);
    pen.beginPath();
    const step = apart * scale;
    for (let y = plot.top - width - step; y < plot.top + plot.height; y += step) {
      pen.moveTo(x, y);
      pen.lineTo(x + width, y + width);
    }
    pen.stroke();
    pen.restore();
  }

  /** @param {any} shown */
  #axes(shown) {
    const { pen, plot, scale, ring } = this;
    const columnPx = plot.width / this.width;
    const ink = INKS[this.theme];
    pen.fillStyle = ink.text;
    pen.font = this.area.font;
    pen.textBaseline = "middle";
    this.labels.draw(this, shown.unitIds, ink);
    this.#trialSpans(shown, ink);
    pen.textAlign = "center";
    const bottom = this.strip.top + this.strip.height;
    pen.fillStyle = ink.text;
    const secondPx = columnPx / (ring.binsPerColumn * shown.binSeconds);
    const every = TICK_SECONDS.find((each) => each * secondPx >= 60 * scale) ?? 60;
    let free = -Infinity;
    for (const { column, second, label: text } of this.notes.seconds) {
      const x = this.#x(shown, column);
      if (second % every !== 0 || x < plot.left || x > plot.left + plot.width) continue;
      pen.fillRect(x, bottom, Math.max(1, scale), 4 * scale);
      const edge = 16 * scale;
      const label = Math.min(Math.max(x, plot.left + edge), plot.left + plot.width - edge);
      // A seek may bring two of them close together.
      if (Math.abs(label - free) < 36 * scale) continue;
      free = label;
      pen.fillText(text, label, bottom + 12 * scale);
    }
  }

  /** A line for each trial, and its number where there is room. @param {any} shown @param {any} ink */
  #trialSpans(shown, ink) {
    const { pen, plot, scale } = this;
    const columnPx = plot.width / this.width;
    pen.textAlign = "left";
    const { font } = this.area;
    for (const span of this.notes.trials) {
      for (const { x, width } of this.#pieces(shown, [span], columnPx)) {
        const left = Math.max(x + scale, plot.left);
        const right = Math.min(x + width - scale, plot.left + plot.width);
        if (right <= left) continue;
        pen.fillStyle = ink.reaches[(span.reach ?? 0) % ink.reaches.length];
        pen.fillRect(left, plot.top - 16 * scale, right - left, 2 * scale);
        pen.fillStyle = ink.text;
        const room = right - left - 4 * scale;
        const text = span.labels.find((each) => this.widths.of(pen, font, each) < room);
        if (text) pen.fillText(text, left, plot.top - 23 * scale);
      }
    }
  }
}

/** The next of 1, 2, 5, 10, 20 and so on. @param {number} n */
function roundUp(n) {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, n)));
  return [1, 2, 5, 10].map((each) => each * power).find((each) => each >= n) ?? 10 * power;
}
