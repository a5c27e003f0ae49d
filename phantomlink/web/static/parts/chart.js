/** Small charts as SVG with a text: bars and lines, with axes. */

import { html } from "../vendor/preact.js";
import { number } from "../core/format.js";

const WIDE = 400;
/** Of a chart beside another one. */
export const HALF = 200;
const H = 150;
const PAD = { left: 40, right: 8, top: 20, bottom: 36 };

/**
 * @param {object} props
 * @param {string} props.label what a screen reader says of it
 * @param {number[]} props.x positions, ascending
 * @param {{name: string, values: (number | null)[], kind?: "bars" | "line" | "steps", className?: string}[]} props.series
 * @param {string} props.xLabel @param {string} props.yLabel
 * @param {[string, number][]} [props.ticks] of the x axis; else its ends and middle
 * @param {number | null} [props.mark] a vertical line
 * @param {[string, number][]} [props.yTicks] of the y axis; else 0 and the largest value
 * @param {number} [props.width] in units of its text
 * @param {string} [props.empty] what is said where there is nothing to draw
 */
export function Chart({ label, x, series, xLabel, yLabel, ticks, mark = null, yTicks, width: W = WIDE, empty }) {
  const all = series.flatMap((each) => each.values).filter((v) => v !== null && Number.isFinite(v));
  if (empty && !all.some((value) => Number(value) > 0)) return html`<p class="dim small">${empty}</p>`;
  const most = Math.max(1e-9, ...all.map(Number), ...(yTicks ?? []).map(([, value]) => value));
  const step = x.length > 1 ? x[1] - x[0] : 1;
  const [from, to] = [x[0] ?? 0, (x[x.length - 1] ?? 1) + step];
  const px = (/** @type {number} */ value) => PAD.left + ((value - from) / (to - from)) * (W - PAD.left - PAD.right);
  const py = (/** @type {number} */ value) => H - PAD.bottom - (value / most) * (H - PAD.top - PAD.bottom);
  const marks = ticks ?? [from, (from + to) / 2, to].map((v) => /** @type {[string, number]} */ ([number(v, 2), v]));
  return html`<figure class="chart">
    <svg viewBox="0 0 ${W} ${H}" role="img" aria-label=${label}>
      <line class="axis" x1=${PAD.left} y1=${py(0)} x2=${W - PAD.right} y2=${py(0)} />
      <line class="axis" x1=${PAD.left} y1=${PAD.top} x2=${PAD.left} y2=${py(0)} />
      ${(yTicks ?? [["0", 0], [number(most, most < 10 ? 1 : 0), most]]).map(([text, value]) => html`<text x=${PAD.left - 4} y=${py(Number(value)) + (value === 0 ? 0 : 4)} text-anchor="end">${text}</text>
        ${value !== 0 && html`<line class="rule" x1=${PAD.left} x2=${W - PAD.right} y1=${py(Number(value))} y2=${py(Number(value))} />`}`)}
      ${marks.map(([text, value]) => html`<text x=${px(value)} y=${H - PAD.bottom + 14} text-anchor=${px(value) > W - 24 ? "end" : "middle"}>${text}</text>`)}
      <text class="name" x=${W - PAD.right} y=${H - 5} text-anchor="end">${xLabel}</text>
      <text class="name" x=${PAD.left - 4} y="10">${yLabel}</text>
      ${mark !== null && html`<line class="mark" x1=${px(mark)} x2=${px(mark)} y1=${PAD.top} y2=${py(0)} />`}
      ${series.map((each, i) => html`<path class="series s${i} ${each.kind ?? "line"}" d=${path(x, each, px, py, step)} />`)}
    </svg>
    ${series.length > 1 && html`<figcaption>${series.map((each, i) => html`<span class="key s${i}">${each.name}</span>`)}</figcaption>`}
  </figure>`;
}

/** @param {number[]} x @param {any} series @param {(v: number) => number} px @param {(v: number) => number} py @param {number} step */
function path(x, series, px, py, step) {
  const parts = [];
  let isDown = false;
  const isBars = series.kind === "bars";
  x.forEach((at, i) => {
    const value = series.values[i];
    if (value === null || !Number.isFinite(value)) {
      isDown = false;
      return;
    }
    if (isBars) parts.push(`M${px(at)} ${py(0)}V${py(value)}H${px(at + step * 0.9)}V${py(0)}Z`);
    else if (series.kind === "steps") parts.push(`${isDown ? "L" : "M"}${px(at)} ${py(value)}H${px(at + step)}`);
    else parts.push(`${isDown ? "L" : "M"}${px(at + step / 2)} ${py(value)}`);
    isDown = true;
  });
  return parts.join("");
}
