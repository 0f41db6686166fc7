// Everything on the page that is words: the list of runs, the selected run's numbers, alerts, checkpoints, samples.

import { bytes, duration, moment, number, percent, whole } from "/static/format.js";

export const $ = (id) => document.getElementById(id);

// An element with text and children; text is only ever text.
export function make(tag, { children = [], ...properties } = {}) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

// Replaces an element's children only when what they are made from has changed, so focus and scrolling stay.
export function render(element, from, build) {
  const key = JSON.stringify(from);
  if (element.dataset.from === key) return;
  element.dataset.from = key;
  element.replaceChildren(...build());
}

const share = (run) => (run.total_steps ? Math.min(1, run.step / run.total_steps) : 0);

function left(run) {
  if (run.left === null || run.status === "silent") return "";
  const error = run.left_error > 1 ? ` ± ${duration(run.left_error)}` : "";
  return `${duration(run.left)}${error} left`;
}

function steps(run) {
  return run.total_steps ? `${whole(run.step)} of ${whole(run.total_steps)}` : `step ${whole(run.step)}`;
}

export function showRuns(runs, chosen, colour, toggle) {
  const list = $("runs");
  const known = new Map([...list.children].map((item) => [item.dataset.run, item]));
  for (const [name, item] of known) if (!runs.some((run) => run.name === name)) item.remove();
  runs.forEach((run, place) => {
    let item = known.get(run.name);
    if (!item) {
      item = make("li", { children: [make("button", { type: "button", className: "run" })] });
      item.dataset.run = run.name;
      item.firstChild.addEventListener("click", () => toggle(run.name));
    }
    if (list.children[place] !== item) list.insertBefore(item, list.children[place] ?? null);
    const button = item.firstChild;
    button.setAttribute("aria-pressed", chosen.has(run.name));
    button.style.setProperty("--run", colour(run.name));
    render(button, [run.status, run.step, run.total_steps, run.latest["train/loss"], left(run)], () => runParts(run));
  });
}

function runParts(run) {
  const state = make("span", { className: "state", textContent: run.status });
  state.dataset.status = run.status;
  const words = [steps(run), `loss ${number(run.latest["train/loss"])}`];
  const about = make("span", { className: "about", children: [state, ...words.map((text) => make("span", { textContent: text }))] });
  return [
    make("span", { className: "swatch", ariaHidden: "true" }),
    make("span", { className: "name", textContent: run.name }),
    about,
    ...(run.status === "running" ? [make("progress", { max: 1, value: share(run), ariaLabel: `progress of ${run.name}` })] : []),
  ];
}

export function showFocus(run, colour, actions) {
  const focus = $("focus");
  focus.hidden = !run;
  if (!run) return;
  focus.style.setProperty("--run", colour);
  const { samples, checkpoints, alerts, ...shown } = run;
  render(focus, shown, () => {
    const state = make("span", { className: "state", textContent: run.status });
    state.dataset.status = run.status;
    const about = [
      run.parameters && `${number(run.parameters)} parameters`, run.device, run.world > 1 && `${run.world} processes`,
      run.resumes > 0 && `resumed ${run.resumes}×`, run.reason,
    ].filter(Boolean).join(" · ");
    const title = make("div", { className: "title", children: [
      make("h2", { textContent: run.name }), state, make("span", { className: "about", textContent: about }),
      make("span", { className: "actions", children: actions(run) }),
      make("a", { className: "button", href: `/api/runs/${encodeURIComponent(run.name)}/metrics.csv`, textContent: "CSV", download: "" }),
    ] });
    const elapsed = run.seen - run.began;
    const times = make("div", { className: "times", children: [
      `Step ${steps(run)}${run.total_steps ? ` (${(100 * share(run)).toFixed(1)} %)` : ""}`,
      `began ${moment(run.began)} · ${duration(elapsed)} so far`, left(run) || `last heard ${moment(run.seen)}`,
    ].map((text) => make("span", { textContent: text })) });
    const bar = make("progress", { max: 1, value: share(run), ariaLabel: `progress of ${run.name}` });
    return [title, bar, times, make("dl", { className: "tiles", children: tiles(run) })];
  });
}

