// The server's clock, as far as a page can know it.
//
// A figure of one's own brings back the time that the page has sent, so its way there and back is known; half of it is the
// way back. Of the last seconds the quickest way says most: what was slow waited somewhere, and nobody knows on which half.

const SAMPLES = 90;
const WRAP = 65536; // frames carry the lowest 16 bits of a time
const SLOWEST_MS = 5000;
const EASE = 0.1;

/** Now, in milliseconds since 1970, by this machine; it never goes back. */
export const now = () => performance.timeOrigin + performance.now();

export class Clock {
  #samples = [];
  offset = null; // the server's clock less ours
  roundTrip = null;

  /** The whole time, which comes once a second: right to within its way here. */
  said(time) {
    const offset = time - now();
    if (this.offset === null || Math.abs(offset - this.offset) > SLOWEST_MS) {
      this.offset = offset;
      this.#samples = [];
    }
  }

  /** What 16 bits of the server's time mean, which is near to now. */
  whole(time) {
    const base = Math.floor(this.server());
    return base + signed(time - base);
  }

  /** A figure of our own: when it was told, and what we had sent, by our clock. */
  echoed(time, echo) {
    const here = now();
    const way = signed(Math.floor(here) - echo);
    if (way < 0 || way > SLOWEST_MS) return;
    this.#samples.push({ way, offset: this.whole(time) + way / 2 - here });
    if (this.#samples.length > SAMPLES) this.#samples.shift();
    const best = this.#samples.reduce((one, other) => (other.way < one.way ? other : one));
    this.roundTrip = best.way;
    this.offset += (best.offset - this.offset) * (this.#samples.length < 5 ? 1 : EASE);
  }

  /** Whether it is known by ways there and back, or by what was said alone. */
  get isSet() {
    return this.#samples.length > 4;
  }

  /** Now, by the server's clock. */
  server() {
    return now() + (this.offset ?? 0);
  }
}

function signed(difference) {
  const found = ((difference % WRAP) + WRAP) % WRAP;
  return found < WRAP / 2 ? found : found - WRAP;
}
