// The one connection of a page.

import { Centrifuge } from "centrifuge";

import { Channel } from "./channel.js";
import { pageConfig, socketUrl } from "./config.js";
import { JackfieldError, asError, asked } from "./errors.js";
import { Listeners, deliver, named } from "./listeners.js";
import { connectionToken } from "./tokens.js";

const OWN = new Set(["state", "connecting", "connected", "disconnected", "signedout", "error"]);
const UNAUTHORIZED = 1;
const NOBODY = 101; // what the server says where Django knows no user by the cookie
const INVALID_TOKEN = 3500;
const PAUSES_MS = [100, 300, 900, 2700];

export class Page {
  #config = null;
  #client = null;
  #channels = new Map();
  #listeners = new Listeners();
  #answers = new Map();
  #state = "disconnected";
  #revocations = 0;

  /** The config of the page; `configure` replaces it where no template tag has printed one. */
  get config() {
    this.#config ??= pageConfig();
    return this.#config;
  }

  configure(config) {
    if (this.#client) throw new Error("jackfield: configure() comes before the first use");
    this.#config = config;
  }

  get client() {
    return this.#client;
  }

  /** "disconnected", "connecting", "connected" or "signedout". */
  get state() {
    return this.#state;
  }

  /** Personal messages (`send(user=...)` in Django) with this event, or what happens to the connection. */
  on(event, fn) {
    const off = this.#listeners.add(event, fn);
    if (!OWN.has(event)) this.connected();
    return off;
  }

  /** Calls an `@rpc` function of realtime.py. */
  async call(method, data = null) {
    const { data: result } = await asked(() => this.usable().rpc(method, data));
    return result;
  }

  /** Answers `ask_client(method, ...)` of Django with what `fn(data)` returns. */
  answer(method, fn) {
    if (typeof fn !== "function") throw new TypeError(`answer(${JSON.stringify(method)}, ...) takes a function`);
    this.#answers.set(method, fn);
    this.connected();
    return () => this.#answers.get(method) === fn && this.#answers.delete(method);
  }

  /** The channel of this name: the same object each time. */
  channel(name, options) {
    let channel = this.#channels.get(name);
    if (!channel) this.#channels.set(name, (channel = new Channel(this, name, options)));
    return channel;
  }

  /** Called by a channel that was left. */
  forget(channel) {
    if (this.#channels.get(channel.name) === channel) this.#channels.delete(channel.name);
  }

  /** Leaves a channel to which nobody listens any more. */
  release(name) {
    const channel = this.#channels.get(name);
    if (channel && !channel.isHeard) channel.leave();
  }

  /** Opens the connection if nobody has; who is signed out stays so until `connect()`. */
  connected() {
    if (!this.#client) {
      this.#client = this.#opened();
      const { token, user } = this.config;
      // Nobody is logged in: the token view would only say no. A page for caches says nothing of a user.
      if (token === null && user === null) this.#move("signedout", { code: UNAUTHORIZED, reason: "nobody is logged in" });
      else this.#client.connect();
    }
    return this.#client;
  }

  /** Connects again, after `disconnect()` or "signedout": as whoever is logged in now. */
  connect() {
    if (!this.#client) return void this.connected();
    if (this.#state === "signedout") {
      this.config.user = undefined;
      this.#client.setToken("");
    }
    this.#client.connect();
  }

  /** Closes the connection until `connect()`. */
  disconnect() {
    const isPausing = this.#state === "connecting" && this.#client.state === "disconnected";
    this.#client?.disconnect();
    if (isPausing) this.#move("disconnected", { code: 0, reason: "disconnect called" });
  }

  /** The client, or an error where waiting would be in vain. */
  usable() {
    const client = this.connected();
    if (this.#state === "signedout") throw new JackfieldError(UNAUTHORIZED, "signed out");
    return client;
  }

  #opened() {
    const config = this.config;
    const isByCookie = config.auth === "session";
    const client = new Centrifuge(socketUrl(config.url), {
      name: "jackfield.js",
      // The browser sends its cookie by itself; Django hears whose page it is, which is all that it does not know.
      ...(isByCookie
        ? { getData: async () => (config.user ? { user: config.user } : null) }
        : { token: config.token ?? "", getToken: () => connectionToken(config) }),
    });
    client.on("connecting", (said) => this.#move("connecting", said));
    client.on("connected", (said) => {
      this.#revocations = 0;
      if (isByCookie) config.user ||= said.data?.user; // as a token tells it
      this.#move("connected", { client: said.client, data: said.data });
    });
    client.on("disconnected", (said) => this.#disconnected(said));
    client.on("message", ({ data }) => (this.#isCall(data) ? this.#answer(data) : this.#heard({ data })));
    client.on("publication", (publication) => this.#heard(publication)); // channels that the server put us into
    client.on("error", ({ type, error }) => this.#listeners.tell("error", { type, code: error.code, message: error.message }));
    return client;
  }

  #disconnected({ code, reason }) {
    if (code === UNAUTHORIZED || code === NOBODY) return this.#move("signedout", { code, reason });
    const pause = code === INVALID_TOKEN ? PAUSES_MS[this.#revocations++] : undefined;
    if (pause !== undefined) {
      // The token was revoked: Django says whether its user is still logged in. It may be about to log the user
      // out and still hand out a token that is void already, so it is asked more than once.
      this.#move("connecting", { code, reason });
      setTimeout(() => this.#askAnew(), pause);
      return;
    }
    this.#move("disconnected", { code, reason });
  }

  #askAnew() {
    if (this.#state !== "connecting" || this.#client.state !== "disconnected") return;
    this.#client.setToken("");
    this.#client.connect();
  }

  #move(state, said) {
    const from = this.#state;
    this.#state = state;
    this.#listeners.tell(state, said);
    if (from !== state) this.#listeners.tell("state", state, said);
  }

  #heard(publication) {
    const [event, data] = named(publication.data);
    const message = { event, data };
    if (publication.channel !== undefined) message.channel = publication.channel;
    if (publication.offset !== undefined) message.offset = publication.offset;
    deliver(this.#listeners, OWN, "personal message", message);
  }

  #isCall(data) {
    return data !== null && typeof data === "object" && typeof data.call === "string" && typeof data.method === "string";
  }

  async #answer({ call, method, data }) {
    const said = { call };
    const fn = this.#answers.get(method);
    try {
      if (!fn) throw new JackfieldError(404, `this page does not answer ${method}`);
      said.data = (await fn(data)) ?? null;
    } catch (thrown) {
      const { code, message } = asError(thrown);
      said.error = { code: code >= 400 && code < 2000 ? code : 400, message };
    }
    // The question is gone with the connection: there is nobody to tell of a failure.
    await this.#client.rpc("jackfield.answer", said).catch(() => {});
  }
}
