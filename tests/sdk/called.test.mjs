// The application asks a client of the unmodified JavaScript SDK, which answers with the words of docs/calls.md.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";

import { Server, need, token } from "./serving.mjs";

const { Centrifuge } = need("centrifuge");
const WebSocket = need("ws");

const page = readFileSync(new URL("../../docs/calls.md", import.meta.url), "utf8");
const [, snippet] = page.match(/```js\n(export function answering[\s\S]*?)```/);
const { answering } = await import(`data:text/javascript,${encodeURIComponent(snippet)}`);

let server;
let client;
let hear = () => {};

before(async () => {
  server = await new Server({ sets: ["http_api.key=key"] }).start();
  client = new Centrifuge(server.url, { websocket: WebSocket, token: token("ann") });
  client.on("error", () => {});
  answering(client, {
    where: async ({ exact }) => ({ x: 1, exact }),
    broken: () => {
      throw new Error("out of order");
    },
    silent: () => {
      hear();
      return new Promise(() => {});
    },
  });
  client.connect();
  await client.ready(10_000);
});

after(async () => {
  client.disconnect();
  await server.end();
});

async function ask(payload) {
  const body = JSON.stringify({ user: "ann", data: null, ...payload });
  const headers = { "X-API-Key": "key" };
  return (await fetch(`http://127.0.0.1:${server.internal}/api/call`, { method: "POST", headers, body })).json();
}

test("a client answers what it is asked", async () => {
  const reply = await ask({ method: "where", data: { exact: true } });
  assert.deepEqual(reply, { result: { data: { x: 1, exact: true } } });
});

test("several questions at once each have their answer", async () => {
  const replies = await Promise.all([...Array(20).keys()].map((n) => ask({ method: "where", data: { exact: n } })));
  assert.deepEqual(
    replies.map((reply) => reply.result.data.exact),
    [...Array(20).keys()],
  );
});

test("errors, silence and absence are told", async () => {
  assert.deepEqual((await ask({ method: "broken" })).error, { code: 400, message: "out of order" });
  assert.equal((await ask({ method: "silent", timeout: 300 })).error.code, 100);
  assert.equal((await ask({ method: "where", user: "bob" })).error.code, 108);
  const heard = new Promise((resolve) => {
    hear = resolve;
  });
  const gone = ask({ method: "silent", timeout: 20_000 });
  await heard;
  client.disconnect();
  assert.equal((await gone).error.code, 108);
});
