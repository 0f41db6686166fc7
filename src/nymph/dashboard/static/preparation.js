// How far the latest Kedro run is, stage by stage; folded away once its data is ready.

import { duration, whole } from "/static/format.js";
import { $, make, render } from "/static/panels.js";

const TRAINED = new Set(["training", "evaluation"]);
const MARKS = { waiting: "○", running: "◐", done: "●", failed: "✕" };

export function showPreparation(preparation) {
  const stages = preparation?.stages ?? [];
  const section = $("preparation");
  section.hidden = !stages.some((stage) => !TRAINED.has(stage.name));
  if (section.hidden) return;
  const busy = preparation.status === "failed" || stages.some((stage) => stage.state === "running" && !TRAINED.has(stage.name));
  if (section.dataset.busy !== String(busy)) {
    section.dataset.busy = busy;
    section.open = busy;
  }
  render($("preparation-summary"), preparation, () => [headline(preparation, stages)]);
  render($("stages"), preparation, () => stages.map((stage) => stageItem(stage, preparation.seen)));
}

function headline({ status, began, seen, reason }, stages) {
  const done = stages.filter((stage) => stage.state === "done").length;
  const bad = stages.reduce((sum, stage) => sum + (stage.quarantined ?? 0), 0);
  const words = [`${done} of ${stages.length} stages`, status, duration(seen - began), bad && `${whole(bad)} quarantined`, reason];
  return words.filter(Boolean).join(" · ");
}

function stageItem(stage, now) {
  const finished = (stage.made ?? 0) + (stage.reused ?? 0) + (stage.quarantined ?? 0);
  const lines = [make("span", { className: "name", textContent: `${MARKS[stage.state] ?? ""} ${stage.name}` })];
  if (stage.items) {
    lines.push(make("progress", { max: stage.items, value: finished, ariaLabel: `progress of ${stage.name}` }));
    lines.push(make("span", { className: "about", textContent: counts(stage, finished) }));
  } else {
    lines.push(make("span", { className: "about", textContent: stage.state === "running" ? (stage.node ?? "").replaceAll("_", " ") : stage.state }));
  }
  if (stage.began && !(stage.state === "running" && TRAINED.has(stage.name))) lines.push(make("span", { className: "about", textContent: times(stage, finished, now) }));
  const item = make("li", { className: "stage", children: lines });
  item.dataset.state = stage.state;
  return item;
}

const counts = (stage, finished) => [`${whole(finished)} of ${whole(stage.items)}`, stage.reused && `${whole(stage.reused)} reused`,
  stage.quarantined && `${whole(stage.quarantined)} quarantined`].filter(Boolean).join(" · ");

// Time left from the items made so far; those taken over from an earlier run cost none.
function times(stage, finished, now) {
  const seconds = (stage.ended ?? now) - stage.began;
  if (stage.state !== "running" || !stage.made || finished >= stage.items) return duration(seconds);
  return `${duration(seconds)} · about ${duration(((stage.items - finished) * seconds) / stage.made)} left`;
}
