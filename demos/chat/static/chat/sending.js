// What the user says until the room hears it: shown at once, told apart by a nonce, sent again after a drop.

import { announce, button } from "../demo/page.js";
import { toEnd } from "./messages.js";

const CONFIRM_MS = 8000; // from the server's "taken" to the message itself, before we say that it failed

export class Sending {
  #pending = new Map(); // nonce -> {text, item, timer, refused}
  #room;
  #messages;
  #me;

  constructor(room, messages, me) {
    this.#room = room;
    this.#messages = messages;
    this.#me = me;
  }

  say(text) {
    const bytes = crypto.getRandomValues(new Uint8Array(16)); // randomUUID wants https
    const nonce = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    const item = this.#messages.draw({ author: this.#me, text, at: new Date().toISOString() });
    this.#messages.append(item);
    this.#pending.set(nonce, { text, item, timer: 0 });
    this.#attempt(nonce);
  }

  /** A nonce is stored once, so sending again is safe even if the first got through. */
  again() {
    for (const [nonce, { refused }] of this.#pending) if (!refused) this.#attempt(nonce);
  }

  /** The room has heard it. */
  settle(nonce) {
    const waiting = this.#pending.get(nonce);
    if (!waiting) return;
    clearTimeout(waiting.timer);
    waiting.item.remove();
    this.#pending.delete(nonce);
    this.#messages.group();
  }

  refused({ nonce, fault }) {
    if (this.#pending.has(nonce)) this.#failed(nonce, fault, false);
  }

  async #attempt(nonce) {
    const waiting = this.#pending.get(nonce);
    if (!waiting) return;
    clearTimeout(waiting.timer);
    this.#fate(waiting, "sending", "Sending…");
    if (this.#room.state !== "subscribed") return this.#failed(nonce, "Not sent: no connection.");
    try {
      await this.#room.send("say", { text: waiting.text, nonce });
      waiting.timer = setTimeout(() => this.#failed(nonce, "Not confirmed."), CONFIRM_MS);
    } catch (error) {
      this.#failed(nonce, this.#room.state === "subscribed" ? `Not sent: ${error.message}.` : "Not sent: no connection.");
    }
  }

  #fate(waiting, name, ...said) {
    waiting.item.dataset.fate = name;
    waiting.item.querySelector(".fate").replaceChildren(...said);
  }

  #failed(nonce, why, mayTryAgain = true) {
    const waiting = this.#pending.get(nonce);
    if (!waiting) return;
    clearTimeout(waiting.timer);
    waiting.refused = !mayTryAgain;
    const buttons = mayTryAgain ? [button("small", "Try again", () => this.#attempt(nonce))] : [];
    this.#fate(waiting, "failed", why, ...buttons, button("small", "Discard", () => this.settle(nonce)));
    announce(`${why} ${waiting.text.slice(0, 100)}`);
    toEnd();
  }
}
