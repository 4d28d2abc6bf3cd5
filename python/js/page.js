// The one connection of a page.

import { Centrifuge } from "centrifuge";

import { Channel } from "./channel.js";
import { pageConfig, socketUrl } from "./config.js";
import { JackfieldError, asError, asked } from "./errors.js";
import { Listeners, deliver, named } from "./listeners.js";
import { connectionToken } from "./tokens.js";

const OWN = new Set(["state", "connecting", "connected", "disconnected", "signedout", "error"]);
const UNAUTHORIZED = 1;
const INVALID_TOKEN = 3500;

export class Page {
  #config = null;
  #client = null;
  #channels = new Map();
  #listeners = new Listeners();
  #answers = new Map();
  #state = "disconnected";
  #asksAgain = true;

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
      this.connect();
    }
    return this.#client;
  }

  /** Connects (again). Needed only after `disconnect()` or "signedout". */
  connect() {
    if (!this.#client) return void this.connected();
    const { token, user } = this.config;
    // Nobody is logged in: the token view would only say no. A page for caches says nothing of a user.
    if (token === null && user === null) this.#move("signedout", { code: UNAUTHORIZED, reason: "nobody is logged in" });
    else this.#client.connect();
  }

  /** Closes the connection until `connect()`. */
  disconnect() {
    this.#client?.disconnect();
  }

  /** The client, or an error where waiting would be in vain. */
  usable() {
    const client = this.connected();
    if (this.#state === "signedout") throw new JackfieldError(UNAUTHORIZED, "signed out");
    return client;
  }

  #opened() {
    const config = this.config;
    const client = new Centrifuge(socketUrl(config.url), {
      name: "jackfield.js",
      token: config.token ?? "",
      getToken: () => connectionToken(config),
    });
    client.on("connecting", (said) => this.#move("connecting", said));
    client.on("connected", (said) => {
      this.#asksAgain = true;
      this.#move("connected", { client: said.client, data: said.data });
    });
    client.on("disconnected", (said) => this.#disconnected(said));
    client.on("message", ({ data }) => (this.#isCall(data) ? this.#answer(data) : this.#heard({ data })));
    client.on("publication", (publication) => this.#heard(publication)); // channels that the server put us into
    client.on("error", ({ type, error }) => this.#listeners.tell("error", { type, code: error.code, message: error.message }));
    return client;
  }

  #disconnected({ code, reason }) {
    if (code === UNAUTHORIZED) return this.#move("signedout", { code, reason });
    if (code === INVALID_TOKEN && this.#asksAgain) {
      // The token was revoked: Django says whether its user is still logged in. Once per connection.
      this.#asksAgain = false;
      this.#client.setToken("");
      this.#client.connect();
      return;
    }
    this.#move("disconnected", { code, reason });
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
