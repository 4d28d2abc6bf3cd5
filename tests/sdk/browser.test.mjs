// The same SDK in a browser: headless Chromium, on a page of another origin and on the page of --dev.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, describe, test } from "node:test";

import { chromium, skip } from "./chromium.mjs";
import { Answerer, CONFIG, Server, module, soon, token, until } from "./serving.mjs";

let site;
let origin;
let server;
let answerer;
let browser;

before(async () => {
  if (skip) return;
  site = createServer((_, answer) => answer.setHeader("Content-Type", "text/html").end("<!doctype html><title>t</title>"));
  await new Promise((resolve) => site.listen(0, "127.0.0.1", resolve));
  origin = `http://127.0.0.1:${site.address().port}`;
  server = await new Server({ config: CONFIG, sets: [`client.allowed_origins=${origin}`] }).start();
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

async function page(address) {
  const made = await browser.newPage();
  await made.goto(address);
  await made.addScriptTag({ path: module("centrifuge/dist/centrifuge.js") });
  return made;
}

describe("centrifuge in a browser", { skip }, () => {
  test("connects, subscribes, publishes, asks and calls", async () => {
    const made = await page(origin);
    const seen = await made.evaluate(
      async ({ url, token }) => {
        const client = new Centrifuge(url, { token });
        client.connect();
        await client.ready(10_000);
        const subscription = client.newSubscription("open:browser");
        const heard = new Promise((resolve) => subscription.once("publication", resolve));
        subscription.subscribe();
        await subscription.ready(10_000);
        await subscription.publish({ text: "grüß dich 😀" });
        const { data, info, offset } = await heard;
        const presence = Object.values((await subscription.presence()).clients).map(({ user }) => user);
        const stats = await subscription.presenceStats();
        const history = (await subscription.history({ limit: 10 })).publications.map(({ data }) => data);
        const rpc = (await client.rpc("echo", { n: 1 })).data;
        const error = await client.publish("nowhere:1", 1).catch(({ code }) => code);
        subscription.unsubscribe();
        client.disconnect();
        return { data, user: info.user, offset, presence, stats, history, rpc, error };
      },
      { url: server.url, token: token("ann") },
    );
    assert.deepEqual(seen, {
      data: { text: "grüß dich 😀" },
      user: "ann",
      offset: 1,
      presence: ["ann"],
      stats: { numClients: 1, numUsers: 1 },
      history: [{ text: "grüß dich 😀" }],
      rpc: { n: 1 },
      error: 102,
    });
    await made.close();
  });

  test("an expired token asks for another", async () => {
    const made = await page(origin);
    const asked = await made.evaluate(
      async ({ url, expired, good }) => {
        let asked = 0;
        const getToken = async () => {
          asked += 1;
          return good;
        };
        const client = new Centrifuge(url, { token: expired, getToken });
        client.connect();
        await client.ready(10_000);
        client.disconnect();
        return asked;
      },
      { url: server.url, expired: token("ann", { exp: soon(-10) }), good: token("ann") },
    );
    assert.equal(asked, 1);
    await made.close();
  });

  test("a bad token ends it for good, with its code", async () => {
    const made = await page(origin);
    const { code, reason } = await made.evaluate(
      ({ url }) =>
        new Promise((resolve) => {
          const client = new Centrifuge(url, { token: "garbage" });
          client.once("disconnected", ({ code, reason }) => resolve({ code, reason }));
          client.connect();
        }),
      { url: server.url },
    );
    assert.equal(code, 3500);
    assert.match(reason, /JWT/);
    await made.close();
  });

  test("a page of a foreign origin does not get in", async () => {
    const made = await page(`http://localhost:${site.address().port}`);
    const opened = await made.evaluate(
      ({ url }) =>
        new Promise((resolve) => {
          const socket = new WebSocket(url);
          socket.onopen = () => resolve(true);
          socket.onerror = () => resolve(false);
        }),
      { url: server.url },
    );
    assert.equal(opened, false);
    await made.close();
  });

  test("a restart of the server: the page comes back and is in its channel again", async () => {
    const made = await page(origin);
    await made.evaluate(
      async ({ url, token }) => {
        const client = (window.client = new Centrifuge(url, { token, minReconnectDelay: 50, maxReconnectDelay: 200 }));
        window.heard = [];
        window.subscription = client.newSubscription("open:restart");
        window.subscription.on("publication", ({ data }) => window.heard.push(data));
        window.subscription.subscribe();
        client.connect();
        await window.subscription.ready(10_000);
      },
      { url: server.url, token: token("ann") },
    );
    await answerer.stop();
    await server.stop();
    await until(() => made.evaluate(() => window.client.state === "connecting"), "a client that is reconnecting");
    await server.start();
    answerer = await new Answerer(server.embedded).start();
    await made.evaluate(async () => {
      await window.subscription.ready(10_000);
      await window.subscription.publish("after");
    });
    await until(() => made.evaluate(() => window.heard.includes("after")), "a publication after the restart");
    await made.close();
  });

  test("on the page of --dev, without a token", async () => {
    const dev = await new Server({
      config: "",
      flags: ["--dev"],
      sets: ["tcp=[]"],
    }).start();
    try {
      const made = await page(`http://127.0.0.1:${dev.port}/`);
      const heard = await made.evaluate(async (url) => {
        const client = new Centrifuge(url);
        client.connect();
        await client.ready(10_000);
        const subscription = client.newSubscription("room:1");
        const heard = new Promise((resolve) => subscription.once("publication", resolve));
        subscription.subscribe();
        await subscription.ready(10_000);
        await subscription.publish("hello");
        const { data } = await heard;
        client.disconnect();
        return data;
      }, dev.url);
      assert.equal(heard, "hello");
      await made.close();
    } finally {
      await dev.end();
    }
  });
});
