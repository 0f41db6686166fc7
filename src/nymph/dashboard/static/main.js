// Ties the page together: what is chosen and how it is shown (kept in this browser), the feed, the charts, the keyboard.

import { Charts, COLOURS } from "/static/charts.js";
import { Connection } from "/static/connection.js";
import { History } from "/static/history.js";
import { actionsOf, startSession, tellAlerts } from "/static/control.js";
import { showComparison, showEvents, showFocus, showRuns, showSettings } from "/static/panels.js";
import { showPreparation } from "/static/preparation.js";
import { redrawSamples, showSamples } from "/static/samples.js";

const $ = (id) => document.getElementById(id);
const MOST_WATCHED = 9;
const DETAIL_EVERY = 1500;

const remembered = JSON.parse(localStorage.getItem("nymph") ?? "{}");
const view = { smoothing: remembered.smoothing ?? 0, log: remembered.log ?? false, range: null };
let theme = remembered.theme ?? null;
let paused = false;
let followNewest = true; // until the user chooses
const chosen = new Set();
const colours = new Map();
const history = new History();
const settings = new Map(); // run -> {flat name: text}
const charts = new Charts($("charts"), zoom);
let details = new Map(); // run -> Map(metric -> series) within view.range
let detailsAt = 0;

const connection = new Connection(
  () => Object.fromEntries([...chosen].map((name) => [name, history.place(name)])),
  receive,
  (state) => {
    $("connection").dataset.state = state;
    $("connection").textContent = state === "live" ? "live" : "connection lost, trying again";
  },
);

function receive(message) {
  const changed = history.take(message);
  for (const name of [...chosen]) if (!history.runs.has(name)) chosen.delete(name);
  chooseNewest();
  const overfull = history.overfull();
  overfull.forEach((name) => history.forget(name));
  if (overfull.length) connection.watch();
  if (view.range && changed.length) fetchDetails();
  if (!paused) show();
}

// Without a choice of the user's, the page shows the run that was heard from last.
function chooseNewest() {
  if (!followNewest || !history.runs.size) return;
  const newest = ordered()[0].name;
  if (chosen.size === 1 && chosen.has(newest)) return;
  chosen.clear();
  chosen.add(newest);
  connection.watch();
}

function ordered() {
  return [...history.runs.values()].sort((a, b) => (b.began ?? 0) - (a.began ?? 0) || a.name.localeCompare(b.name));
}

function colour(name) {
  if (!colours.has(name)) {
    const taken = new Set(colours.values());
    colours.set(name, COLOURS.find((free) => !taken.has(free)) ?? COLOURS[colours.size % COLOURS.length]);
  }
  return colours.get(name);
}

function toggle(name) {
  followNewest = false;
  if (!chosen.delete(name)) {
    if (chosen.size >= MOST_WATCHED) chosen.delete(chosen.values().next().value);
    chosen.add(name);
  }
  connection.watch();
  if (view.range) fetchDetails();
  show();
}

function show() {
  const runs = ordered();
  [...runs].reverse().forEach((run) => colour(run.name));
  const selected = runs.filter((run) => chosen.has(run.name));
  $("welcome").hidden = runs.length > 0;
  showRuns(runs, chosen, colour, toggle);
  showFocus(selected[0], selected[0] && colour(selected[0].name), actionsOf);
  showPreparation(history.preparation);
  showComparison(selected, colour);
  showEvents(selected);
  showSamples(selected);
  tellAlerts(runs);
  showSettings(selected, settings);
  fetchSettings(selected);
  showCharts();
}

// Settings never change within a run, so each is asked for once, and only when there is something to compare with.
async function fetchSettings(selected) {
  const missing = selected.length > 1 ? selected.filter((run) => !settings.has(run.name)) : [];
  for (const { name } of missing) {
    settings.set(name, {});
    const answer = await fetch(`/api/runs/${encodeURIComponent(name)}/settings`).catch(() => null);
    if (answer?.ok) settings.set(name, await answer.json());
    else settings.delete(name);
  }
  if (missing.length) showSettings(selected, settings);
}

