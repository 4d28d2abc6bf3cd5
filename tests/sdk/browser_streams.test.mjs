// Streams in a browser: its own EventSource with no library, and the SDK over each of its transports, from other origins.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, describe, test } from "node:test";

import { chromium, skip } from "./chromium.mjs";
import { Answerer, EVERY_WAY, Server, module, token, until } from "./serving.mjs";

let site;
let origin;
let foreign;
let server;
let answerer;
let browser;

before(async () => {
  if (skip) return;
  site = createServer((_, answer) => answer.setHeader("Content-Type", "text/html").end("<!doctype html><title>t</title>"));
  await new Promise((resolve) => site.listen(0, "127.0.0.1", resolve));
  origin = `http://127.0.0.1:${site.address().port}`;
  foreign = `http://localhost:${site.address().port}`;
  const config = `${EVERY_WAY}
[[channel.namespaces]]
name = "news"
allow_subscribe_for_client = true
allow_publish_for_client = true
history_size = 100
history_ttl = "5m"
force_recovery = true
`;
  server = await new Server({ config, sets: [`client.allowed_origins=${origin}`, "http_api.insecure=true"] }).start();
  answerer = await new Answerer(server.embedded).start();
  browser = await chromium();
});

after(async () => {
  if (skip) return;
  await browser.close();
  await answerer.stop();
  await server.end();
  site.close();
});

const address = (endpoint) => `http://127.0.0.1:${server.port}/connection/${endpoint}`;

async function page(from, library) {
  const made = await browser.newPage();
  await made.goto(from);
  if (library) await made.addScriptTag({ path: module(`centrifuge/dist/${library}.js`) });
  return made;
}

/** A page with a bare EventSource: `pushes` is what it heard, `states` how often it opened and failed. */
async function listening(from, request) {
  const made = await page(from);
  await made.evaluate((url) => {
    window.pushes = [];
    window.states = [];
    window.source = new EventSource(url);
    window.source.onmessage = ({ data }) => window.pushes.push(JSON.parse(data));
    window.source.onopen = () => window.states.push("open");
    window.source.onerror = () => window.states.push(window.source.readyState === EventSource.CLOSED ? "closed" : "again");
  }, `${address("uni_sse")}?cf_connect=${encodeURIComponent(JSON.stringify(request))}`);
  return {
    page: made,
    pushes: () => made.evaluate(() => window.pushes),
    states: () => made.evaluate(() => window.states),
    data: async (channel) =>
      (await made.evaluate(() => window.pushes)).filter((push) => push.pub && push.channel === channel).map(({ pub }) => pub.data),
    close: () => made.close(),
  };
}

/** Publishes through the API of the internal port. */
async function publish(channel, data) {
  const answer = await fetch(`http://127.0.0.1:${server.internal}/api/publish`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ channel, data }),
  });
  const body = await answer.json();
  assert.ok(answer.ok && body.result, JSON.stringify(body));
}

describe("EventSource of a browser, no library", { skip }, () => {
  test("hears the channels that it names", async () => {
    const source = await listening(origin, { token: token("ann"), subs: { "news:1": {}, "news:2": {} } });
    await until(async () => (await source.pushes()).length > 0, "the first push");
    const [{ connect }] = await source.pushes();
    assert.match(connect.client, /^[0-9a-f-]{36}$/);
    assert.deepEqual(Object.keys(connect.subs).sort(), ["news:1", "news:2"]);
    const text = 'grüß dich 😀\nin "two" lines\r\n<b> data: x';
    await publish("news:1", { text });
    await publish("news:2", 7);
    await publish("news:3", "unheard");
    await publish("news:1", [1, 2]);
    await until(async () => (await source.data("news:1")).length === 2, "publications");
    assert.deepEqual(await source.data("news:1"), [{ text }, [1, 2]]);
    assert.deepEqual(await source.data("news:2"), [7]);
    assert.deepEqual(await source.data("news:3"), []);
    assert.deepEqual(await source.states(), ["open"]);
    await source.close();
  });

  test("comes back by itself when the server has been restarted", async () => {
    const source = await listening(origin, { token: token("ann"), subs: { "news:restart": {} } });
    await until(async () => (await source.pushes()).length > 0, "the first push");
    await answerer.stop();
    await server.stop();
    await until(async () => (await source.states()).includes("again"), "an EventSource that tries again");
    const said = (await source.pushes()).map((push) => push.disconnect?.code).filter(Boolean);
    assert.deepEqual(said, [3001]);
    await server.start();
    answerer = await new Answerer(server.embedded).start();
    await until(async () => (await source.pushes()).filter(({ connect }) => connect).length === 2, "a second connection");
    await publish("news:restart", "after");
    await until(async () => (await source.data("news:restart")).includes("after"), "a publication after the restart");
    await source.close();
  });

  test("a token that is none is told why, and the stream ends", async () => {
    const source = await listening(origin, { token: "garbage" });
    const told = await until(
      async () => (await source.pushes()).map(({ disconnect }) => disconnect).find(Boolean),
      "the disconnect push",
    );
    assert.equal(told.code, 3500);
    assert.match(told.reason, /JWT/);
    await source.close();
  });

  test("a page of a foreign origin hears nothing", async () => {
    const source = await listening(foreign, { token: token("ann"), subs: { "news:1": {} } });
    await until(async () => (await source.states()).includes("closed"), "the end of the EventSource");
    assert.deepEqual(await source.pushes(), []);
    await source.close();
  });
});

