// The connection, in Protobuf, so that twelve bytes are twelve bytes: the protocol's own SDK, as npm has it, with Django's tokens.
//
// It tells `frame(bytes)`, `event(name, data)`, `state(name)`, `signedOut()`.

import { config } from "../demo/page.js";
import { personal } from "../demo/personal.js";
import { now } from "./clock.js";
import { steer } from "./frames.js";

const { Centrifuge } = globalThis; // centrifuge.protobuf.js, which is no module
const BINARY = 12;
const [UNAUTHORIZED, INVALID_TOKEN] = [1, 3500];
const PAUSES_MS = [100, 300, 900, 2700];
const text = new TextDecoder();
const json = new TextEncoder();

export class Line {
  #client;
  #channels;
  #tell;
  #arena;
  #field = null;
  #keys = [];
  #revocations = 0;
  bytes = 0;

  constructor(channels, tokenUrl, tell) {
    [this.#channels, this.#tell] = [channels, tell];
    const { url, token } = config("jackfield-config");
    const line = this;
    this.#client = new Centrifuge(url, {
      protocol: "protobuf",
      token,
      getToken: () => freshToken(tokenUrl),
      websocket: class extends WebSocket {
        constructor(...given) {
          super(...given);
          this.addEventListener("message", ({ data }) => (line.bytes += data.byteLength ?? 0));
        }
      },
    });
    this.#client.on("message", ({ data }) => personal(JSON.parse(text.decode(data))));
    this.#client.on("connecting", () => tell.state("connecting"));
    this.#client.on("disconnected", ({ code }) => this.#disconnected(code));
    this.#arena = this.#follow(channels.arena);
    this.#arena.on("subscribed", () => {
      this.#revocations = 0;
      this.#name();
      tell.state("live");
    });
    this.#client.connect();
  }

  // A token that is void: its user has logged out, or is about to, so Django is asked more than once (as jackfield.js does).
  #disconnected(code) {
    if (code === UNAUTHORIZED) return this.#tell.signedOut();
    const pause = code === INVALID_TOKEN ? PAUSES_MS[this.#revocations++] : undefined;
    if (pause === undefined) return this.#tell.state("ended");
    this.#tell.state("connecting");
    setTimeout(() => {
      this.#client.setToken("");
      this.#client.connect();
    }, pause);
  }

  #follow(channel) {
    const subscription = this.#client.newSubscription(channel);
    subscription.on("publication", ({ data }) => this.#heard(data));
    subscription.subscribe();
    return subscription;
  }

  #heard(bytes) {
    if (bytes.length === BINARY) return this.#tell.frame(bytes);
    const { event, data } = JSON.parse(text.decode(bytes));
    this.#tell.event(event, data);
  }

  /** The areas to hear of, from now on. They last as long as a subscription, so they are named anew with each. */
  hear(keys) {
    this.#keys = keys;
    this.#name();
  }

  #name() {
    if (this.#arena.state !== "subscribed") return;
    const said = json.encode(JSON.stringify({ channel: this.#channels.arena, keys: this.#field ? [] : this.#keys }));
    this.#client.rpc("jackfield.interest", said).catch(() => {}); // a line that is cut: the next subscription names them
  }

  /** Hears the whole arena, as bots do, instead of areas. */
  hearAll(all) {
    if (all) this.#field ??= this.#follow(this.#channels.field);
    else if (this.#field) {
      this.#client.removeSubscription(this.#field);
      this.#field = null;
    }
    this.#name();
  }

  /** Says where to go. What is lost is said again soon. */
  steer(wish) {
    if (this.#client.state !== "connected") return;
    this.#client.publish(this.#channels.steer, steer(wish, now())).catch(() => {});
  }
}

async function freshToken(url) {
  const response = await fetch(url, { cache: "no-store", redirect: "manual" });
  if (response.status === 403) throw new Centrifuge.UnauthorizedError("nobody is logged in");
  return (await response.json()).token;
}
