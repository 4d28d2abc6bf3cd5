// Two clients in Node and one in Chromium edit one document at once. In the middle, twice, the server is killed: this says
// "kill" and waits until whoever started it says that the server is back.
//
//   node converge.mjs '{"url": "ws://127.0.0.1:8400/yjs", "channel": "doc:1", "tokens": [..3], "count": 10000, "seed": 1}'

import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import { chromium } from "playwright-core";
import { WebSocket } from "ws";
import { WebsocketProvider } from "y-websocket";
import * as Y from "yjs";

import { Player, written } from "./player.mjs";

const { url, channel, tokens, count, seed } = JSON.parse(process.argv[2]);
const FILES = { "/bundle.js": "../../demos/editor/static/editor/vendor/editor-bundle.js", "/player.mjs": "player.mjs" };
const PATIENCE_MS = Number(process.env.PATIENCE_MS || 60_000);
const say = (said) => console.log(JSON.stringify(said));
const heard = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

const site = createServer(async (request, response) => {
  const file = FILES[request.url];
  response.setHeader("Content-Type", file ? "text/javascript" : "text/html");
  response.end(file ? await readFile(fileURLToPath(new URL(file, import.meta.url))) : "<!doctype html><title>player</title>");
});
await new Promise((resolve) => site.listen(0, "127.0.0.1", resolve));
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu"] });
try {
  const page = await browser.newPage();
  await page.goto(`http://127.0.0.1:${site.address().port}/`);
  await page.evaluate(async (told) => {
    const [bundle, { Player, written }] = [await import("/bundle.js"), await import("/player.mjs")];
    window.player = new Player(bundle, told);
    window.written = () => written(bundle, window.player.doc);
    await window.player.synced();
  }, { url, channel, token: tokens[2], seed: seed + 2 });
  const players = [0, 1].map((n) => new Player({ ...Y, WebsocketProvider }, { url, channel, token: tokens[n], seed: seed + n, options: { WebSocketPolyfill: WebSocket } }));
  await Promise.all(players.map((one) => one.synced()));

  const share = Math.ceil(count / 9);
  for (let third = 0; third < 3; third++) {
    const ran = [...players.map((one) => one.run(share)), page.evaluate((share) => window.player.run(share), share)];
    if (third < 2) {
      say({ say: "kill" }); // while they write
      await heard.next();
    }
    await Promise.all(ran);
    console.error(`third ${third + 1} is written: ${Math.round(performance.now())} ms, ${players.map((one) => one.text.length)}`);
  }
  const states = async () => [...players.map((one) => written(Y, one.doc)), await page.evaluate(() => window.written())];
  const deadline = Date.now() + PATIENCE_MS;
  let found;
  for (;;) {
    found = await states();
    if (found.every((one) => ["update", "text", "map"].every((part) => one[part] === found[0][part]))) break;
    if (Date.now() > deadline) throw new Error(`they differ: ${["update", "text", "map"].filter((part) => found.some((one) => one[part] !== found[0][part]))}, ${players.map((one) => one.provider.synced)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const drops = players[0].drops + players[1].drops + (await page.evaluate(() => window.player.drops));
  for (const one of players) one.end();
  await page.evaluate(() => window.player.end());
  say({ say: "same", edits: share * 9, drops, length: players[0].text.length, ...found[0] });

  // Who comes when all are gone gets the same from what is stored.
  await heard.next();
  const late = new Player({ ...Y, WebsocketProvider }, { url, channel, token: tokens[0], seed: 0, options: { WebSocketPolyfill: WebSocket } });
  await late.synced();
  say({ say: "late", ...written(Y, late.doc) });
  late.end();
} catch (error) {
  console.error(error);
  process.exitCode = 1;
} finally {
  await browser.close();
  site.close();
  process.exit(); // the intervals of Yjs's awareness go on for ever
}
