// The orders of a channel, and windows of figures, by whatever gets through: the module's WebSocket, or a browser's own EventSource.
//
// A feed tells `order(event, order)`, `window(channel, window)`, `state(name, said)`, `failed()`, `signedOut()`, and when it stands
// anew `open()` and `counting()`: then something may be missing, and the page reads what it missed over HTTP.
// `wishes` are channels and what goes along with their subscriptions: which figures the server shall reckon.

import { jackfield } from "../django_jackfield/jackfield.js";
import { config } from "../demo/page.js";
import { hearPersonal, personal } from "../demo/personal.js";

const PAUSE_MS = 1000;
const EVENTS = ["created", "updated", "deleted"];

/** With the module: it reconnects, and the server sends what was missed as far as its history reaches. */
export class SocketFeed {
  #stops = [];
  #channel;
  #figures;

  constructor(name, wishes, tell) {
    this.#channel = jackfield.channel(name);
    this.#figures = Object.entries(wishes).map(([figures, data]) => jackfield.channel(figures, { data }));
    const state = () => {
      const live = jackfield.state === "connected" && this.#channel.state === "subscribed";
      tell.state(live ? "live" : "connecting", live ? "Live by WebSocket" : "Connecting…");
    };
    this.#stops = [
      jackfield.on("state", state),
      hearPersonal(),
      jackfield.on("signedout", tell.signedOut),
      jackfield.on("error", tell.failed),
      ...EVENTS.map((event) => this.#channel.on(event, (order) => tell.order(event, order))),
      this.#channel.on("gap", tell.open),
      this.#channel.on("subscribed", ({ again }) => {
        state();
        if (!again) tell.open();
      }),
      ...this.#figures.flatMap((channel) => [
        channel.on("message", (window) => tell.window(channel.name, window)),
        channel.on("subscribed", tell.counting),
      ]),
    ];
    jackfield.connect();
  }

  close() {
    for (const stop of this.#stops) stop();
    for (const channel of [this.#channel, ...this.#figures]) channel.leave();
  }
}

/** Without a library: `/connection/uni_sse` sends what is published, and a page needs nothing but EventSource. */
export class EventFeed {
  #name;
  #wishes;
  #tell;
  #tokenUrl;
  #source = null;
  #timer = 0;
  #patience = 0;
  #silence = 35_000; // a ping comes every so often; a line that is dead says nothing
  #closed = new AbortController();

  constructor(name, wishes, tell, tokenUrl) {
    jackfield.disconnect();
    [this.#name, this.#wishes, this.#tell, this.#tokenUrl] = [name, wishes, tell, tokenUrl];
    addEventListener("offline", () => this.#later(), { signal: this.#closed.signal });
    this.#open();
  }

  // Each time with a new token: an address is good for as long as the token in it.
  async #open() {
    this.#tell.state("connecting", "Connecting…");
    const response = await fetch(this.#tokenUrl).catch(() => null);
    if (this.#closed.signal.aborted) return;
    if (response?.status === 403) return this.#tell.signedOut();
    if (!response?.ok) return this.#later();
    const { token } = await response.json();
    const url = new URL("uni_sse", config("jackfield-config").url.replace(/^ws/, "http"));
    const subs = { [this.#name]: {} };
    for (const [figures, data] of Object.entries(this.#wishes)) subs[figures] = { data };
    url.searchParams.set("cf_connect", JSON.stringify({ token, subs }));
    if (this.#closed.signal.aborted) return;
    this.#source = new EventSource(url);
    this.#source.onerror = () => this.#later();
    this.#source.onmessage = ({ data }) => this.#heard(JSON.parse(data));
  }

  #heard({ channel, connect, disconnect, message, pub }) {
    clearTimeout(this.#patience);
    if (disconnect) return this.#later();
    if (connect?.ping) this.#silence = (connect.ping + 10) * 1000;
    this.#patience = setTimeout(() => this.#later(), this.#silence);
    if (connect) {
      this.#tell.state("live", "Live by EventSource");
      this.#tell.open();
      this.#tell.counting();
    }
    if (message) personal(message.data);
    if (!pub) return;
    if (channel === this.#name) this.#tell.order(pub.data.event, pub.data.data);
    else this.#tell.window(channel, pub.data);
  }

  #later() {
    this.#source?.close();
    this.#tell.state("connecting", "Connecting…");
    clearTimeout(this.#timer);
    clearTimeout(this.#patience);
    if (!this.#closed.signal.aborted) this.#timer = setTimeout(() => this.#open(), PAUSE_MS);
  }

  close() {
    this.#closed.abort();
    clearTimeout(this.#timer);
    clearTimeout(this.#patience);
    this.#source?.close();
  }
}
