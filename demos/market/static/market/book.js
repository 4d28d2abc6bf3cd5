// The orders of one symbol. The server sends all of them once, then only what differs; the SDK puts the two together.

import { jackfield } from "../django_jackfield/jackfield.js";
import { byId, element } from "../demo/page.js";
import { money } from "./rows.js";

export class Book {
  #prefix;
  #channel = null;

  constructor(prefix) {
    this.#prefix = prefix;
  }

  /** From now on those of this company. */
  show({ symbol, name }) {
    const channel = this.#prefix + symbol;
    if (this.#channel?.name === channel) return;
    this.#channel?.leave();
    byId("book-title").textContent = `${symbol} · ${name}`;
    byId("book-table").hidden = true;
    byId("book-hint").hidden = false;
    byId("book-hint").textContent = "The orders come in a moment.";
    this.#channel = jackfield.channel(channel, { delta: true });
    this.#channel.on("message", (book) => this.#draw(book));
  }

  #draw({ asks, bids }) {
    const most = Math.max(...asks.concat(bids).map(([, size]) => size));
    const level = (side) => ([price, size]) => {
      const bar = element("span", "bar");
      bar.style.inlineSize = `${(100 * size) / most}%`;
      const shares = element("td", "number", bar, element("span", "", size.toLocaleString()));
      return element("tr", side, element("td", "side", side), element("td", "number", money(price)), shares);
    };
    byId("levels").replaceChildren(...asks.map(level("ask")), ...bids.map(level("bid")));
    byId("book-table").hidden = false;
    byId("book-hint").hidden = true;
  }
}
