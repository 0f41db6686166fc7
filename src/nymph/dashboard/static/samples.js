// What the model makes of validation documents: words, sound as it is and as the model expects it, prosody, sentiment.

import { moment, percent, whole } from "/static/format.js";
import { curve, spectrogram } from "/static/pictures.js";
import { $, make } from "/static/panels.js";

const fetched = new Map(); // address -> sample
const MOST_FETCHED = 60;
let shown = "";
let wanted = null; // the step the user chose; null follows the newest
let latest = [];

export function showSamples(runs) {
  latest = runs;
  const events = runs.flatMap((run) => run.samples.map((event) => ({ ...event, run: run.name })));
  const steps = [...new Set(events.map((event) => event.step ?? 0))].sort((a, b) => a - b);
  $("samples").hidden = !steps.length;
  $("samples-link").hidden = !steps.length;
  if (!steps.length) return;
  const step = steps.includes(wanted) ? wanted : steps.at(-1);
  showSteps(steps, step);
  const chosen = events.filter((event) => (event.step ?? 0) === step);
  const key = JSON.stringify(chosen.map((event) => [event.run, event.seq]));
  if (key !== shown) { shown = key; fill(chosen); }
}

export function redrawSamples() {
  shown = "";
  showSamples(latest);
}

function showSteps(steps, step) {
  const slider = $("sample-step");
  Object.assign(slider, { max: steps.length - 1, disabled: steps.length < 2 });
  slider.value = steps.indexOf(step);
  slider.setAttribute("aria-valuetext", `step ${step}`);
  $("sample-step-value").textContent = `step ${whole(step)}`;
  slider.oninput = () => {
    const chosen = Number(slider.value);
    wanted = chosen === steps.length - 1 ? null : steps[chosen];
    showSamples(latest);
  };
}

async function fill(events) {
  const key = shown;
  const cards = await Promise.all(events.map(async (event) => card(event, await load(event))));
  if (key === shown) $("sample-list").replaceChildren(...cards);
}

async function load({ run, file }) {
  if (typeof file !== "string") return null;
  const address = `/api/runs/${encodeURIComponent(run)}/samples/${encodeURIComponent(file.split("/").at(-1))}`;
  if (!fetched.has(address)) {
    const answer = await fetch(address).catch(() => null);
    if (!answer?.ok) return null;
    if (fetched.size >= MOST_FETCHED) fetched.delete(fetched.keys().next().value);
    fetched.set(address, { ...(await answer.json()), address });
  }
  return fetched.get(address);
}

function card(event, sample) {
  const parts = [make("p", { className: "about", textContent: `${event.run} · ${moment(event.time)}` })];
  if (event.text) parts.push(make("p", { className: "words", textContent: event.text }));
  if (sample) parts.push(...words(sample), ...sound(sample), ...prosody(sample), ...sentiment(sample));
  else if (!event.text) parts.push(make("p", { className: "about", textContent: "made room for newer samples" }));
  return make("li", { className: "sample", children: parts });
}

const labelled = (label, ...children) => make("div", { className: "labelled", children: [make("h3", { textContent: label }), ...children] });

function words(sample) {
  const line = (label, textContent, className = "") => [make("dt", { textContent: label }), make("dd", { textContent, className })];
  return [make("dl", { className: "words", children: [...line("given", sample.prompt || "sound alone"),
    ...line("generated", sample.generated, "generated"), ...line("in truth", sample.expected)] })];
}

function sound({ recording, mel, address }) {
  const parts = [];
  if (recording) {
    const part = recording.start === null ? "" : `#t=${recording.start},${recording.end}`;
    parts.push(labelled("Recording", make("audio", { controls: true, preload: "none", src: `${address}/recording${part}`, ariaLabel: `recording ${recording.source}` }),
      make("span", { className: "about", textContent: recording.source + (part && ` · ${recording.start.toFixed(1)} to ${recording.end.toFixed(1)} s`) })));
  }
  if (mel) parts.push(labelled("Mel spectrogram", spectrogram(mel, "true", "as it is"), spectrogram(mel, "predicted", "as expected from the sound before")));
  return parts;
}

function prosody({ prosody: found }) {
  if (!found) return [];
  return [["Pitch (Hz)", "f0_hz"], ["Energy (dB)", "energy_db"]].map(([label, key]) =>
    labelled(label, curve(found.true[key], found.predicted[key], label)));
}

function sentiment({ sentiment: found }) {
  if (!found) return [];
  const rows = Object.entries(found.predicted).map(([label, share]) => make("li", { children: [
    make("span", { className: label === found.true ? "label true" : "label", textContent: label === found.true ? `${label} (true)` : label }),
    make("meter", { min: 0, max: 1, value: share, ariaLabel: `predicted share of ${label}` }),
    make("span", { className: "share", textContent: percent(Math.round(share * 100) / 100) }),
  ] }));
  return [labelled("Sentiment", make("ul", { className: "shares", children: rows }))];
}