function tiles(run) {
  const value = (name) => run.latest[name];
  return [
    ["Loss", number(value("train/loss"))],
    ["Validation loss", number(value("validation/loss"))],
    ["Accuracy", percent(value("validation/accuracy"))],
    ["Tokens per second", number(value("train/tokens_per_second"))],
    ["Learning rate", number(value("train/learning_rate"))],
    ["Gradient norm", number(value("train/gradient_norm"))],
    ["Waiting for data", percent(value("train/data_wait"))],
    ["Memory", value("train/memory_bytes") === undefined ? null : bytes(value("train/memory_bytes"))],
  ].filter(([, text]) => text !== null && text !== "–").map(([name, text, unit]) =>
    make("div", { className: "tile", children: [
      make("dt", { textContent: name }),
      make("dd", { children: [text, ...(unit ? [make("small", { textContent: ` ${unit}` })] : [])] }),
    ] }));
}

// How the chosen runs stand, side by side.
export function showComparison(runs, colour) {
  $("comparison").hidden = runs.length < 2;
  render($("comparison-rows"), runs.map(({ name, step, status, latest }) => [name, step, status, latest]), () => runs.map((run) => {
    const swatch = make("span", { className: "swatch", ariaHidden: "true" });
    swatch.style.setProperty("--run", colour(run.name));
    const value = (name, format = number) => format(run.latest[name]);
    const cells = [steps(run), run.status, value("train/loss"), value("validation/loss"), value("validation/accuracy", percent),
      value("validation/perplexity"), value("train/tokens_per_second")];
    return make("tr", { children: [make("th", { scope: "row", children: [swatch, run.name] }),
      ...cells.map((text) => make("td", { textContent: text }))] });
  }));
}

const newest = (runs, key) => runs.flatMap((run) => run[key].map((event) => ({ ...event, run: run.name })))
  .sort((a, b) => b.time - a.time).slice(0, 60);

const where = (event) => `${event.run} · step ${whole(event.step ?? 0)} · ${moment(event.time)}`;

export function showEvents(runs) {
  const [alerts, checkpoints] = ["alerts", "checkpoints"].map((key) => newest(runs, key));
  $("alerts").hidden = !alerts.length;
  render($("alert-list"), alerts, () => alerts.map((event) => make("li", { className: "alert", children: [
    make("strong", { textContent: `${event.rule ?? "alert"} ` }), event.message ?? "",
    make("span", { className: "about", textContent: where(event) }),
  ] })));
  $("checkpoints").hidden = !checkpoints.length;
  const best = new Set(runs.map((run) => run.checkpoints.findLast((event) => event.best)?.seq));
  render($("checkpoint-rows"), checkpoints, () => checkpoints.map((event) => checkpointRow(event, best.has(event.seq))));
}

function checkpointRow(event, best) {
  const step = make("td", { textContent: whole(event.step ?? 0) });
  if (best) step.append(make("span", { className: "best", textContent: "best" }));
  const cells = [event.run, step, bytes(event.bytes), duration(event.seconds), event.path ?? ""];
  return make("tr", { children: cells.map((cell) => (cell instanceof Node ? cell : make("td", { textContent: cell }))) });
}

// What answers "why is this run better": only the settings in which the chosen runs are not alike.
export function showSettings(runs, settings) {
  const known = runs.filter((run) => settings.has(run.name));
  const keys = [...new Set(known.flatMap((run) => Object.keys(settings.get(run.name))))].sort();
  const rows = keys.map((key) => [key, ...known.map((run) => settings.get(run.name)[key] ?? "–")])
    .filter(([, first, ...others]) => others.some((value) => value !== first));
  $("settings").hidden = known.length < 2 || !rows.length;
  const names = known.map((run) => run.name);
  render($("settings-head"), names, () => ["Setting", ...names].map((text) => make("th", { scope: "col", textContent: text })));
  render($("settings-rows"), rows, () => rows.map((cells) =>
    make("tr", { children: cells.map((text) => make("td", { textContent: text })) })));
}
