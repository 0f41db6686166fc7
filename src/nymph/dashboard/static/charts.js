// The grid of charts: one card a metric, one colour a run, one dash a split; drawn only when something it shows changed.

import { byMetric, number, title, whole } from "/static/format.js";

export const COLOURS = ["#6e6ade", "#e5484d", "#12a594", "#f76b15", "#0090ff", "#d6409f", "#8d6e00", "#46a758", "#8e4ec6"];
const SECTIONS = [
  ["Learning", ["loss", "loss.", "accuracy", "perplexity", "learning_rate", "gradient_norm"]],
  ["Speed and machine", ["tokens_per_second", "mfu", "data_wait", "queue", "rows_per_second", "bytes_per_second", "memory_bytes", "use", "celsius"]],
  ["More", []],
];
const FRAME_MILLISECONDS = 12;
const HIDDEN = new Set(["tokens", "seconds"]);
const ONCE = /^(forecast|prediction)\//; // said once in a run: a chart of one point tells nothing
const SPLITS = ["train", "validation", "test"];
const DASHES = [[], [6, 4], [2, 3], [10, 3, 2, 3], [1, 2], [14, 4]];
const MOST_MARKS = 40;

// [section, place in it] of a metric.
function place(metric) {
  for (const [section, [, metrics]] of SECTIONS.entries()) {
    const at = metrics.findIndex((known) => (known.endsWith(".") ? metric.startsWith(known) : metric === known));
    if (at >= 0) return [section, at];
  }
  return [SECTIONS.length - 1, 0];
}

const dash = (group) => DASHES[(SPLITS.includes(group) ? SPLITS.indexOf(group) : Number(group.split(" ")[1]) || 0) % DASHES.length];

// "train/loss" is metric "loss" of group "train"; "machine/use.rank 1" is "use" of "rank 1"; an unknown group keeps its
// name in the title.
function split(name) {
  const cut = name.indexOf("/");
  const [group, metric] = [name.slice(0, cut), name.slice(cut + 1)];
  if (group === "machine") {
    const [head, rank] = metric.split(".");
    return [rank ?? "rank 0", head];
  }
  return SPLITS.includes(group) ? [group, metric] : ["train", `${group} ${metric}`];
}

// Exponential moving average with start-up correction (Adam's); gaps are passed over and stay gaps.
export function smooth(values, weight) {
  let mean = 0, seen = 0;
  return values.map((value) => {
    if (value === null) return null;
    mean = weight * mean + (1 - weight) * value;
    seen += 1;
    return mean / (1 - weight ** seen);
  });
}

// First and last step of all runs, so that every chart has the same axis; a run from its beginning starts at a round 0.
function extentOf(runs) {
  const ends = runs.flatMap((run) => [...run.series.values()].flatMap(({ steps }) => [steps[0], steps.at(-1)]));
  const [first, last] = [Math.min(...ends), Math.max(...ends)];
  return first < last ? [first < last / 20 ? 0 : first, last] : [undefined, undefined];
}

export class Charts {
  #cards = new Map();
  #headings = new Map();
  #grid;
  #dirty = new Set();
  #visible = new Set();
  #observer;
  #frame = 0;
  #spent = 0;

