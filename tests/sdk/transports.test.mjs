// The unmodified JavaScript SDK over each of its transports, in each encoding, directly and through nginx.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { Cutter, NGINX, Nginx } from "./between.mjs";
import { Answerer, EVERY_WAY, Server, need, token, until } from "./serving.mjs";

const SDKS = { json: need("centrifuge").Centrifuge, protobuf: need("centrifuge/build/protobuf").Centrifuge };
const WebSocket = need("ws");
const { EventSource } = need("eventsource");

const WAYS = [
  ["websocket", "json"],
  ["websocket", "protobuf"],
  ["sse", "json"],
  ["http_stream", "json"],
  ["http_stream", "protobuf"],
];

// What the application writes and reads: any value in JSON, bytes in Protobuf.
const CODECS = {
  json: { pack: (value) => value, unpack: (data) => data },
  protobuf: {
    pack: (value) => new TextEncoder().encode(JSON.stringify(value)),
    unpack: (data) => JSON.parse(new TextDecoder().decode(data)),
  },
};

let server;
let answerer;
let nginx;
const clients = [];
let channels = 0;
const unique = (namespace) => `${namespace}:way-${(channels += 1)}`;
const range = (from, to) => Array.from({ length: to - from + 1 }, (_, n) => from + n);

function client(port, [transport, encoding], options = {}) {
  const endpoint = `${transport === "websocket" ? "ws" : "http"}://127.0.0.1:${port}/connection/${transport}`;
  const made = new SDKS[encoding]([{ transport, endpoint }], {
    websocket: WebSocket,
    eventsource: EventSource,
    emulationEndpoint: `http://127.0.0.1:${port}/emulation`,
    token: token("ann", { info: { name: "Ann" } }),
    minReconnectDelay: 20,
    maxReconnectDelay: 100,
    ...options,
  });
  // Without a listener Node would take the SDK's errors for its own.
  made.errors = [];
  made.on("error", (context) => made.errors.push(context.error));
  made.transports = [];
  made.on("connected", (context) => made.transports.push(context.transport));
  Object.assign(made, CODECS[encoding]);
  clients.push(made);
  return made;
}

async function connected(port, way, options) {
  const made = client(port, way, options);
  made.connect();
  await made.ready(10_000);
  return made;
}

async function subscribed(made, name, options) {
  const subscription = made.newSubscription(name, options);
  subscription.heard = [];
  subscription.joined = [];
  subscription.on("publication", (context) => subscription.heard.push(context));
  subscription.on("subscribed", (context) => subscription.joined.push(context));
  subscription.on("error", () => {});
  subscription.subscribe();
  await subscription.ready(10_000);
  subscription.values = () => subscription.heard.map(({ data }) => made.unpack(data));
  return subscription;
}

const publisher = () => connected(server.port, ["websocket", "json"], { token: token("bob") });

before(async () => {
  server = await new Server({ config: EVERY_WAY, sets: ["client.message_rate_limit=0"] }).start();
  answerer = await new Answerer(server.embedded).start();
  if (NGINX) nginx = await new Nginx(server.port).start();
});

after(async () => {
  for (const made of clients) made.disconnect();
  await answerer.stop();
  await nginx?.stop();
  await server.end();
});

// The ways to the server. `cutter` is what is cut there; `port` is where the client goes.
const ROUTES = {
  directly: async () => {
    const cutter = await new Cutter(server.port).start();
    return { cutter, port: cutter.port, stop: () => cutter.stop() };
  },
  "through nginx": async () => {
    const cutter = await new Cutter(nginx.port).start();
    return { cutter, port: cutter.port, stop: () => cutter.stop() };
  },
  "through nginx, cut behind it": async () => {
    const cutter = await new Cutter(server.port).start();
    const own = await new Nginx(cutter.port).start();
    const stop = async () => {
      await own.stop();
      await cutter.stop();
    };
    return { cutter, port: own.port, stop };
  },
};

for (const [route, open] of Object.entries(ROUTES)) {
  describe(`centrifuge ${route}`, { skip: route.includes("nginx") && !NGINX ? "there is no nginx" : false }, () => {
    let way;
    before(async () => (way = await open()));
    after(() => way.stop());
    for (const kind of WAYS) {
      test(`${kind.join(", ")}: connects, subscribes, publishes and calls`, () => walk(way.port, kind));
      test(`${kind.join(", ")}: recovers what was published while its socket was cut`, () => recovers(way, kind));
      test(`${kind.join(", ")}: is cut again and again while somebody publishes`, () => underFire(way, kind));
    }
  });
}

