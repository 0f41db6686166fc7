// Numbers, times and names as people read them. Everything ends in textContent, never in HTML.

const UNITS = ["B", "kB", "MB", "GB", "TB"];

export function number(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  const size = Math.abs(value);
  if (size >= 1e4) return new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 4 }).format(value);
  if (size !== 0 && size <= 1e-3) return value.toExponential(2).replace(/\.?0*e-/, "e−");
  return new Intl.NumberFormat("en", { maximumSignificantDigits: 4 }).format(value);
}

export const whole = (value) => new Intl.NumberFormat("en").format(value);

export function bytes(value) {
  if (value === null || value === undefined) return "–";
  let unit = 0;
  while (value >= 1000 && unit < UNITS.length - 1) { value /= 1000; unit += 1; }
  return `${Number(value.toPrecision(3))} ${UNITS[unit]}`;
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 90) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

export const moment = (seconds) =>
  new Date(seconds * 1000).toLocaleString("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });

export const percent = (value) => (value === null || value === undefined ? "–" : `${new Intl.NumberFormat("en", { maximumFractionDigits: value < 0.1 ? 2 : 1 }).format(100 * value)} %`);

const SHARES = new Set(["data_wait", "use", "accuracy", "mfu"]);

export function byMetric(metric) {
  if (SHARES.has(metric)) return percent;
  if (metric === "bytes_per_second") return (value) => `${bytes(value)}/s`;
  if (metric === "celsius") return (value) => `${number(value)} °C`;
  return metric.endsWith("bytes") ? bytes : metric.endsWith("seconds") ? duration : number;
}

const TITLES = {
  loss: ["Loss"], accuracy: ["Accuracy"], perplexity: ["Perplexity"], learning_rate: ["Learning rate"],
  gradient_norm: ["Gradient norm"], tokens_per_second: ["Tokens per second"], data_wait: ["Waiting for data", "of a step"],
  memory_bytes: ["Memory"], mfu: ["Model FLOPs utilisation"], use: ["Use", "of GPU or cores"], celsius: ["Temperature"],
  queue: ["Read ahead", "steps"], rows_per_second: ["Rows read", "per second"], bytes_per_second: ["Rows read", "rate"],
};

// [title, small print] of a chart.
export function title(metric) {
  if (Object.hasOwn(TITLES, metric)) return TITLES[metric]; // a log may name a metric __proto__
  const [head, ...rest] = metric.split(".");
  const words = (text) => text.replaceAll("_", " ");
  if (head === "loss" && rest.length) return [`Loss: ${words(rest.join("."))}`];
  const text = words(metric);
  return [text.charAt(0).toUpperCase() + text.slice(1)];
}
