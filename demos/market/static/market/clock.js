// What time it is for the feed. Asked over HTTP, so a slow line does not make it late.

const PROBES = 4;
const AGAIN_MS = 60_000;
const SOON_MS = 5_000; // where even the quickest answer took long
const LONG_MS = 50;

export class FeedClock {
  #url;
  #ahead = null; // of this browser's clock, in milliseconds
  #next = 0;

  constructor(url) {
    this.#url = url;
    setInterval(() => this.ask(), SOON_MS);
  }

  get isSet() {
    return this.#ahead !== null;
  }

  /** How many milliseconds ago this was, by the feed's clock. */
  age(at) {
    const age = Date.now() + (this.#ahead ?? 0) - at;
    if (age < 0 && this.isSet) this.#ahead -= age; // nothing comes from the future: the feed is further ahead than was thought
    return Math.max(0, age);
  }

  /** Of several answers the quickest tells most; half of its way is taken to be the way back. */
  async ask() {
    if (performance.now() < this.#next) return;
    this.#next = performance.now() + SOON_MS;
    let [best, ahead] = [Infinity, 0];
    for (let n = 0; n < PROBES; n += 1) {
      const begin = performance.now();
      const response = await fetch(this.#url).catch(() => null);
      if (!response?.ok) return;
      const took = performance.now() - begin;
      const { at } = await response.json();
      if (took < best) [best, ahead] = [took, at + took / 2 - Date.now()];
    }
    this.#ahead = ahead;
    if (best < LONG_MS) this.#next = performance.now() + AGAIN_MS;
  }
}
