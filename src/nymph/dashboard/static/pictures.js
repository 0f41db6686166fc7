// Spectrograms and curves of samples, drawn on plain canvases with their meaning in words beside them.

import { make } from "/static/panels.js";

// Viridis in nine stops (Smith and van der Walt): even steps of brightness, also for those who see colours otherwise.
const STOPS = [[68, 1, 84], [71, 44, 122], [59, 81, 139], [44, 113, 142], [33, 144, 141], [39, 173, 129], [92, 200, 99], [170, 220, 50], [253, 231, 37]];

function colour(level) {
  const at = (level / 255) * (STOPS.length - 1);
  const low = Math.min(Math.floor(at), STOPS.length - 2);
  return STOPS[low].map((value, i) => value + (at - low) * (STOPS[low + 1][i] - value));
}

const PALETTE = Array.from({ length: 256 }, (_, level) => colour(level));

// mel[side] is base64 of frames of `bins` bytes, low frequencies first; the picture has them at the bottom.
export function spectrogram(mel, side, label) {
  const levels = Uint8Array.from(atob(mel[side]), (character) => character.charCodeAt(0));
  const [width, height] = [Math.max(1, levels.length / mel.bins), mel.bins];
  const canvas = make("canvas", { width, height, className: "mel" });
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `mel spectrogram ${label}, ${width} frames of 10 ms`);
  const image = new ImageData(width, height);
  levels.forEach((level, i) => {
    const pixel = 4 * ((height - 1 - (i % height)) * width + Math.floor(i / height));
    image.data.set([...PALETTE[level], 255], pixel);
  });
  canvas.getContext("2d").putImageData(image, 0, 0);
  return make("figure", { children: [canvas, make("figcaption", { className: "about", textContent: label })] });
}

const WIDTH = 640, HEIGHT = 120, MARGIN = 6;

// What is (solid) and what the model makes of it (dashed), on one scale; gaps stay gaps.
export function curve(truth, guess, label) {
  const values = [...truth, ...guess].filter((value) => value !== null);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const canvas = make("canvas", { width: WIDTH, height: HEIGHT, className: "curve" });
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `${label}, true and predicted, from ${low.toFixed(0)} to ${high.toFixed(0)}`);
  const style = getComputedStyle(document.documentElement);
  const pen = canvas.getContext("2d");
  pen.lineWidth = 2.5;
  trace(pen, truth, low, high, style.getPropertyValue("--text").trim(), []);
  trace(pen, guess, low, high, style.getPropertyValue("--accent").trim(), [7, 5]);
  const key = make("figcaption", { className: "key about", children: [make("span", { textContent: "true" }),
    make("span", { className: "dashed", textContent: "predicted" }), `${low.toFixed(0)} to ${high.toFixed(0)}`] });
  return make("figure", { children: [canvas, key] });
}

function trace(pen, values, low, high, colour, dash) {
  const x = (i) => MARGIN + (i / Math.max(1, values.length - 1)) * (WIDTH - 2 * MARGIN);
  const y = (value) => HEIGHT - MARGIN - ((value - low) / Math.max(high - low, 1e-9)) * (HEIGHT - 2 * MARGIN);
  pen.strokeStyle = pen.fillStyle = colour;
  pen.setLineDash(dash);
  pen.beginPath();
  values.forEach((value, i) => {
    if (value === null) return;
    if (i && values[i - 1] !== null) pen.lineTo(x(i), y(value));
    else pen.moveTo(x(i), y(value));
    if ((values[i - 1] ?? null) === null && (values[i + 1] ?? null) === null) pen.fillRect(x(i) - 2, y(value) - 2, 4, 4);
  });
  pen.stroke();
}
