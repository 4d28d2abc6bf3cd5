// What time it is for the feed. Asked over HTTP, so a slow line does not make it late.

const PROBES = 4;
const AGAIN_MS = 60_000;

export class FeedClock {
  #url;
  #ahead = null; // of this browser's clock, in milliseconds
  #asked = -Infinity;

  constructor(url) {
    this.#url = url;
    setInterval(() => this.ask(), AGAIN_MS);
  }

  get isSet() {
    return this.#ahead !== null;
  }

  /** How many milliseconds ago this was, by the feed's clock. */
  age(at) {
    return Math.max(0, Date.now() + (this.#ahead ?? 0) - at);
  }

  /** Of several answers the quickest tells most; half of its way is taken to be the way back. */
  async ask() {
    if (performance.now() - this.#asked < AGAIN_MS / 2) return;
    this.#asked = performance.now();
    let best = Infinity;
    for (let n = 0; n < PROBES; n += 1) {
      const begin = performance.now();
      const response = await fetch(this.#url).catch(() => null);
      if (!response?.ok) return;
      const took = performance.now() - begin;
      const { at } = await response.json();
      if (took < best) [best, this.#ahead] = [took, at + took / 2 - Date.now()];
    }
  }
}