async function walk(port, kind) {
  const made = await connected(port, kind);
  assert.deepEqual(made.transports, [kind[0]]);
  const channel = unique("open");
  const subscription = await subscribed(made, channel);
  const long = "x".repeat(30_000);
  for (const value of [{ text: "grüß dich 😀\n" }, { long }, 3]) await subscription.publish(made.pack(value));
  await until(() => subscription.heard.length === 3, "the publications");
  assert.deepEqual(subscription.values(), [{ text: "grüß dich 😀\n" }, { long }, 3]);
  assert.deepEqual(subscription.heard.map(({ offset }) => offset), [1, 2, 3]);
  const { info } = subscription.heard[0];
  assert.deepEqual([info.user, made.unpack(info.connInfo)], ["ann", { name: "Ann" }]);
  const { publications, offset } = await subscription.history({ limit: -1 });
  assert.deepEqual([publications.length, offset, made.unpack(publications[2].data)], [3, 3, 3]);
  const { clients: members } = await subscription.presence();
  assert.deepEqual(Object.values(members).map(({ user }) => user), ["ann"]);
  assert.deepEqual(await subscription.presenceStats(), { numClients: 1, numUsers: 1 });
  const calls = await Promise.all(range(1, 20).map((n) => made.rpc("echo", made.pack({ n, text: "é" }))));
  assert.deepEqual(calls.map(({ data }) => made.unpack(data).n), range(1, 20));
  await assert.rejects(made.rpc("fail", made.pack({})), { code: 444, message: "as asked" });
  await assert.rejects(made.publish("nowhere:1", made.pack(1)), { code: 102 });
  subscription.unsubscribe();
  await made.publish(channel, made.pack("unheard"));
  const gone = new Promise((resolve) => made.once("disconnected", resolve));
  made.disconnect();
  assert.equal((await gone).code, 0);
  assert.equal(subscription.heard.length, 3);
  assert.deepEqual(made.errors, []);
}

async function recovers({ cutter, port }, kind) {
  const made = await connected(port, kind);
  const subscription = await subscribed(made, unique("kept"));
  const other = await publisher();
  assert.equal(subscription.joined[0].recoverable, true);
  for (const n of range(1, 5)) await other.publish(subscription.channel, n);
  await until(() => subscription.heard.length === 5, "what came before the cut");
  try {
    const away = new Promise((resolve) => made.once("connecting", resolve));
    assert.ok(cutter.cut() >= 1);
    await away;
    for (const n of range(6, 40)) await other.publish(subscription.channel, n);
    assert.equal(subscription.heard.length, 5);
  } finally {
    cutter.heal();
  }
  await until(() => subscription.joined.length === 2, "a second subscription");
  const { wasRecovering, recovered } = subscription.joined[1];
  assert.deepEqual({ wasRecovering, recovered }, { wasRecovering: true, recovered: true });
  await other.publish(subscription.channel, 41);
  await until(() => subscription.heard.length >= 41, "all publications");
  assert.deepEqual(subscription.values(), range(1, 41));
  assert.deepEqual(subscription.heard.map(({ offset }) => offset), range(1, 41));
  made.disconnect();
}

async function underFire({ cutter, port }, kind) {
  const made = await connected(port, kind);
  const subscription = await subscribed(made, unique("kept"));
  const other = await publisher();
  let cuts = 0;
  for (const n of range(1, 200)) {
    await other.publish(subscription.channel, n);
    // A cut that met nobody would prove nothing: it waits until the client is back.
    if (n % 45 === 0) {
      await until(() => subscription.joined.length === cuts + 1, "a client that is back");
      assert.ok(cutter.snap() >= 1);
      cuts += 1;
    }
  }
  await until(() => subscription.heard.length >= 200, "all publications");
  assert.deepEqual(subscription.values(), range(1, 200));
  assert.equal(subscription.joined.length, cuts + 1);
  assert.ok(subscription.joined.slice(1).every(({ recovered }) => recovered));
  made.disconnect();
}