function showCharts() {
  const lines = ordered().filter((run) => chosen.has(run.name)).map(({ name }) => ({
    name, colour: colour(name), series: (view.range && details.get(name)) || history.points.get(name)?.series || new Map(),
  }));
  const marks = lines.flatMap(({ name }) => history.runs.get(name)?.alerts.map((event) => event.step ?? 0) ?? []);
  charts.show(lines, { ...view, marks });
}

function zoom(range) {
  view.range = range && range[1] - range[0] > 1e-9 ? range : null;
  details = new Map();
  detailsAt = 0;
  $("reset").hidden = !view.range;
  if (view.range) fetchDetails();
  showCharts();
}

// The history is a picture in 1200 points; a zoomed stretch is fetched again, as fine as it can be shown.
async function fetchDetails() {
  if (Date.now() - detailsAt < DETAIL_EVERY) return;
  detailsAt = Date.now();
  const range = view.range;
  const found = await Promise.all([...chosen].map(async (name) => {
    const answer = await fetch(`/api/runs/${encodeURIComponent(name)}/series?start=${range[0]}&stop=${range[1]}`);
    const series = answer.ok ? (await answer.json()).series : {};
    return [name, new Map(Object.entries(series).map(([metric, [steps, values]]) => [metric, { steps, values }]))];
  })).catch(() => []);
  if (view.range !== range) return;
  details = new Map(found);
  if (!paused) showCharts();
}

function move(by, scale) {
  const steps = ordered().filter((run) => chosen.has(run.name)).map((run) => run.step);
  const [start, stop] = view.range ?? [0, Math.max(1, ...steps)];
  const width = (stop - start) * scale;
  const middle = (start + stop) / 2 + by * width;
  zoom(scale > 1 && width > Math.max(...steps) ? null : [Math.max(0, middle - width / 2), middle + width / 2]);
}

function remember() {
  localStorage.setItem("nymph", JSON.stringify({ smoothing: view.smoothing, log: view.log, theme }));
}

function setSmoothing(value) {
  view.smoothing = Math.min(0.99, Math.max(0, value));
  $("smoothing").value = view.smoothing;
  $("smoothing-value").textContent = view.smoothing ? view.smoothing.toFixed(2) : "off";
  remember();
  showCharts();
}

function setLog(on) {
  view.log = on;
  $("log").setAttribute("aria-pressed", on);
  remember();
  showCharts();
}

function setPaused(on) {
  paused = on;
  $("pause").setAttribute("aria-pressed", on);
  $("pause").textContent = on ? "Resume" : "Pause";
  if (!on) show();
}

function setTheme(name) {
  theme = name;
  if (theme) document.documentElement.dataset.theme = theme;
  remember();
  redraw();
}

function redraw() {
  charts.redraw();
  redrawSamples();
}

const isDark = () => getComputedStyle(document.documentElement).colorScheme === "dark";
const KEYS = {
  l: () => setLog(!view.log), p: () => setPaused(!paused), t: () => setTheme(isDark() ? "light" : "dark"),
  s: () => setSmoothing(view.smoothing + 0.1), S: () => setSmoothing(view.smoothing - 0.1),
  "+": () => move(0, 0.5), "=": () => move(0, 0.5), "-": () => move(0, 2), ArrowLeft: () => move(-0.25, 1), ArrowRight: () => move(0.25, 1),
  0: () => zoom(null), Escape: () => zoom(null), "?": () => $("keys").showModal(),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, dialog *, .scroll")) return;
  const run = ordered()[Number(event.key) - 1];
  if (run) toggle(run.name);
  else if (KEYS[event.key]) { event.preventDefault(); KEYS[event.key](); }
});
$("smoothing").addEventListener("input", (event) => setSmoothing(Number(event.target.value)));
$("log").addEventListener("click", KEYS.l);
$("pause").addEventListener("click", KEYS.p);
$("theme").addEventListener("click", KEYS.t);
$("reset").addEventListener("click", KEYS[0]);
$("help").addEventListener("click", KEYS["?"]);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

setTheme(theme);
setLog(view.log);
setSmoothing(view.smoothing);
startSession();
