// One document on one connection: Yjs, its own WebSocket provider, and the binding to Quill. Nothing here knows of Django
// but the token that opens the connection.

import { Doc, QuillBinding, UndoManager, WebsocketProvider } from "./vendor/editor-bundle.js";

const RENEW_AT = 0.6; // of the life of a token: connections that come later need one that is good
const PAUSE_MS = [500, 1000, 2000, 4000];

/** The colour of a user, the same on every page. */
export const colour = (id) => `hsl(${(Number(id) * 137) % 360 || 0} 65% 42%)`;

/** Asks Django for a token. Null: it gives none. */
async function askForToken(url) {
  const response = await fetch(url, { cache: "no-store", redirect: "manual", headers: { Accept: "application/json" } });
  return response.ok ? response.json() : null;
}

/** Where the documents are: the same server, another path. */
function documentsAt(socketUrl) {
  const url = new URL(socketUrl, location.href);
  url.protocol = url.protocol.replace("http", "ws");
  url.pathname = url.pathname.replace(/\/connection\/websocket$/, "/yjs");
  return url.href.replace(/\/$/, "");
}

export class Session {
  #page;
  #on;
  #provider = null;
  #binding = null;
  #timer = 0;
  #attempts = 0;
  #ended = false;
  #wasSynced = false;
  #listening = new AbortController();
  #isAhead = false; // something was written that no server has

  /** `page`: quill, channel, tokenUrl, me. `on`: state(name), people(users), asked() after each connection and its end. */
  constructor(page, on) {
    this.#page = page;
    this.#on = on;
    this.doc = new Doc();
    this.text = this.doc.getText("text");
  }

  /** Opens the connection; it comes back by itself until `end`. */
  async start() {
    const { quill, channel, me } = this.#page;
    this.#on.state("connecting");
    const found = await this.#renewed();
    if (this.#ended) return;
    // Tabs of one browser are told by the server like all others, so what a page shows is what the server has.
    this.#provider = new WebsocketProvider(documentsAt(found.url), channel, this.doc, { params: { token: found.token }, disableBc: true });
    const { awareness } = this.#provider;
    awareness.setLocalStateField("user", { id: me.id, name: me.name, color: colour(me.id) });
    awareness.on("change", () => this.#on.people(this.#users()));
    this.#binding = new QuillBinding(this.text, quill, awareness);
    this.undo = new UndoManager(this.text, { trackedOrigins: new Set([this.#binding]) });
    this.doc.on("update", (_, origin) => {
      if (origin !== this.#provider && !this.#provider.synced) this.#isAhead = true;
    });
    this.#provider.on("sync", (isSynced) => this.#synced(isSynced));
    this.#provider.on("status", ({ status }) => status !== "connected" && this.#on.state(this.#wasSynced ? "offline" : "connecting"));
    this.#provider.on("connection-close", () => this.#closed());
    this.#provider.on("closed", () => this.#again());
    // The browser knows at once what the provider finds out after half a minute of silence.
    addEventListener("offline", () => this.#provider.disconnect(), { signal: this.#listening.signal });
    addEventListener("online", () => this.#provider.connect(), { signal: this.#listening.signal });
    this.#on.people(this.#users());
  }

  /** Whether the server has everything that was written here. */
  get isAhead() {
    return this.#isAhead;
  }

  /** Nothing comes or goes any more, and what is on screen is no document. */
  end() {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#timer);
    this.#listening.abort();
    this.#binding?.destroy();
    this.#provider?.destroy();
    this.#page.quill.getModule("cursors").clearCursors();
    this.doc.destroy();
  }

  #synced(isSynced) {
    if (!isSynced) return;
    this.#wasSynced = true;
    this.#isAhead = false;
    this.#attempts = 0;
    this.#on.state("live");
    this.#on.asked();
  }

  // A token may have run out meanwhile, or a right been taken: both are asked of Django while the provider waits.
  #closed() {
    if (this.#ended) return;
    this.#on.asked();
    this.#renew();
  }

  // A close that the provider takes as final (4400 to 4499). If Django still lets the page in, it was the token.
  async #again() {
    const pause = PAUSE_MS[Math.min(this.#attempts++, PAUSE_MS.length - 1)];
    await new Promise((resolve) => setTimeout(resolve, pause));
    if (this.#ended) return;
    await this.#renew();
    this.#provider.connect();
  }

  async #renew() {
    const found = await this.#renewed();
    if (!this.#ended && this.#provider) this.#provider.params = { token: found.token };
  }

  async #renewed() {
    for (let attempt = 0; ; attempt++) {
      const found = await askForToken(this.#page.tokenUrl).catch(() => undefined);
      if (found === null) this.#on.state("signedout");
      if (found || this.#ended) {
        clearTimeout(this.#timer);
        if (found) this.#timer = setTimeout(() => this.#renew(), (found.expires * 1000 - Date.now()) * RENEW_AT);
        return found ?? {};
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS[Math.min(attempt, PAUSE_MS.length - 1)]));
    }
  }

  /** Who has the document open: each user once, however many pages. */
  #users() {
    const found = new Map();
    for (const { user } of this.#provider.awareness.getStates().values()) if (user?.id) found.set(String(user.id), user);
    return [...found.values()].sort((one, other) => String(one.id).localeCompare(String(other.id)));
  }
}
