/** Counts to colours: lightness rises (or falls, on light ground) evenly with the square root. */

const STOPS = {
  dark: ["#0c131b", "#15405a", "#1c7f92", "#57c9a6", "#d8ec8f", "#fffbe0"],
  light: ["#ffffff", "#bcdcec", "#62a8cf", "#2b6fb0", "#1f3f86", "#14163f"],
};

/** What else is drawn, by theme. All of it stands at 3:1 or more on its ground. */
export const INKS = {
  dark: {
    ground: "#0c131b", text: "#c3cfda", grid: "#2a3947", trial: "#8fa3b5", break: "#ffb454",
    gap: "#5b6b7a", lost: "#ff7b72", tint: "rgba(255,180,84,0.9)", hover: "#ffffff",
    trail: "#57c9a6", cursor: "#8ff0cd", target: "#ffb454", barrier: "#3c4d5e", old: "#3f6b66",
    decoded: ["#d2a8ff", "#79c0ff", "#ff9bce", "#e3b341"], error: "#ff7b72", head: "#ffffff",
    strip: "#4a90a4", event: "#ffd479", unobserved: "#8fa3b5",
    reaches: ["#57c9a6", "#ffb454", "#8ab8ff", "#d2a8ff", "#ff9bce", "#d8ec8f"],
  },
  light: {
    ground: "#ffffff", text: "#37424d", grid: "#dfe5ea", trial: "#66737f", break: "#9a5b00",
    gap: "#87939f", lost: "#b42318", tint: "rgba(154,91,0,0.9)", hover: "#000000",
    trail: "#0f7a5f", cursor: "#075e48", target: "#9a5b00", barrier: "#c2ccd5", old: "#a9cfc4",
    decoded: ["#6f42c1", "#0b63c5", "#b0297a", "#7d5a00"], error: "#b42318", head: "#000000",
    strip: "#4d86a8", event: "#8a5200", unobserved: "#66737f",
    reaches: ["#0b6e55", "#9a5b00", "#1d5fb8", "#6f42c1", "#b0297a", "#5c6b00"],
  },
};

/** The counts that the brightest colour stands for: the next of a few steps. @param {number} n */
export function scaleMaximum(n) {
  return [4, 8, 16, 32, 64, 128, 255].find((step) => n <= step) ?? 255;
}

/**
 * RGBA of each count from 0 to 255, as 32 bit pixels of ImageData.
 * @param {"dark" | "light"} theme
 * @param {number} maximum the count of the last colour
 */
export function colourTable(theme, maximum) {
  const table = new Uint32Array(256);
  for (let count = 0; count < 256; count += 1) {
    const [r, g, b] = colourAt(theme, Math.sqrt(Math.min(1, count / maximum)));
    table[count] = ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
  }
  return table;
}

/**
 * @param {"dark" | "light"} theme
 * @param {number} level 0 to 1
 * @returns {[number, number, number]} 0 to 255 each
 */
export function colourAt(theme, level) {
  const stops = STOPS[theme];
  const place = level * (stops.length - 1);
  const below = Math.min(stops.length - 2, Math.floor(place));
  const [from, to] = [channels(stops[below]), channels(stops[below + 1])];
  const part = place - below;
  const mix = (/** @type {number} */ i) => Math.round(from[i] + (to[i] - from[i]) * part);
  return [mix(0), mix(1), mix(2)];
}

/** A colour as a pixel of ImageData. @param {string} hex */
export function pixelOf(hex) {
  const [r, g, b] = channels(hex);
  return ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
}

/** @param {string} hex */
function channels(hex) {
  const value = parseInt(hex.slice(1), 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}
