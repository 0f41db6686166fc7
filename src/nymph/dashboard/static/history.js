// What this page knows: each run's summary and, for watched runs, its points. Bounded: a long tail is asked for anew.

const MOST_POINTS = 6000;

export class History {
  runs = new Map(); // name -> summary
  preparation = null; // stages of the latest Kedro run
  points = new Map(); // name -> {generation, seq, series: Map(metric -> {steps, values})}

  // Takes a message of the feed in; gives the names of the runs whose points changed.
  take(message) {
    const names = new Set(message.names);
    for (const name of [...this.runs.keys()]) {
      if (!names.has(name)) { this.runs.delete(name); this.points.delete(name); }
    }
    for (const summary of message.runs) this.runs.set(summary.name, summary);
    if (message.preparation) this.preparation = message.preparation;
    for (const part of message.points) this.#add(part);
    return message.points.map((part) => part.run);
  }

  place(name) {
    const known = this.points.get(name);
    return known ? [known.generation, known.seq] : null;
  }

  forget(name) { this.points.delete(name); }

  // Runs whose points have grown beyond what a chart can show; forget them, and the server sends a fresh picture.
  overfull() {
    return [...this.points].filter(([, run]) => [...run.series.values()].some((one) => one.steps.length > MOST_POINTS))
      .map(([name]) => name);
  }

  #add(part) {
    let known = this.points.get(part.run);
    if (!known || part.reset) this.points.set(part.run, (known = { series: new Map() }));
    known.generation = part.generation;
    known.seq = part.seq;
    for (const [metric, [steps, values]] of Object.entries(part.series)) {
      const series = known.series.get(metric);
      if (!series) { known.series.set(metric, { steps, values }); continue; }
      for (let i = 0; i < steps.length; i += 1) { series.steps.push(steps[i]); series.values.push(values[i]); }
    }
  }
}
