// The unmodified JavaScript SDK of npm, in Node over `ws`.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { Answerer, Server, need, soon, token, until } from "./serving.mjs";

const { Centrifuge } = need("centrifuge");
const WebSocket = need("ws");

let server;
let answerer;
const clients = [];
let channels = 0;
const channel = () => `open:js-${(channels += 1)}`;

function client(options = {}) {
  const made = new Centrifuge(server.url, {
    websocket: WebSocket,
    token: token("ann", { info: { name: "Ann" } }),
    minReconnectDelay: 50,
    maxReconnectDelay: 200,
    ...options,
  });
  // Without a listener Node would take the SDK's errors for its own.
  made.errors = [];
  made.on("error", (context) => made.errors.push(context.error));
  clients.push(made);
  return made;
}

const event = (emitter, name) => new Promise((resolve) => emitter.once(name, resolve));

async function connected(options) {
  const made = client(options);
  made.connect();
  await made.ready(10_000);
  return made;
}

async function subscribed(made, name, options) {
  const subscription = made.newSubscription(name, options);
  subscription.heard = [];
  subscription.on("publication", (context) => subscription.heard.push(context));
  subscription.subscribe();
  await subscription.ready(10_000);
  return subscription;
}

before(async () => {
  server = await new Server().start();
  answerer = await new Answerer(server.embedded).start();
});

after(async () => {
  for (const made of clients) made.disconnect();
  await answerer.stop();
  await server.end();
});

