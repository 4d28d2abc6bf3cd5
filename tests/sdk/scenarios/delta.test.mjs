// Fossil deltas: whoever asks for them hears the same values as everybody else, in fewer bytes.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";

import { range, stage, unique, until } from "./stage.mjs";

const { scenario } = stage();

// A document of which every version changes a little, in places, with characters of one to four bytes.
const version = (n) => ({
  title: "Messwerte der Anlage – größer, heißer, 日本語 😀",
  readings: range(1, 30).map((place) => ({ place, name: `sensor ${place}`, value: place === n % 30 ? n : 0 })),
  note: ["é", "è", "😀", "ß"][n % 4],
  n,
});
const fossil = { delta: "fossil" };
const deltas = (subscription) => subscription.deltaStats().numDeltaPayloads;

scenario("delta-live", async (actor) => {
  const subscription = await actor.subscribed(await actor.connected(), unique("delta"), fossil);
  for (const n of range(1, 20)) await actor.publish(subscription.channel, version(n));
  await until(() => subscription.heard.length >= 20, "all versions");
  assert.deepEqual(subscription.values(), range(1, 20).map(version));
  const stats = subscription.deltaStats();
  assert.deepEqual([stats.numFullPayloads, stats.numDeltaPayloads], [1, 19]);
  assert.ok(stats.bytesReceived < stats.bytesDecoded / 2, JSON.stringify(stats));
});

scenario("delta-beside-plain", async (actor) => {
  const channel = unique("delta");
  const asks = await actor.subscribed(await actor.connected(), channel, fossil);
  const plain = await actor.subscribed(await actor.connected({ user: "bob" }), channel);
  for (const n of range(1, 5)) await actor.publish(channel, version(n));
  // Who comes later gets a whole value first.
  const late = await actor.subscribed(await actor.connected({ user: "eve" }), channel, fossil);
  for (const n of range(6, 10)) await actor.publish(channel, version(n));
  for (const subscription of [asks, plain]) {
    await until(() => subscription.heard.length >= 10, "all versions");
    assert.deepEqual(subscription.values(), range(1, 10).map(version));
  }
  await until(() => late.heard.length >= 5, "the later versions");
  assert.deepEqual(late.values(), range(6, 10).map(version));
  assert.ok(deltas(asks) >= 9);
  assert.deepEqual([late.deltaStats().numFullPayloads, deltas(late)], [1, 4]);
});

scenario("delta-by-client", async (actor) => {
  const channel = unique("delta");
  const subscription = await actor.subscribed(await actor.connected(), channel, fossil);
  const other = await actor.connected({ user: "bob" });
  for (const n of range(1, 5)) await other.publish(channel, actor.pack(version(n)));
  await until(() => subscription.heard.length >= 5, "all versions");
  assert.deepEqual(subscription.values(), range(1, 5).map(version));
  assert.ok(subscription.heard.every(({ info }) => info.user === "bob"));
  assert.equal(deltas(subscription), 4);
});

scenario("delta-recovered", async (actor) => {
  const made = await actor.cuttable();
  const subscription = await actor.subscribed(made, unique("delta"), fossil);
  for (const n of range(1, 3)) await actor.publish(subscription.channel, version(n));
  await until(() => subscription.heard.length === 3, "what came before the cut");
  const [context] = await actor.away(made, [subscription], async () => {
    for (const n of range(4, 13)) await actor.publish(subscription.channel, version(n));
  });
  assert.equal(context.recovered, true);
  await until(() => subscription.heard.length >= 13, "what was missed");
  for (const n of range(14, 16)) await actor.publish(subscription.channel, version(n));
  await until(() => subscription.heard.length >= 16, "what came after it");
  assert.deepEqual(subscription.values(), range(1, 16).map(version));
  assert.deepEqual(subscription.offsets(), range(1, 16));
});

scenario("delta-recovered-newest", async (actor) => {
  const made = await actor.cuttable();
  const subscription = await actor.subscribed(made, unique("deltacache"), fossil);
  await actor.publish(subscription.channel, version(1));
  await until(() => subscription.heard.length === 1, "the first version");
  await actor.away(made, [subscription], async () => {
    for (const n of range(2, 6)) await actor.publish(subscription.channel, version(n));
  });
  for (const n of range(7, 9)) await actor.publish(subscription.channel, version(n));
  await until(() => subscription.heard.length >= 5, "the newest and what came after it");
  assert.deepEqual(subscription.values(), [1, 6, 7, 8, 9].map(version));
});

scenario("delta-history", async (actor) => {
  const subscription = await actor.subscribed(await actor.connected(), unique("delta"), fossil);
  for (const n of range(1, 4)) await actor.publish(subscription.channel, version(n));
  const { publications } = await subscription.history({ limit: 10 });
  assert.deepEqual(publications.map(({ data }) => actor.read(data)), range(1, 4).map(version));
});

scenario("delta-where-asked", async (actor) => {
  const subscription = await actor.subscribed(await actor.connected(), unique("patched"), fossil);
  for (const n of range(1, 3)) await actor.publish(subscription.channel, version(n));
  await until(() => subscription.heard.length >= 3, "whole versions");
  assert.equal(deltas(subscription), 0);
  for (const n of range(4, 6)) await actor.publish(subscription.channel, version(n), { delta: true });
  await actor.publish(subscription.channel, version(7));
  await actor.publish(subscription.channel, version(8), { delta: true });
  await until(() => subscription.heard.length >= 8, "the others");
  assert.deepEqual(subscription.values(), range(1, 8).map(version));
  assert.ok(deltas(subscription) > 0);
});

scenario("delta-of-noise", async (actor) => {
  const subscription = await actor.subscribed(await actor.connected(), unique("delta"), fossil);
  const values = range(1, 6).map((n) => (n % 2 ? randomBytes(300 * n).toString("base64") : n));
  for (const value of values) await actor.publish(subscription.channel, value);
  await until(() => subscription.heard.length >= 6, "all values");
  assert.deepEqual(subscription.values(), values);
});

scenario("delta-not-allowed", async (actor) => {
  const subscription = await actor.subscribed(await actor.connected(), unique("kept"), fossil);
  for (const n of range(1, 3)) await actor.publish(subscription.channel, version(n));
  await until(() => subscription.heard.length >= 3, "all versions");
  assert.deepEqual(subscription.values(), range(1, 3).map(version));
  assert.equal(deltas(subscription), 0);
});
