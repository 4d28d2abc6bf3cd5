// Unmodified y-websocket clients who edit one document at random and lose their connections now and then.
//
//   node editors.mjs edit OPERATIONS SEED CHANNEL PORT[,PORT]   two, until they agree byte for byte
//   node editors.mjs load CHANNEL URL                           one who comes, and tells how long the text is
//   node editors.mjs write EDITS SEED CHANNEL URL               a text, written and sent
//
// What it says is a JSON object per line.

import { WebSocket } from "ws";
import { WebsocketProvider } from "y-websocket";
import * as Y from "yjs";

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

// One edit: text, its format, a map, or a list. No characters beyond the first plane: where one is cut in half, documents of Yjs differ.
function edit(doc, roll, number) {
  const text = doc.getText("text");
  const kind = roll(20);
  if (kind < 11) text.insert(roll(text.length + 1), ["a", "bc", "żółw", "♞", "line\n"][roll(5)]);
  else if (kind < 15 && text.length > 8) text.delete(roll(text.length - 8), 1 + roll(8));
  else if (kind < 16 && text.length > 8) text.format(roll(text.length - 8), 4, { bold: roll(2) ? true : null });
  else if (kind < 18) doc.getMap("map").set(`key${roll(30)}`, number);
  else if (doc.getArray("list").length > 20) doc.getArray("list").delete(0, 2);
  else doc.getArray("list").push([number, { number }]);
}

class Editor {
  constructor(url, channel) {
    this.doc = new Y.Doc();
    this.provider = new WebsocketProvider(url, channel, this.doc, { WebSocketPolyfill: WebSocket, disableBc: true, maxBackoffTime: 250 });
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

async function editing(operations, seed, channel, ports) {
  const roll = dice(seed);
  const url = (nth) => `ws://127.0.0.1:${ports[nth % ports.length]}/yjs`;
  const editors = [new Editor(url(0), channel), new Editor(url(1), channel)];
  let done = 0;
  let drops = 0;
  for (let told = 0; done < operations; ) {
    for (const editor of editors) for (let nth = roll(8); nth > 0; nth--, done++) editor.edit(roll, done);
    if (roll(80) === 0) {
      drops++;
      editors[roll(2)].drop(roll(300));
    }
    if (done - told >= 500) {
      told = done;
      say({ done });
    }
    await new Promise((resolve) => setTimeout(resolve, roll(PAUSE_MS)));
  }
  let states;
  await until("the same document everywhere", async () => {
    states = editors.map((editor) => editor.state());
    return states[0] !== null && states.every((state) => state === states[0]);
  });
  // Whoever comes now has the same.
  const late = new Editor(url(1), channel);
  await until("the same document for who comes late", () => late.state() === states[0]);
  say({ operations: done, drops, bytes: Buffer.from(states[0], "base64").length });
  for (const editor of [...editors, late]) editor.close();
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
  const provider = new WebsocketProvider(url, channel, doc, { WebSocketPolyfill: WebSocket, disableBc: true });
  await until(`${url} has the document`, () => provider.synced);
  const other = new Editor(url, channel);
  const whole = Y.encodeStateVector(doc);
  await until("another one sees it", () => other.provider.synced && Buffer.compare(Y.encodeStateVector(other.doc), whole) === 0);
  other.close();
  provider.destroy();
}

async function loading(channel, url) {
  const editor = new Editor(url, channel);
  await until(`${url} shows the document`, () => editor.provider.synced);
  say({ length: editor.doc.getText("text").length });
  editor.close();
}

const [what, ...rest] = process.argv.slice(2);
if (what === "edit") await editing(Number(rest[0]), Number(rest[1]), rest[2], rest[3].split(","));
else if (what === "load") await loading(rest[0], rest[1]);
else if (what === "write") {
  const doc = written(Number(rest[0]), Number(rest[1]));
  await sent(doc, rest[3], rest[2]);
  say({ length: doc.getText("text").length });
} else throw new Error(`${what}: there are edit, load and write`);
process.exit(0);
