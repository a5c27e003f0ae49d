/** Texts beside the raster, so kept that a frame neither measures nor sets what it has had before. */

const MOST_WIDTHS = 500;

/** Widths of texts in the font of the axes. */
export class TextWidths {
  constructor() {
    this.font = "";
    /** px by text. @type {Map<string, number>} */
    this.widths = new Map();
  }

  /** @param {OffscreenCanvasRenderingContext2D} pen @param {string} font of the pen @param {string} text @returns {number} px */
  of(pen, font, text) {
    let width = font === this.font ? this.widths.get(text) : undefined;
    if (width === undefined) {
      if (font !== this.font || this.widths.size > MOST_WIDTHS) this.widths.clear();
      this.font = font;
      width = pen.measureText(text).width;
      this.widths.set(text, width);
    }
    return width;
  }
}

/** The ids of the units, as a picture that is made anew when one of them or its place changes. */
export class UnitLabels {
  constructor() {
    /** @type {OffscreenCanvas | null} */
    this.picture = null;
    this.key = "";
    /** @type {readonly number[]} */
    this.units = [];
  }

  /**
   * @param {import("./raster.js").Raster} raster
   * @param {readonly number[]} unitIds of all rows
   * @param {any} ink
   */
  draw(raster, unitIds, ink) {
    const { pen, canvas, plot, units } = raster;
    const key = `${raster.key}/${raster.scale}/${canvas.width}/${canvas.height}`;
    if (this.picture === null || this.key !== key || this.units !== units) {
      this.key = key;
      this.units = units;
      this.picture = new OffscreenCanvas(plot.left, canvas.height);
      this.#make(raster, unitIds, ink);
    }
    pen.drawImage(this.picture, 0, 0);
  }

  /** @param {import("./raster.js").Raster} raster @param {readonly number[]} unitIds @param {any} ink */
  #make(raster, unitIds, ink) {
    const { plot, scale, rows, units, perRow, strip } = raster;
    const pen = /** @type {OffscreenCanvasRenderingContext2D} */ (
      /** @type {OffscreenCanvas} */ (this.picture).getContext("2d", { alpha: false })
    );
    pen.fillStyle = ink.ground;
    pen.fillRect(0, 0, plot.left, raster.canvas.height);
    pen.fillStyle = ink.text;
    pen.font = raster.pen.font;
    pen.textBaseline = "middle";
    pen.textAlign = "right";
    const labels = Math.max(2, Math.floor(plot.height / (22 * scale)));
    const step = Math.max(1, Math.ceil(rows / labels));
    for (let row = 0; row < rows && units.length > 0; row += step) {
      const y = plot.top + ((row + 0.5) / rows) * plot.height;
      pen.fillText(String(unitIds[units[row * perRow]]), plot.left - 6 * scale, y);
    }
    pen.fillText("all", plot.left - 6 * scale, strip.top + strip.height / 2);
  }
}
