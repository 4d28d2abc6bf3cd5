// The stage of the scenarios: one server per file, and actors that speak JSON or Protobuf with the unmodified SDK.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { after, afterEach, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { Cutter } from "../between.mjs";
import { Server, need, token, until } from "../serving.mjs";

const SDKS = { json: need("centrifuge").Centrifuge, protobuf: need("centrifuge/build/protobuf").Centrifuge };
const WebSocket = need("ws");
const { EventSource } = need("eventsource");
const HERE = path.dirname(fileURLToPath(import.meta.url));
export const CONFIG = readFileSync(path.join(HERE, "jackfield.toml"), "utf8");
export const KEY = "a-key-of-the-tests";
export const PATIENCE = 10_000;

export const range = (from, to) => Array.from({ length: to - from + 1 }, (_, n) => from + n);
export const event = (emitter, name) => new Promise((resolve) => emitter.once(name, resolve));

let names = 0;
/** A channel that no other scenario has. */
export const unique = (namespace) => `${namespace}:s${process.pid}-${(names += 1)}`;

const BYTES = {
  json: { pack: (value) => value, unpack: (data) => data },
  protobuf: {
    pack: (value) => new TextEncoder().encode(JSON.stringify(value)),
    unpack: (data) => JSON.parse(new TextDecoder().decode(data)),
  },
};

/** Calls the server API; gives the result, or throws the error with its code. */
export async function api(server, method, body = {}) {
  const answer = await fetch(`http://127.0.0.1:${server.internal}/api/${method}`, {
    method: "POST",
    headers: { "X-API-Key": KEY, "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  const text = await answer.text();
  assert.equal(answer.status, 200, `${method}: ${answer.status} ${text}`);
  const { result, error } = JSON.parse(text);
  if (error) throw Object.assign(new Error(`${method}: ${error.code} ${error.message}`), error);
  return result;
}

/** What one scenario plays with: clients of one encoding, and the server API. */
export class Actor {
  constructor(server, encoding) {
    Object.assign(this, { server, encoding, ...BYTES[encoding], clients: [], cutters: [] });
  }

  api(method, body) {
    return api(this.server, method, body);
  }

  publish(channel, data, more = {}) {
    return this.api("publish", { channel, data, ...more });
  }

  client({ user = "ann", claims = {}, port = this.server.port, transport = "websocket", ...options } = {}) {
    const endpoint = `${transport === "websocket" ? "ws" : "http"}://127.0.0.1:${port}/connection/${transport}`;
    const made = new SDKS[this.encoding]([{ transport, endpoint }], {
      websocket: WebSocket,
      eventsource: EventSource,
      emulationEndpoint: `http://127.0.0.1:${port}/emulation`,
      token: token(user, claims),
      minReconnectDelay: 20,
      maxReconnectDelay: 100,
      ...options,
    });
    made.errors = [];
    // Without a listener Node would take the SDK's errors for its own.
    made.on("error", (context) => made.errors.push(context.error));
    made.seen = [];
    for (const name of ["connecting", "connected", "disconnected", "subscribed", "unsubscribed", "publication", "join", "leave"]) {
      made.on(name, (context) => made.seen.push({ name, ...context }));
    }
    made.all = (name) => made.seen.filter((one) => one.name === name);
    this.clients.push(made);
    return made;
  }

  async connected(options) {
    const made = this.client(options);
    made.connect();
    await made.ready(PATIENCE);
    return made;
  }

  // `made` is a subscription of any kind; what it hears is kept.
  listen(made) {
    Object.assign(made, { heard: [], seen: [], updates: [], syncs: [] });
    for (const name of ["subscribing", "subscribed", "unsubscribed", "join", "leave", "error"]) {
      made.on(name, (context) => made.seen.push({ name, ...context }));
    }
    made.all = (name) => made.seen.filter((one) => one.name === name);
    made.on("publication", (context) => made.heard.push({ ...context, data: this.read(context.data) }));
    made.on("update", (context) => made.updates.push({ ...context, data: this.read(context.data) }));
    made.on("sync", ({ entries }) => made.syncs.push(entries.map((entry) => ({ ...entry, data: this.read(entry.data) }))));
    made.values = () => made.heard.map(({ data }) => data);
    made.offsets = () => made.heard.map(({ offset }) => offset);
    return made;
  }

  read(data) {
    return data === undefined || data?.length === 0 ? undefined : this.unpack(data);
  }

  subscription(made, channel, options) {
    return this.listen(made.newSubscription(channel, { minResubscribeDelay: 20, maxResubscribeDelay: 100, ...options }));
  }

  async subscribed(made, channel, options) {
    const subscription = this.subscription(made, channel, options);
    subscription.subscribe();
    await subscription.ready(PATIENCE);
    return subscription;
  }

  /** A client whose connection can be cut: `cut()` severs it and holds it away, `heal()` lets it come back. */
  async cuttable(options) {
    const cutter = await new Cutter(this.server.port).start();
    this.cutters.push(cutter);
    const made = await this.connected({ port: cutter.port, ...options });
    made.cut = async () => {
      const away = event(made, "connecting");
      cutter.cut();
      await away;
    };
    made.heal = () => cutter.heal();
    return made;
  }

  /** Cuts, does `meanwhile`, and waits until the subscriptions are back. */
  async away(made, subscriptions, meanwhile = async () => {}) {
    await made.cut();
    await meanwhile();
    const back = subscriptions.map((one) => event(one, "subscribed"));
    made.heal();
    return Promise.all(back);
  }

  async end() {
    for (const made of this.clients) made.disconnect();
    for (const cutter of this.cutters) await cutter.stop();
  }
}

/**
 * One server for all scenarios of a file; gives `scenario(id, play)`, which plays in JSON and in Protobuf. `furnish` does what
 * is to be done once the server runs, and gives what is to be stopped before it ends.
 */
export function stage({ config = CONFIG, sets = [], furnish = async () => {} } = {}) {
  const props = {};
  const actors = [];
  before(async () => {
    props.server = await new Server({ config, sets }).start();
    props.furniture = await furnish(props.server);
  });
  afterEach(async () => {
    for (const actor of actors.splice(0)) await actor.end();
  });
  after(async () => {
    await props.furniture?.stop();
    await props.server?.end();
  });
  const scenario = (id, play) => {
    for (const encoding of Object.keys(SDKS)) {
      test(`${id} [${encoding}]`, async () => {
        const actor = new Actor(props.server, encoding);
        actors.push(actor);
        await play(actor);
      });
    }
  };
  return { scenario, props };
}

export { until };
