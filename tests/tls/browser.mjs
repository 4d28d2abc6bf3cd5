// Pages in Chromium over https and wss; started by test_browser.py, which says in JACKFIELD_TOLD what there is.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import { after, before, test } from "node:test";

import { chromium } from "../sdk/chromium.mjs";
import { module, until } from "../sdk/serving.mjs";

const told = JSON.parse(process.env.JACKFIELD_TOLD);
const home = `https://localhost:${told.site}/`;
let site;
let browser;

before(async () => {
  const files = { cert: readFileSync(told.certificate), key: readFileSync(told.key) };
  site = createServer(files, (_, answer) => answer.setHeader("Content-Type", "text/html").end("<!doctype html><title>t</title>"));
  await new Promise((resolve) => site.listen(told.site, "127.0.0.1", resolve));
  browser = await chromium({ home: told.home });
});

after(async () => {
  await browser.close();
  site.close();
  site.closeAllConnections();
});

async function page(library) {
  const made = await browser.newPage();
  await made.goto(home);
  if (library) await made.addScriptTag({ path: module(`centrifuge/dist/${library}.js`) });
  return made;
}

test("a page of the server itself, over https", async () => {
  const made = await browser.newPage();
  const answer = await made.goto(`https://localhost:${told.port}/health`);
  assert.equal(answer.status(), 200);
  const { protocol, issuer } = await answer.securityDetails();
  assert.deepEqual([protocol, issuer], ["TLS 1.3", "Test Authority"]);
  await made.close();
});

test("a WebSocket over TLS: what is sent comes back", async () => {
  const made = await page();
  const back = await made.evaluate(
    (url) =>
      new Promise((resolve, reject) => {
        const socket = new WebSocket(url);
        const heard = [];
        socket.binaryType = "arraybuffer";
        socket.onopen = () => {
          socket.send("grüß dich 😀");
          socket.send(new Uint8Array(50_000).fill(7));
        };
        socket.onmessage = ({ data }) => {
          heard.push(typeof data === "string" ? data : new Uint8Array(data).reduce((sum, byte) => sum + byte, 0));
          if (heard.length === 2) resolve(heard);
        };
        socket.onerror = () => reject(new Error("no WebSocket"));
      }),
    `wss://localhost:${told.port}/echo`,
  );
  assert.deepEqual(back, ["grüß dich 😀", 350_000]);
  await made.close();
});

for (const [transport, library] of [
  ["websocket", "centrifuge"],
  ["websocket", "centrifuge.protobuf"],
  ["sse", "centrifuge"],
  ["http_stream", "centrifuge"],
  ["http_stream", "centrifuge.protobuf"],
]) {
  test(`${library} over ${transport} over TLS`, async () => {
    const made = await page(library);
    const seen = await made.evaluate(
      async ({ transport, port, token, bytes }) => {
        const pack = (value) => (bytes ? new TextEncoder().encode(JSON.stringify(value)) : value);
        const unpack = (data) => (bytes ? JSON.parse(new TextDecoder().decode(data)) : data);
        const endpoint = `${transport === "websocket" ? "wss" : "https"}://localhost:${port}/connection/${transport}`;
        const client = new Centrifuge([{ transport, endpoint }], {
          emulationEndpoint: `https://localhost:${port}/emulation`,
          token,
        });
        client.connect();
        await client.ready(10_000);
        const subscription = client.newSubscription(`open:${transport}`);
        const heard = new Promise((resolve) => subscription.once("publication", resolve));
        subscription.subscribe();
        await subscription.ready(10_000);
        await subscription.publish(pack({ text: "grüß dich 😀", long: "x".repeat(20_000) }));
        const { text, long } = unpack((await heard).data);
        client.disconnect();
        return [text, long.length];
      },
      { transport, port: told.port, token: told.token, bytes: library.endsWith("protobuf") },
    );
    assert.deepEqual(seen, ["grüß dich 😀", 20_000]);
    await made.close();
  });
}

test("a bare EventSource over TLS", async () => {
  const made = await page("centrifuge");
  await made.evaluate(
    async ({ port, token }) => {
      window.heard = [];
      const request = encodeURIComponent(JSON.stringify({ token, subs: { "open:events": {} } }));
      const source = new EventSource(`https://localhost:${port}/connection/uni_sse?cf_connect=${request}`);
      source.onmessage = ({ data }) => window.heard.push(JSON.parse(data));
    },
    { port: told.port, token: told.token },
  );
  await until(() => made.evaluate(() => window.heard.length > 0), "the first push");
  await made.evaluate(
    async ({ port, token }) => {
      const client = new Centrifuge(`wss://localhost:${port}/connection/websocket`, { token });
      client.connect();
      await client.publish("open:events", "hello");
    },
    { port: told.port, token: told.token },
  );
  await until(() => made.evaluate(() => window.heard.some(({ pub }) => pub?.data === "hello")), "the publication");
  await made.close();
});

test("a server whose authority is unknown is not spoken to", async () => {
  const made = await page();
  const opened = await made.evaluate(
    (url) =>
      new Promise((resolve) => {
        const socket = new WebSocket(url);
        socket.onopen = () => resolve(true);
        socket.onerror = () => resolve(false);
      }),
    `wss://localhost:${told.unknown}/echo`,
  );
  assert.equal(opened, false);
  await assert.rejects(made.goto(`https://localhost:${told.unknown}/health`), /ERR_CERT_AUTHORITY_INVALID/);
  await made.close();
});
