// The buttons that reach a trainer: each asks first, and whoever has not shown the key is asked for it once.

import { $, make } from "/static/panels.js";

const WORDS = {
  checkpoint: ["Save checkpoint", "Save a checkpoint?", "The trainer does it when the step it is at ends, and goes on. The checkpoint appears below once it is on disk."],
  stop: ["Stop", "Stop this run?", "The trainer ends when the step it is at does, with a checkpoint. Running the same command again continues from it."],
};
let mayCommand = false;
let pending = null; // {run, request}

export const actionsOf = (run) => (run.status !== "running" && run.status !== "silent" ? [] : Object.keys(WORDS).map((request) => {
  const button = make("button", { type: "button", textContent: WORDS[request][0], className: request === "stop" ? "danger" : "" });
  button.addEventListener("click", () => confirm(run.name, request));
  return button;
}));

// A link with #key=... shows the key to the server once and leaves nothing of it in the address bar.
export async function startSession() {
  const key = new URLSearchParams(location.hash.slice(1)).get("key");
  if (key) {
    history.replaceState(null, "", location.pathname);
    await show(key);
  }
  const answer = await fetch("/api/session").catch(() => null);
  mayCommand = answer?.ok ? (await answer.json()).may_command : false;
}

async function show(key) {
  const answer = await fetch("/login", { method: "POST", body: new URLSearchParams({ token: key }) }).catch(() => null);
  return Boolean(answer?.ok);
}

function confirm(run, request) {
  pending = { run, request };
  [, $("confirm-title").textContent, $("confirm-text").textContent] = WORDS[request];
  $("confirm-run").textContent = run;
  $("confirm-key-row").hidden = mayCommand;
  $("confirm-key").required = !mayCommand;
  $("confirm-key").value = "";
  $("confirm-problem").textContent = "";
  $("confirm-do").textContent = WORDS[request][0];
  $("confirm").showModal();
}

async function send(event) {
  event.preventDefault();
  if (!mayCommand) mayCommand = await show($("confirm-key").value);
  if (!mayCommand) return problem("That is not the key of this dashboard.");
  const { run, request } = pending;
  const answer = await fetch(`/api/runs/${encodeURIComponent(run)}/control`, { method: "POST", body: request }).catch(() => null);
  if (!answer?.ok) return problem(answer ? await answer.text() : "The dashboard cannot be reached.");
  $("confirm").close();
  notify(`${run}: ${request === "stop" ? "stops" : "saves a checkpoint"} when the step it is at ends`);
}

function problem(text) {
  $("confirm-problem").textContent = text;
}

let toastTimer = 0;
export function notify(text, className = "") {
  Object.assign($("toast"), { textContent: text, className: `toast ${className}`, hidden: false });
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { $("toast").hidden = true; }, 8000);
}

// Tells of alerts that were not there when the page was last shown.
const told = new Map(); // run -> seq of the newest alert known
export function tellAlerts(runs) {
  for (const run of runs) {
    const newest = run.alerts.at(-1);
    if (newest && told.has(run.name) && newest.seq > told.get(run.name)) notify(`${run.name}: ${newest.message ?? newest.rule}`, "warning");
    told.set(run.name, newest?.seq ?? -1);
  }
}

$("confirm-form").addEventListener("submit", send);
$("confirm-cancel").addEventListener("click", () => $("confirm").close());
