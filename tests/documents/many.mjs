// Opens documents one after the other (some at a time), writes a little into each, and leaves.
//
//   node many.mjs '{"url": "...", "token": "...", "from": 0, "count": 10000, "at": 8, "size": 40}'

import { WebSocket } from "ws";
import { WebsocketProvider } from "y-websocket";
import * as Y from "yjs";

const { url, token, from, count, at, size, hold } = JSON.parse(process.argv[2]);
let next = from;
process.setMaxListeners(0); // each provider hears of the end of the process

async function visit(channel) {
  const doc = new Y.Doc();
  const provider = new WebsocketProvider(url, channel, doc, { params: { token }, disableBc: true, WebSocketPolyfill: WebSocket });
  await new Promise((resolve) => provider.once("sync", resolve));
  doc.getText("text").insert(0, "x".repeat(size));
  const { ws } = provider;
  await new Promise((resolve) => ws.ping(resolve));
  await new Promise((resolve) => ws.once("pong", resolve)); // what was sent before it is read
  return { doc, leave: () => (provider.destroy(), doc.destroy()) };
}
async function worker() {
  while (next < from + count) (await visit(`doc:${next++}`)).leave();
}
if (hold) {
  const open = [];
  for (let n = from; n < from + count; n++) open.push(await visit(`doc:${n}`));
  console.log("open");
  await new Promise((resolve) => process.stdin.once("data", resolve));
  for (const one of open) one.leave();
} else await Promise.all(Array.from({ length: at }, worker));
console.log("left");
await new Promise((resolve) => setTimeout(resolve, 100));
process.exit();