  constructor(grid, onZoom) {
    this.#grid = grid;
    this.onZoom = onZoom;
    this.#observer = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        this.#visible[isIntersecting ? "add" : "delete"](target);
      }
      this.#schedule();
    }, { rootMargin: "200px" });
  }

  // runs: [{name, colour, series: Map}]; view: {smoothing, log, range: [start, stop] | null}
  show(runs, view) {
    const metrics = new Map();
    for (const run of runs) {
      const ranks = run.series.has("machine/memory_bytes.rank 0");
      for (const [name, series] of run.series) {
        const [group, metric] = split(name);
        if (HIDDEN.has(metric) || ONCE.test(name) || (ranks && name === "train/memory_bytes")) continue;
        if (!metrics.has(metric)) metrics.set(metric, []);
        metrics.get(metric).push({ run, group, series });
      }
    }
    const extent = extentOf(runs);
    const names = [...metrics.keys()].sort((a, b) => {
      const [left, right] = [place(a), place(b)];
      return left[0] - right[0] || left[1] - right[1] || a.localeCompare(b);
    });
    for (const [name, card] of this.#cards) if (!metrics.has(name)) this.#remove(name, card);
    this.#arrange(names);
    for (const name of names) {
      this.#cards.get(name).give(metrics.get(name), { ...view, extent });
      this.#dirty.add(name);
    }
    this.#schedule();
  }

  redraw() {
    for (const [name, card] of this.#cards) { card.recolour(); this.#dirty.add(name); }
    this.#schedule();
  }

  // Headings and cards in order, moving only what is out of place: a moved canvas would be drawn anew.
  #arrange(names) {
    const wanted = names.flatMap((name, at) => {
      const section = place(name)[0];
      return at && place(names[at - 1])[0] === section ? [this.#card(name).element] : [this.#heading(section), this.#card(name).element];
    });
    for (const heading of this.#headings.values()) if (!wanted.includes(heading)) heading.remove();
    wanted.forEach((element, at) => {
      if (this.#grid.children[at] !== element) this.#grid.insertBefore(element, this.#grid.children[at] ?? null);
    });
  }

  #heading(section) {
    if (!this.#headings.has(section)) {
      this.#headings.set(section, Object.assign(document.createElement("h2"), { className: "section", textContent: SECTIONS[section][0] }));
    }
    return this.#headings.get(section);
  }

  #card(name) {
    if (!this.#cards.has(name)) {
      const card = new Card(name, this.onZoom);
      this.#cards.set(name, card);
      this.#observer.observe(card.element);
    }
    return this.#cards.get(name);
  }

  #remove(name, card) {
    this.#observer.unobserve(card.element);
    this.#visible.delete(card.element);
    this.#cards.delete(name);
    card.destroy();
  }

  #schedule() {
    if (!this.#frame) this.#frame = requestAnimationFrame(() => this.#draw());
  }

  // A few milliseconds a frame, so that many charts never hold up a click; what is out of sight waits.
  #draw() {
    this.#frame = 0;
    const start = performance.now();
    const due = [...this.#dirty].filter((name) => this.#visible.has(this.#cards.get(name)?.element));
    for (const name of due) {
      this.#cards.get(name).draw();
      this.#dirty.delete(name);
      if (performance.now() - start > FRAME_MILLISECONDS) break;
    }
    this.#spent += performance.now() - start;
    if (due.some((name) => this.#dirty.has(name))) this.#schedule();
    else if (due.length) this.#measure();
  }

  // Seen by the browser's performance panel and by the benchmark.
  #measure() {
    performance.clearMeasures("nymph:draw");
    performance.measure("nymph:draw", { start: 0, duration: this.#spent });
    this.#spent = 0;
  }
}

// A thin line where something was alerted, so that a kink can be told from its cause.
const MARKS = {
  id: "marks",
  beforeDatasetsDraw(chart, _, { steps }) {
    const { ctx: pen, chartArea: area, scales: { x } } = chart;
    pen.save();
    pen.strokeStyle = getComputedStyle(document.documentElement).getPropertyValue("--warn").trim();
    pen.globalAlpha = 0.4;
    for (const step of steps.slice(-MOST_MARKS)) {
      const at = x.getPixelForValue(step);
      if (at < area.left || at > area.right) continue;
      pen.beginPath();
      pen.moveTo(at, area.top);
      pen.lineTo(at, area.bottom);
      pen.stroke();
    }
    pen.restore();
  },
};

class Card {
  #chart = null;
  #lines = [];
  #view = {};

  constructor(metric, onZoom) {
    this.metric = metric;
    this.format = byMetric(metric);
    const [text, unit] = title(metric);
    this.element = document.createElement("article");
    this.element.className = metric === "loss" ? "chart wide" : "chart";
    const head = document.createElement("header");
    const heading = Object.assign(document.createElement("h3"), { textContent: text });
    this.key = Object.assign(document.createElement("div"), { className: "key" });
    const save = Object.assign(document.createElement("button"), { type: "button", className: "save", textContent: "PNG" });
    save.setAttribute("aria-label", `PNG of the chart ${text}`);
    save.addEventListener("click", () => this.#save());
    head.append(heading, Object.assign(document.createElement("span"), { className: "unit", textContent: unit ?? "" }), this.key, save);
    this.plot = Object.assign(document.createElement("div"), { className: "plot" });
    this.canvas = document.createElement("canvas");
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", `${text} by step`);
    this.plot.append(this.canvas);
    this.element.append(head, this.plot);
    this.text = text;
    this.#listen(onZoom);
  }

  give(lines, view) { this.#lines = lines; this.#view = view; }

  draw() {
    const chart = (this.#chart ??= this.#create());
    chart.data.datasets = this.#lines.flatMap((line) => this.#datasets(line));
    const { x, y } = chart.options.scales;
    [x.min, x.max] = this.#view.range ?? this.#view.extent;
    y.type = this.#view.log ? "logarithmic" : "linear";
    chart.options.plugins.marks = { steps: this.#view.marks ?? [] };
    chart.update("none");
    this.#describe();
  }

  recolour() {
    if (!this.#chart) return;
    this.#chart.destroy();
    this.#chart = null;
  }

  destroy() { this.#chart?.destroy(); this.element.remove(); }

  #datasets({ run, group, series }) {
    const { smoothing } = this.#view;
    const sparse = series.steps.length < 60 && group !== "train";
    const smoothed = smoothing > 0 && group === "train";
    const line = (values, width, colour, extra = {}) => ({
      label: group === "train" ? run.name : `${run.name} (${group})`,
      data: series.steps.map((step, i) => ({ x: step, y: values[i] })),
      borderColor: colour, backgroundColor: colour, borderWidth: width, borderDash: dash(group), borderJoinStyle: "bevel",
      pointRadius: sparse || series.steps.length === 1 ? 2.5 : 0, pointHitRadius: 0, pointHoverRadius: 4, ...extra,
    });
    if (!smoothed) return [line(series.values, 1.75, run.colour)];
    const raw = line(series.values, 1, `${run.colour}38`, { pointHoverRadius: 0, raw: true });
    return [raw, line(smooth(series.values, smoothing), 2, run.colour)];
  }

  #describe() {
    const groups = [...new Set(this.#lines.map((line) => line.group))].sort((a, b) => SPLITS.indexOf(a) - SPLITS.indexOf(b) || a.localeCompare(b));
    if (this.key.dataset.groups !== groups.join()) {
      this.key.dataset.groups = groups.join();
      const words = groups.length > 1 || SPLITS.indexOf(groups[0]) > 0 ? groups : [];
      this.key.replaceChildren(...words.map((word) => Object.assign(document.createElement("span"), {
        textContent: word, className: dash(word).length ? "dashed" : "" })));
    }
    const last = this.#lines.map(({ run, group, series }) => `${run.name} ${group} ${this.format(series.values.at(-1))}`);
    this.canvas.setAttribute("aria-label", `${this.text} by step; latest: ${last.join(", ")}`);
  }

  #create() {
    const style = getComputedStyle(document.documentElement);
    const [soft, line, card, text] = ["--soft", "--line", "--card", "--text"].map((name) => style.getPropertyValue(name).trim());
    const ticks = { color: soft, font: { size: 11 }, maxRotation: 0, autoSkipPadding: 14, includeBounds: false };
    const axis = { border: { display: false }, grid: { color: line, tickLength: 0 } };
    return new Chart(this.canvas, {
      type: "line",
      plugins: [MARKS],
      data: { datasets: [] },
      options: {
        animation: false, parsing: false, normalized: true, maintainAspectRatio: false, spanGaps: false,
        interaction: { mode: "nearest", axis: "x", intersect: false },
        scales: {
          x: { ...axis, type: "linear", grid: { display: false }, ticks: { ...ticks, padding: 6, callback: (step) => number(step) } },
          y: { ...axis, type: "linear", ticks: { ...ticks, padding: 8, maxTicksLimit: 6, callback: (value) => this.format(value) } },
        },
        plugins: {
          marks: { steps: [] },
          legend: { display: false },
          tooltip: {
            backgroundColor: card, titleColor: soft, bodyColor: text, borderColor: line, borderWidth: 1, padding: 10,
            cornerRadius: 8, boxWidth: 8, boxHeight: 8, usePointStyle: true, titleFont: { weight: "500" },
            filter: (item) => !item.dataset.raw,
            callbacks: {
              title: (items) => (items.length ? `Step ${whole(items[0].parsed.x)}` : ""),
              label: (item) => ` ${item.dataset.label}: ${this.format(item.parsed.y)}`,
            },
          },
        },
      },
    });
  }

  // Drag along the steps to zoom, double-click to return.
  #listen(onZoom) {
    let from = null, band = null;
    const at = (event) => event.clientX - this.canvas.getBoundingClientRect().left;
    this.canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || event.pointerType === "touch" || !this.#chart) return;
      from = at(event);
      this.canvas.setPointerCapture(event.pointerId);
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (from === null) return;
      band ??= this.plot.appendChild(Object.assign(document.createElement("div"), { className: "band" }));
      band.style.left = `${Math.min(from, at(event))}px`;
      band.style.width = `${Math.abs(at(event) - from)}px`;
    });
    const finish = (event) => {
      const [start, stop] = [Math.min(from, at(event)), Math.max(from, at(event))];
      band?.remove();
      if (from !== null && stop - start > 6 && event.type === "pointerup") {
        const scale = this.#chart.scales.x;
        onZoom([scale.getValueForPixel(start), scale.getValueForPixel(stop)]);
      }
      from = band = null;
    };
    this.canvas.addEventListener("pointerup", finish);
    this.canvas.addEventListener("pointercancel", finish);
    this.canvas.addEventListener("dblclick", () => onZoom(null));
  }

  #save() {
    this.draw();
    const picture = document.createElement("canvas");
    [picture.width, picture.height] = [this.canvas.width, this.canvas.height];
    const pen = picture.getContext("2d");
    pen.fillStyle = getComputedStyle(this.element).backgroundColor;
    pen.fillRect(0, 0, picture.width, picture.height);
    pen.drawImage(this.canvas, 0, 0);
    picture.toBlob((blob) => {
      const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: `${this.metric}.png` });
      link.click();
      URL.revokeObjectURL(link.href);
    });
  }
}