describe("centrifuge and what cannot be recovered", () => {
  for (const kind of WAYS) {
    test(`${kind.join(", ")}: more is missed than is kept: it is told so, and goes on with what is next`, async () => {
      const cutter = await new Cutter(server.port).start();
      try {
        const made = await connected(cutter.port, kind);
        const subscription = await subscribed(made, unique("brief"));
        const other = await publisher();
        await other.publish(subscription.channel, 1);
        await until(() => subscription.heard.length === 1, "the first publication");
        const away = new Promise((resolve) => made.once("connecting", resolve));
        cutter.cut();
        await away;
        for (const n of range(2, 20)) await other.publish(subscription.channel, n);
        cutter.heal();
        await until(() => subscription.joined.length === 2, "a second subscription");
        const { wasRecovering, recovered, streamPosition } = subscription.joined[1];
        assert.deepEqual([wasRecovering, recovered, streamPosition.offset], [true, false, 20]);
        await other.publish(subscription.channel, 21);
        await until(() => subscription.heard.length === 2, "the publication after it");
        assert.deepEqual(subscription.values(), [1, 21]);
        made.disconnect();
      } finally {
        await cutter.stop();
      }
    });
  }

  test("a restart of the server begins another epoch, on every transport", async () => {
    const own = await new Server({ config: EVERY_WAY }).start();
    try {
      const made = await Promise.all(WAYS.map((kind) => connected(own.port, kind)));
      const channel = unique("kept");
      const subscriptions = await Promise.all(made.map((one) => subscribed(one, channel)));
      await made[0].publish(channel, "before");
      await until(() => subscriptions.every(({ heard }) => heard.length === 1), "the publication before");
      const reasons = made.map((one) => new Promise((resolve) => one.once("connecting", resolve)));
      await own.stop();
      // 3001 is what the server says last; over an emulated transport it is a push, over a WebSocket the Close frame.
      assert.deepEqual((await Promise.all(reasons)).map(({ code }) => code), WAYS.map(() => 3001));
      await own.start();
      await until(() => subscriptions.every(({ joined }) => joined.length === 2), "all of them back");
      for (const { joined } of subscriptions) assert.deepEqual([joined[1].wasRecovering, joined[1].recovered], [true, false]);
      await made[0].publish(channel, "after");
      await until(() => subscriptions.every(({ heard }) => heard.length === 2), "the publication after");
      subscriptions.forEach(({ values }) => assert.deepEqual(values(), ["before", "after"]));
      made.forEach((one) => one.disconnect());
    } finally {
      await own.end();
    }
  });
});

describe("JSON and Protobuf in one channel", () => {
  test("each hears the other, on every transport", async () => {
    const channel = unique("open");
    const made = await Promise.all(WAYS.map((kind) => connected(server.port, kind)));
    const subscriptions = await Promise.all(made.map((one) => subscribed(one, channel)));
    for (const [n, one] of made.entries()) await one.publish(channel, one.pack({ from: n }));
    for (const [n, { heard, values }] of subscriptions.entries()) {
      await until(() => heard.length === made.length, `all publications at ${WAYS[n]}`);
      assert.deepEqual(values(), range(0, made.length - 1).map((from) => ({ from })));
    }
    made.forEach((one) => one.disconnect());
  });

  test("bytes that are no JSON arrive as they were sent, and as base64 where only JSON can be", async () => {
    const channel = unique("open");
    const bytes = Uint8Array.from(range(0, 255));
    const made = await Promise.all(WAYS.map((kind) => connected(server.port, kind)));
    const subscriptions = await Promise.all(made.map((one) => subscribed(one, channel)));
    await made[1].publish(channel, bytes);
    for (const [n, { heard }] of subscriptions.entries()) {
      await until(() => heard.length === 1, `the bytes at ${WAYS[n]}`);
      if (WAYS[n][1] === "json") assert.equal(heard[0].data, Buffer.from(bytes).toString("base64"));
      else assert.deepEqual(Uint8Array.from(heard[0].data), bytes);
    }
    made.forEach((one) => one.disconnect());
  });
});

test("a client that may choose takes the next transport where the first is not to be had", async () => {
  const endpoint = (transport) => `${transport === "websocket" ? "ws" : "http"}://127.0.0.1:${server.port}/connection`;
  const made = new SDKS.json(
    [
      { transport: "websocket", endpoint: `${endpoint("websocket")}/nowhere` },
      { transport: "http_stream", endpoint: `${endpoint("http_stream")}/http_stream` },
    ],
    {
      websocket: WebSocket,
      emulationEndpoint: `http://127.0.0.1:${server.port}/emulation`,
      token: token("ann"),
      minReconnectDelay: 20,
      maxReconnectDelay: 100,
    },
  );
  clients.push(made);
  made.on("error", () => {});
  const context = new Promise((resolve) => made.once("connected", resolve));
  made.connect();
  assert.equal((await context).transport, "http_stream");
  made.disconnect();
});

test("frames were compressed for those who can, which is every WebSocket of Node and of browsers", async () => {
  const figures = await (await fetch(`http://127.0.0.1:${server.internal}/metrics`)).text();
  assert.ok(Number(/^jackfield_deflated_frames_total (\d+)/m.exec(figures)?.[1]) > 0, figures);
});
