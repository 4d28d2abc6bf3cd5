// The last minute, second by second: windows that the server reckons of the orders it hears, and those of the database for what
// was before them.
//
// Where one ends and the other begins is said by ids: the database answers up to one, and a window tells its first and its last.
// A window of something that the database has told already is asked of the database too. So each order counts once, however long
// the line was dead and however late somebody told of it.

const EVERY_MS = 1000;
const SHOWN = 60;
const LATE_MS = 500; // how long after its end a window may arrive
const ALL = Infinity;

/** What goes along with the two subscriptions: figures of what is chosen, and of all regions side by side. */
export function wishes({ shop, regions, figures }, region) {
  const aggregate = { every: EVERY_MS, figures };
  const where = region === "all" ? {} : { "data.region": region };
  return { [shop]: { aggregate: { ...aggregate, where } }, [regions]: { aggregate: { ...aggregate, by: "data.region" } } };
}

export class Minute {
  #ask;
  #changed;
  #asked = null; // what the database said last
  #told = []; // windows of the server with what came after that
  #older = { orders: 0, revenue: 0 }; // of such windows, those that are older than a minute
  #highest = 0; // the highest id that a window told of
  #wanted = 0; // up to which id the database is to be asked
  #reading = null;

  /** `ask({after, through})` resolves with what the view says; `changed()` is called when something is to be drawn. */
  constructor(ask, changed) {
    [this.#ask, this.#changed] = [ask, changed];
  }

  /** A window of the server, from the subscription of this name. */
  take(name, window) {
    const parts = Object.values(window.groups ?? { all: window }).filter(({ orders }) => orders > 0);
    if (parts.length === 0) return;
    const [first, last] = [Math.min(...parts.map((part) => part.first)), Math.max(...parts.map((part) => part.last))];
    this.#told.push({ ...window, name, first, last });
    this.#highest = Math.max(this.#highest, last);
    if (this.#reading || !this.#asked) return;
    if (this.#isDoubtful()) return this.read(Math.max(this.#asked.through, this.#highest));
    this.#forget();
    this.#changed();
  }

  /** Asks the database: at first, and whenever the page is subscribed anew. */
  read(through = ALL) {
    this.#wanted = Math.max(this.#wanted, through);
    this.#reading ??= this.#readAll().finally(() => (this.#reading = null));
    return this.#reading;
  }

  async #readAll() {
    while (this.#wanted) {
      const [through, heard] = [this.#wanted, new Set(this.#told)];
      this.#wanted = 0;
      try {
        this.#asked = await this.#ask({ after: this.#asked?.after, through });
      } catch (error) {
        this.#wanted = ALL; // the next window asks again
        throw error;
      }
      this.#older = { orders: 0, revenue: 0 };
      this.#told = this.#told.filter((window) => !heard.has(window) || window.last > this.#asked.through);
      if (this.#isDoubtful()) this.#wanted ||= Math.max(this.#asked.through, this.#highest);
    }
    this.#changed();
  }

  #isDoubtful() {
    const newest = this.#asked.regions.at(-1)?.from ?? 0;
    return this.#wanted > 0 || this.#told.some(({ first, from }) => first <= this.#asked.through || from <= newest);
  }

  #forget() {
    const oldest = this.end - SHOWN * EVERY_MS;
    for (const window of this.#told.filter(({ name, from }) => name === "shop" && from < oldest)) add(this.#older, window);
    this.#told = this.#told.filter(({ from }) => from >= oldest);
  }

  /** The newest second that is over, by the clock of the servers. */
  get end() {
    const ahead = this.#asked ? this.#asked.now - this.#asked.here : 0;
    const over = Math.floor((Date.now() + ahead - LATE_MS) / EVERY_MS - 1) * EVERY_MS;
    return this.#told.reduce((newest, { from }) => Math.max(newest, from), over);
  }

  /** The seconds of the minute, the newest last, nothing where nothing came in: of "shop" or "regions". */
  seconds(name) {
    const windows = [...(this.#asked?.[name] ?? []), ...this.#told.filter((window) => window.name === name)];
    const known = new Map(windows.map((window) => [window.from, window]));
    const { end } = this;
    return Array.from({ length: SHOWN }, (_, n) => known.get(end - (SHOWN - 1 - n) * EVERY_MS));
  }

  /** What came in since the page was opened. */
  get since() {
    const sums = [this.#asked?.since, this.#older, ...this.#told.filter(({ name }) => name === "shop")];
    return sums.reduce((total, one) => add(total, one), { orders: 0, revenue: 0 });
  }
}

/** Adds the orders and the revenue of a window, in whole cents. */
export function add(total, window) {
  total.orders += window?.orders ?? 0;
  total.revenue = Math.round((total.revenue + (window?.revenue ?? 0)) * 100) / 100;
  return total;
}