describe("centrifuge in a browser over each transport", { skip }, () => {
  const kinds = [
    ["websocket", "centrifuge"],
    ["websocket", "centrifuge.protobuf"],
    ["sse", "centrifuge"],
    ["http_stream", "centrifuge"],
    ["http_stream", "centrifuge.protobuf"],
  ];

  async function walk(from, transport, library) {
    const made = await page(from, library);
    const seen = await made.evaluate(
      async ({ transport, endpoint, emulationEndpoint, token, bytes }) => {
        const pack = (value) => (bytes ? new TextEncoder().encode(JSON.stringify(value)) : value);
        const unpack = (data) => (bytes ? JSON.parse(new TextDecoder().decode(data)) : data);
        const client = new Centrifuge([{ transport, endpoint }], { emulationEndpoint, token, minReconnectDelay: 20 });
        const context = new Promise((resolve, reject) => {
          client.once("connected", resolve);
          client.on("error", ({ error }) => reject(new Error(error.message)));
        });
        client.connect();
        const used = (await context).transport;
        const subscription = client.newSubscription(`open:${transport}`);
        const heard = new Promise((resolve) => subscription.once("publication", resolve));
        subscription.subscribe();
        await subscription.ready(10_000);
        await subscription.publish(pack({ text: "grüß dich 😀" }));
        const { data, info } = await heard;
        const rpc = unpack((await client.rpc("echo", pack({ n: 1 }))).data);
        const error = await client.publish("nowhere:1", pack(1)).catch(({ code }) => code);
        client.disconnect();
        return { used, data: unpack(data), user: info.user, rpc, error };
      },
      {
        transport,
        endpoint: address(transport).replace("http", transport === "websocket" ? "ws" : "http"),
        emulationEndpoint: `http://127.0.0.1:${server.port}/emulation`,
        token: token("ann"),
        bytes: library.endsWith("protobuf"),
      },
    );
    await made.close();
    return seen;
  }

  for (const [transport, library] of kinds) {
    test(`${transport} with ${library}`, async () => {
      assert.deepEqual(await walk(origin, transport, library), {
        used: transport,
        data: { text: "grüß dich 😀" },
        user: "ann",
        rpc: { n: 1 },
        error: 102,
      });
    });
  }

  for (const [transport, library] of kinds) {
    test(`${transport} with ${library}: not from a foreign origin`, async () => {
      await assert.rejects(walk(foreign, transport, library), /transport closed|failed|error/i);
    });
  }

  test("a foreign page cannot write to a session either", async () => {
    const made = await page(foreign);
    const answered = await made.evaluate(
      (url) =>
        fetch(url, { method: "POST", headers: { "Content-Type": "application/json" }, body: '{"session":"x","node":"y","data":"{}"}' }).then(
          () => "answered",
          () => "refused",
        ),
      `http://127.0.0.1:${server.port}/emulation`,
    );
    assert.equal(answered, "refused");
    await made.close();
  });
});