describe("centrifuge in Node", () => {
  test("connects with a token", async () => {
    const made = client();
    const context = event(made, "connected");
    made.connect();
    const { client: id, transport } = await context;
    assert.match(id, /^[0-9a-f-]{36}$/);
    assert.equal(transport, "websocket");
    const gone = event(made, "disconnected");
    made.disconnect();
    assert.equal((await gone).code, 0);
  });

  test("subscribes, publishes and hears its own publication", async () => {
    const subscription = await subscribed(await connected(), channel());
    await subscription.publish({ text: "grüß dich 😀\n" });
    await until(() => subscription.heard.length === 1, "the publication");
    const [publication] = subscription.heard;
    assert.deepEqual(publication.data, { text: "grüß dich 😀\n" });
    assert.equal(publication.offset, 1);
    assert.equal(publication.info.user, "ann");
    assert.deepEqual(publication.info.connInfo, { name: "Ann" });
  });

  test("hears others in order, and a publication without a subscription", async () => {
    const name = channel();
    const subscription = await subscribed(await connected(), name);
    const other = await connected({ token: token("bob") });
    for (let n = 0; n < 100; n += 1) await other.publish(name, n);
    await until(() => subscription.heard.length === 100, "100 publications");
    assert.deepEqual(subscription.heard.map(({ data }) => data), Array.from({ length: 100 }, (_, n) => n));
    assert.deepEqual(subscription.heard.map(({ offset }) => offset), Array.from({ length: 100 }, (_, n) => n + 1));
  });

  test("presence, its numbers, joins and leaves", async () => {
    const name = channel();
    const subscription = await subscribed(await connected(), name);
    const joins = [];
    const leaves = [];
    subscription.on("join", ({ info }) => joins.push(info.user)).on("leave", ({ info }) => leaves.push(info.user));
    const other = await connected({ token: token("bob") });
    await subscribed(other, name);
    await until(() => joins.includes("bob"), "bob's join");
    const { clients: members } = await subscription.presence();
    assert.deepEqual(Object.values(members).map(({ user }) => user).sort(), ["ann", "bob"]);
    assert.deepEqual(await subscription.presenceStats(), { numClients: 2, numUsers: 2 });
    other.disconnect();
    await until(() => leaves.includes("bob"), "bob's leave");
    assert.deepEqual(await subscription.presenceStats(), { numClients: 1, numUsers: 1 });
  });

  test("history, its pages and its end", async () => {
    const subscription = await subscribed(await connected(), channel());
    for (let n = 1; n <= 10; n += 1) await subscription.publish(n);
    const all = await subscription.history({ limit: -1 });
    assert.deepEqual(all.publications.map(({ data }) => data), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    const some = await subscription.history({ limit: 3, since: { offset: 4, epoch: all.epoch } });
    assert.deepEqual(some.publications.map(({ data }) => data), [5, 6, 7]);
    const back = await subscription.history({ limit: 2, reverse: true });
    assert.deepEqual(back.publications.map(({ data }) => data), [10, 9]);
    const position = await subscription.history({ limit: 0 });
    assert.deepEqual([position.publications.length, position.offset], [0, 10]);
    await assert.rejects(subscription.history({ limit: 1, since: { offset: 1, epoch: "gone" } }), { code: 112 });
  });

  test("rpc, answered and refused by the application", async () => {
    const made = await connected();
    const calls = await Promise.all(Array.from({ length: 20 }, (_, n) => made.rpc("echo", { n, text: "é" })));
    assert.deepEqual(calls.map(({ data }) => data.n), Array.from({ length: 20 }, (_, n) => n));
    await assert.rejects(made.rpc("fail", {}), { code: 444, message: "as asked" });
  });

  test("errors have their codes", async () => {
    const made = await connected();
    await assert.rejects(made.publish("nowhere:1", 1), { code: 102 });
    await assert.rejects(made.publish("closed:1", 1), { code: 103 });
    await assert.rejects(made.presence("closed:1"), { code: 108 });
    const forbidden = made.newSubscription("closed:1");
    const ended = event(forbidden, "unsubscribed");
    forbidden.subscribe();
    assert.equal((await ended).code, 103);
    assert.equal(made.state, "connected");
  });

  test("a bad token ends it for good", async () => {
    const made = client({ token: `${token("ann")}x` });
    const gone = event(made, "disconnected");
    made.connect();
    const { code, reason } = await gone;
    assert.equal(code, 3500);
    assert.match(reason, /signature/);
    assert.equal(made.state, "disconnected");
  });

  test("an expired token asks for another", async () => {
    let asked = 0;
    const made = await connected({
      token: token("ann", { exp: soon(-10) }),
      getToken: async () => {
        asked += 1;
        return token("ann", { exp: soon(600) });
      },
    });
    assert.equal(asked, 1);
    assert.equal(made.state, "connected");
  });

  test("a token that runs out is refreshed without a new connection", async () => {
    let asked = 0;
    let connections = 0;
    const made = client({
      token: token("ann", { exp: soon(2) }),
      getToken: async () => {
        asked += 1;
        return token("ann", { exp: soon(600) });
      },
    });
    made.on("connected", () => (connections += 1));
    made.connect();
    await until(() => asked === 1, "a call of getToken");
    assert.ok(await made.rpc("echo", {}));
    assert.equal(connections, 1);
  });

  test("unsubscribes and subscribes again", async () => {
    const made = await connected();
    const subscription = await subscribed(made, channel());
    const ended = event(subscription, "unsubscribed");
    subscription.unsubscribe();
    assert.equal((await ended).code, 0);
    await made.publish(subscription.channel, "unheard");
    subscription.subscribe();
    await subscription.ready(10_000);
    await made.publish(subscription.channel, "heard");
    await until(() => subscription.heard.length === 1, "the publication");
    assert.equal(subscription.heard[0].data, "heard");
  });

  test("a restart of the server: it comes back and is in its channels again", async () => {
    const made = await connected();
    const subscription = await subscribed(made, channel());
    const reasons = [];
    made.on("connecting", ({ code }) => reasons.push(code));
    await answerer.stop();
    const away = event(made, "connecting");
    const code = server.stop();
    await away;
    assert.equal(await code, 0);
    assert.equal(reasons[0], 3001);
    const back = event(subscription, "subscribed");
    await server.start();
    await back;
    answerer = await new Answerer(server.embedded).start();
    await subscription.publish("after");
    await until(() => subscription.heard.some(({ data }) => data === "after"), "a publication after the restart");
    assert.deepEqual((await made.rpc("echo", [1])).data, [1]);
  });
});
