// Unmodified y-websocket clients, in Node and in Chromium, who edit one document at random and lose their connections now and then.
//
//   node editors.mjs edit OPERATIONS SEED CHANNEL PORT[,PORT]   all of them, until they agree byte for byte
//   node editors.mjs load TIMES CHANNEL URL[,URL]               how long each server takes to show a document to who comes
//   node editors.mjs write EDITS SEED CHANNEL URL[,URL]         a long document, written once and sent to each server
//
// What it says is a JSON object per line.

import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join, normalize } from "node:path";
import { pathToFileURL } from "node:url";

const MODULES = process.env.JACKFIELD_NODE_MODULES;
if (!MODULES) throw new Error("JACKFIELD_NODE_MODULES must name the node_modules of tests/sdk/package.json");
const require = createRequire(join(MODULES, "x.js"));
const load = (path) => import(pathToFileURL(join(MODULES, path)).href);
const Y = await load("yjs/dist/yjs.mjs");
const { WebsocketProvider } = await load("y-websocket/src/y-websocket.js");
const WebSocketPolyfill = require("ws");

const say = (what) => console.log(JSON.stringify(what));
const PATIENCE_MS = 120_000;
const PAUSE_MS = 3;

async function until(what, look) {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    if (await look()) return;
    if (Date.now() > deadline) throw new Error(`never seen: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

// The same numbers for the same seed.
function dice(seed) {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

// One edit: text, its format, a map, or a list.
function edit(doc, roll, number) {
  const text = doc.getText("text");
  const kind = roll(20);
  if (kind < 11) text.insert(roll(text.length + 1), ["a", "bc", "żółw", "🦊", "line\n"][roll(5)]);
  else if (kind < 15 && text.length > 8) text.delete(roll(text.length - 8), 1 + roll(8));
  else if (kind < 16 && text.length > 8) text.format(roll(text.length - 8), 4, { bold: roll(2) ? true : null });
  else if (kind < 18) doc.getMap("map").set(`key${roll(30)}`, number);
  else if (doc.getArray("list").length > 20) doc.getArray("list").delete(0, 2);
  else doc.getArray("list").push([number, { number }]);
}

class Editor {
  constructor(url, channel) {
    this.doc = new Y.Doc();
    this.provider = new WebsocketProvider(url, channel, this.doc, { WebSocketPolyfill, disableBc: true, maxBackoffTime: 250 });
  }
  edit(roll, number) {
    edit(this.doc, roll, number);
  }
  drop(millis) {
    this.provider.disconnect();
    setTimeout(() => this.provider.connect(), millis);
  }
  state() {
    const { wsconnected, synced } = this.provider;
    return wsconnected && synced ? Buffer.from(Y.encodeStateAsUpdate(this.doc)).toString("base64") : null;
  }
  close() {
    this.provider.destroy();
    this.doc.destroy();
  }
}

// The same in a page: the modules come as they are in the packages.
const PAGE = `<!doctype html><script type="importmap">{"imports": {"yjs": "/yjs/dist/yjs.mjs", "y-websocket": "/y-websocket/src/y-websocket.js",
  "y-protocols/": "/y-protocols/", "lib0/": "/lib0/"}}</script><script type="module">
import * as Y from "yjs"; import { WebsocketProvider } from "y-websocket"; Object.assign(window, { Y, WebsocketProvider, ready: true });</script>`;

async function page(url, channel) {
  const server = createServer(async (request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, "http://x").pathname));
    if (path === "/") return response.writeHead(200, { "content-type": "text/html" }).end(PAGE);
    const file = join(MODULES, path.endsWith("js") ? path : `${path}.js`);
    const body = await readFile(file).catch(() => null);
    response.writeHead(body ? 200 : 404, { "content-type": "text/javascript" }).end(body);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const browser = await require("playwright-core").chromium.launch({
    executablePath: process.env.JACKFIELD_CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"],
  });
  const tab = await browser.newPage();
  await tab.goto(`http://127.0.0.1:${server.address().port}/`);
  await tab.waitForFunction(() => window.ready);
  await tab.evaluate(`window.edit = ${edit}; window.dice = ${dice}`);
  await tab.evaluate(([url, channel]) => {
    const doc = new window.Y.Doc();
    const provider = new window.WebsocketProvider(url, channel, doc, { disableBc: true, maxBackoffTime: 250 });
    Object.assign(window, { doc, provider });
  }, [url, channel]);
  return {
    edits: (seed, from, count) => tab.evaluate(([seed, from, count]) => {
      const roll = window.dice(seed);
      for (let number = from; number < from + count; number++) window.edit(window.doc, roll, number);
    }, [seed, from, count]),
    drop: (millis) => tab.evaluate((millis) => {
      window.provider.disconnect();
      setTimeout(() => window.provider.connect(), millis);
    }, millis),
    state: () => tab.evaluate(() => {
      if (!window.provider.wsconnected || !window.provider.synced) return null;
      return btoa(Array.from(window.Y.encodeStateAsUpdate(window.doc), (byte) => String.fromCharCode(byte)).join(""));
    }),
    close: async () => {
      await browser.close();
      server.close();
    },
  };
}

async function editing(operations, seed, channel, ports) {
  const roll = dice(seed);
  const url = (nth) => `ws://127.0.0.1:${ports[nth % ports.length]}/yjs`;
  const editors = [new Editor(url(0), channel), new Editor(url(1), channel)];
  const tab = await page(url(2), channel);
  let done = 0;
  let drops = 0;
  for (let told = 0; done < operations; ) {
    for (const editor of editors) for (let nth = roll(8); nth > 0; nth--, done++) editor.edit(roll, done);
    if (roll(4) === 0) {
      const count = 4 + roll(12);
      await tab.edits(roll(1 << 30), done, count);
      done += count;
    }
    if (roll(80) === 0) {
      drops++;
      await [...editors, tab][roll(3)].drop(roll(300));
    }
    if (done - told >= 500) {
      told = done;
      say({ done });
    }
    await new Promise((resolve) => setTimeout(resolve, roll(PAUSE_MS)));
  }
  let states;
  await until("the same document everywhere", async () => {
    states = [editors[0].state(), editors[1].state(), await tab.state()];
    return states[0] !== null && states.every((state) => state === states[0]);
  });
  // Whoever comes now has the same.
  const late = new Editor(url(1), channel);
  await until("the same document for who comes late", () => late.state() === states[0]);
  say({ operations: done, drops, bytes: Buffer.from(states[0], "base64").length, state: states[0] });
  for (const editor of [...editors, late]) editor.close();
  await tab.close();
}

// As somebody writes: mostly on from where they are, sometimes elsewhere, with slips.
function written(edits, seed) {
  const doc = new Y.Doc();
  doc.clientID = 1 + (seed % 1_000_000);
  const text = doc.getText("text");
  const roll = dice(seed);
  let at = 0;
  doc.transact(() => {
    for (let nth = 0; nth < edits; nth++) {
      if (roll(300) === 0) at = roll(text.length + 1);
      if (at > 0 && roll(9) === 0) text.delete(--at, 1);
      else text.insert(at++, "etaoin shrdlu"[roll(13)]);
    }
  });
  return doc;
}

async function sent(doc, url, channel) {
  const provider = new WebsocketProvider(url, channel, doc, { WebSocketPolyfill, disableBc: true });
  await until(`${url} has the document`, () => provider.synced);
  const other = new Editor(url, channel);
  const whole = Y.encodeStateVector(doc);
  await until("another one sees it", () => other.provider.synced && Buffer.compare(Y.encodeStateVector(other.doc), whole) === 0);
  other.close();
  provider.destroy();
}

async function loading(times, channel, urls) {
  const spent = urls.map(() => []);
  let length = 0;
  for (let nth = 0; nth < times; nth++) {
    for (const [place, url] of urls.entries()) {
      const begun = performance.now();
      const editor = new Editor(url, channel);
      await new Promise((resolve) => editor.provider.once("sync", resolve));
      spent[place].push(performance.now() - begun);
      length = editor.doc.getText("text").length;
      editor.close();
    }
  }
  const middle = (numbers) => numbers.sort((one, other) => one - other)[Math.floor(numbers.length / 2)];
  say({ length, millis: spent.map((numbers) => Math.round(middle(numbers) * 10) / 10) });
}

const [what, count, ...rest] = process.argv.slice(2);
if (what === "edit") await editing(Number(count), Number(rest[0]), rest[1], rest[2].split(","));
else if (what === "load") await loading(Number(count), rest[0], rest[1].split(","));
else if (what === "write") {
  const doc = written(Number(count), Number(rest[0]));
  for (const url of rest[2].split(",")) await sent(doc, url, rest[1]);
  say({ length: doc.getText("text").length, bytes: Y.encodeStateAsUpdate(doc).length });
} else throw new Error(`${what}: there are edit, load and write`);
process.exit(0);
