// How long it takes a new client to have a document of 260,000 edits: from Jackfield when nobody has it open, from Jackfield when
// somebody has, and from y-websocket's own server, which has it in memory as a Yjs document.
//
//   node loads.mjs '{"url": "...", "token": "...", "port": 12345, "rounds": 5}'      port: for y-websocket's server

import { spawn } from "node:child_process";
import { connect } from "node:net";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import { WebSocket } from "ws";
import { WebsocketProvider } from "y-websocket";
import * as Y from "yjs";

import { EDITS, paper } from "./paper.mjs";

const { url, token, port, rounds } = JSON.parse(process.argv[2]);
const say = (said) => console.log(JSON.stringify(said));
const heard = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const base64 = (bytes) => Buffer.from(bytes).toString("base64");
const middle = (numbers) => numbers.sort((one, other) => one - other)[Math.floor(numbers.length / 2)];

function open(where, channel, params = {}) {
  const doc = new Y.Doc();
  const provider = new WebsocketProvider(where, channel, doc, { params, disableBc: true, WebSocketPolyfill: WebSocket });
  return { doc, provider, synced: new Promise((resolve) => provider.once("sync", resolve)) };
}
async function load(where, channel, params, length) {
  const began = performance.now();
  const { doc, provider, synced } = open(where, channel, params);
  await synced;
  while (doc.getText("text").length !== length) await new Promise((resolve) => doc.once("update", resolve));
  const took = performance.now() - began;
  provider.destroy();
  return took;
}

const { parts, doc } = paper();
const whole = Y.encodeStateAsUpdate(doc);
const { length } = doc.getText("text");
say({ say: "paper", edits: EDITS, length, bytes: whole.length, rows: parts.length, updates: parts.map(base64) });
await heard.next(); // it is stored as doc:1 to doc:ROUNDS in rows, and as doc:0

const own = spawn(process.execPath, [fileURLToPath(new URL("node_modules/y-websocket-1/bin/server.js", import.meta.url))], { env: { ...process.env, HOST: "127.0.0.1", PORT: String(port) }, stdio: "ignore" });
try {
  for (let isUp = false; !isUp; ) {
    isUp = await new Promise((resolve) => {
      const socket = connect(port, "127.0.0.1", () => resolve(true)).on("error", () => resolve(false));
      socket.unref();
    });
  }
  const theirs = `ws://127.0.0.1:${port}`;
  const keeper = open(theirs, "paper");
  await keeper.synced;
  Y.applyUpdate(keeper.doc, whole);
  await load(theirs, "paper", {}, length);
  const holder = open(url, "doc:0", { token });
  await holder.synced;
  const found = { theirs: [], cold: [], warm: [] };
  for (let round = 1; round <= rounds; round++) { // in turns, so that what else the machine does is shared
    found.theirs.push(await load(theirs, "paper", {}, length));
    found.cold.push(await load(url, `doc:${round}`, { token }, length));
    found.warm.push(await load(url, "doc:0", { token }, length));
  }
  say({ say: "loads", theirs: middle(found.theirs), cold: middle(found.cold), warm: middle(found.warm), same: holder.doc.getText("text").toString() === doc.getText("text").toString() });
  holder.provider.destroy();
  keeper.provider.destroy();
} finally {
  own.kill();
}
await heard.next();
process.exit();
