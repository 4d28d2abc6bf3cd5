// The grid: a row for each symbol, of which those on the screen are drawn, and the keys that move between them.

import { byId, element } from "../demo/page.js";

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT] = [96, 24];
const OLD_MS = 2000;
const DRAW_MS = 100; // faster than that nobody reads
const STRIDE = 10; // of Page Up and Page Down
export const money = (cents) => (cents / 100).toFixed(2);

export class Rows {
  #rows = new Map(); // symbol -> its row
  #seen = new Set();
  #followed = new Set();
  #dirty = new Set();
  #tell;
  #timer = 0;
  #current = null; // the one that Tab reaches

  constructor(companies, tell) {
    this.#tell = tell;
    for (const [symbol, name, sector, close] of companies) this.#rows.set(symbol, made({ symbol, name, sector, close }));
    byId("rows").append(...[...this.#rows.values()].map(({ line }) => line));
    const observer = new IntersectionObserver((entries) => this.#scrolled(entries), { root: byId("grid"), rootMargin: "64px 0px" });
    for (const { line } of this.#rows.values()) observer.observe(line);
    this.#reach(this.#rows.values().next().value);
    byId("rows").addEventListener("click", ({ target }) => {
      const line = target.closest("tr");
      if (line) this.choose(line.dataset.symbol);
    });
    byId("rows").addEventListener("keydown", (event) => this.#key(event));
  }

  /** The symbols on the screen, or just beside it: from now on these are followed. Of others nothing is known any more. */
  follow() {
    for (const row of this.#followed) if (!this.#seen.has(row)) blank(row);
    this.#followed = new Set(this.#seen);
    return [...this.#seen].map(({ symbol }) => symbol);
  }

  has(symbol) {
    return this.#rows.has(symbol);
  }

  /** From now on the first trade of each row may be old. */
  unfollow() {
    for (const row of this.#rows.values()) row.isFollowed = false;
  }

  /** A trade. Says whether it came while its row was followed; the first one of a row may be old. */
  quote({ symbol, price, volume, at }) {
    const row = this.#rows.get(symbol);
    if (!this.#followed.has(row)) return false; // it was on its way when the row went out of sight
    const { isFollowed } = row;
    row.isFollowed = true;
    if (row.at > at) return isFollowed;
    row.move = row.price === null || price === row.price ? row.move : price > row.price ? "up" : "down";
    Object.assign(row, { price, volume, at });
    this.#changed(row);
    return isFollowed;
  }

  /** What was before. */
  trend({ symbol, trend }) {
    const row = this.#rows.get(symbol);
    if (!this.#followed.has(row)) return;
    row.past = trend;
    this.#changed(row);
  }

  /** Writes the age of what is on the screen beside it, by `age(at)`, and says which is the greatest. */
  aged(age) {
    let oldest = null;
    const place = byId("grid").getBoundingClientRect();
    for (const row of this.#seen) {
      if (row.at === 0) continue;
      const ms = age(row.at);
      row.cells.age.textContent = `${(ms / 1000).toFixed(ms < 9950 ? 1 : 0)} s`;
      row.line.classList.toggle("old", ms > OLD_MS);
      const { top, bottom } = row.line.getBoundingClientRect();
      if (bottom > place.top && top < place.bottom) oldest = Math.max(oldest, ms);
    }
    return oldest;
  }

  /** Shows what is called or stands for this; says how many. */
  filter(said, sector) {
    const wanted = said.trim().toLowerCase();
    let found = 0;
    for (const row of this.#rows.values()) {
      const fits = (!sector || row.sector === sector) && row.words.includes(wanted);
      row.line.hidden = !fits;
      found += fits;
    }
    byId("grid").scrollTop = 0;
    if (this.#current?.line.hidden) this.#reach(this.#shown[0] ?? this.#current);
    return found;
  }

  choose(symbol) {
    const row = this.#rows.get(symbol);
    if (!row) return;
    for (const { line, button } of this.#rows.values()) {
      line.classList.toggle("chosen", line === row.line);
      button.setAttribute("aria-pressed", line === row.line);
    }
    this.#reach(row);
    row.line.scrollIntoView({ block: "nearest" });
    this.#tell.chosen(row);
  }

  get #shown() {
    return [...this.#rows.values()].filter(({ line }) => !line.hidden);
  }

  #scrolled(entries) {
    for (const { target, isIntersecting } of entries) {
      const row = this.#rows.get(target.dataset.symbol);
      row.isFollowed = false;
      row.line.classList.remove("old"); // how old it is nobody looks at until it is seen again
      if (isIntersecting) this.#seen.add(row);
      else this.#seen.delete(row);
      if (isIntersecting) this.#changed(row);
    }
    this.#tell.seen();
  }

  #changed(row) {
    this.#dirty.add(row);
    this.#timer ||= setTimeout(() => {
      this.#timer = 0;
      for (const one of this.#dirty) if (this.#seen.has(one) && one.at) draw(one);
      this.#dirty.clear();
    }, DRAW_MS);
  }

  #key(event) {
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: STRIDE, PageUp: -STRIDE, Home: -Infinity, End: Infinity };
    const step = steps[event.key];
    if (step === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const shown = this.#shown;
    const place = Math.min(Math.max(shown.indexOf(this.#current) + step, 0), shown.length - 1);
    this.#reach(shown[place]);
    this.#current.button.focus({ preventScroll: true });
    this.#current.line.scrollIntoView({ block: "nearest" });
  }

  #reach(row) {
    if (this.#current) this.#current.button.tabIndex = -1;
    this.#current = row;
    row.button.tabIndex = 0;
  }
}

function made({ symbol, name, sector, close }) {
  const button = element("button", "symbol", symbol);
  button.type = "button";
  button.tabIndex = -1;
  button.setAttribute("aria-pressed", "false");
  const head = element("th", "", button);
  head.scope = "row";
  const cells = { price: element("td", "number price", "–"), change: element("td", "number change", "–"), volume: element("td", "number volume", "–"), age: element("td", "number age", "–") };
  const svg = document.createElementNS(SVG, "svg");
  const spark = document.createElementNS(SVG, "polyline");
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute("aria-hidden", "true");
  svg.append(spark);
  const line = element("tr", "", head, element("td", "name", name), cells.price, cells.change, cells.volume, element("td", "trend", svg), cells.age);
  line.dataset.symbol = symbol;
  const words = `${symbol} ${name}`.toLowerCase();
  return { symbol, name, sector, close, words, line, button, cells, spark, price: null, volume: 0, at: 0, past: [], move: "", isFollowed: false };
}

function blank(row) {
  row.at = 0;
  row.price = null;
  row.past = [];
  for (const cell of Object.values(row.cells)) cell.textContent = "–";
  row.spark.removeAttribute("points");
}

function draw({ line, cells, spark, price, volume, close, past, move }) {
  const change = (100 * (price - close)) / close;
  cells.price.textContent = money(price);
  cells.change.textContent = `${change < 0 ? "−" : "+"}${Math.abs(change).toFixed(2)} %`;
  cells.volume.textContent = volume.toLocaleString();
  line.dataset.move = move;
  line.dataset.day = change < 0 ? "down" : "up";
  if (past.length === 0) return;
  const points = [...past, price];
  const low = Math.min(...points);
  const span = Math.max(...points) - low || 1;
  const x = (n) => ((n * WIDTH) / (points.length - 1)).toFixed(1);
  const y = (point) => (HEIGHT - 2 - ((point - low) / span) * (HEIGHT - 4)).toFixed(1);
  spark.setAttribute("points", points.map((point, n) => `${x(n)},${y(point)}`).join(" "));
}
