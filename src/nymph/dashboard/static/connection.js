// The WebSocket. It says what is watched and what is here already; after a restart of either side it asks for the rest.

const FIRST_DELAY = 500;
const LONGEST_DELAY = 10_000;

export class Connection {
  #socket = null;
  #delay = FIRST_DELAY;
  #wish;
  #onMessage;
  #onState;

  // wish() gives {run: [generation, seq] | null}; onMessage(message); onState("live" | "lost").
  constructor(wish, onMessage, onState) {
    this.#wish = wish;
    this.#onMessage = onMessage;
    this.#onState = onState;
    this.#open();
    window.addEventListener("online", () => this.#hurry());
    document.addEventListener("visibilitychange", () => document.hidden || this.#hurry());
  }

  watch() {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify({ watch: this.#wish() }));
  }

  #open() {
    const address = new URL("/live", location.href);
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    const socket = (this.#socket = new WebSocket(address));
    socket.onopen = () => { this.#delay = FIRST_DELAY; this.#onState("live"); this.watch(); };
    socket.onmessage = (event) => this.#onMessage(JSON.parse(event.data));
    socket.onclose = () => { this.#onState("lost"); this.#again(); };
  }

  #again() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#open(), this.#delay * (0.5 + Math.random() / 2));
    this.#delay = Math.min(LONGEST_DELAY, this.#delay * 2);
  }

  // A laptop that wakes up should not wait for its turn.
  #hurry() {
    if (this.#socket?.readyState !== WebSocket.CLOSED) return;
    clearTimeout(this.timer);
    this.#delay = FIRST_DELAY;
    this.#open();
  }
}
