// What a channel keeps: pages of it, what publishers may promise about repeats and order.

import assert from "node:assert/strict";

import { range, stage, unique, until } from "./stage.mjs";

const { scenario } = stage();

const values = (actor, { publications }) => publications.map(({ data }) => actor.read(data));

async function filled(actor, count) {
  const channel = unique("open");
  for (const n of range(1, count)) await actor.publish(channel, n);
  return actor.subscribed(await actor.connected(), channel);
}

scenario("history-pages", async (actor) => {
  const subscription = await filled(actor, 25);
  const top = await subscription.history({ limit: 0 });
  assert.deepEqual([top.publications.length, top.offset], [0, 25]);
  const seen = [];
  let since = { offset: 0, epoch: top.epoch };
  for (;;) {
    const page = await subscription.history({ limit: 7, since });
    if (page.publications.length === 0) break;
    assert.equal(page.epoch, top.epoch);
    seen.push(...values(actor, page));
    since = { offset: page.publications.at(-1).offset, epoch: page.epoch };
  }
  assert.deepEqual(seen, range(1, 25));
});

scenario("history-pages-backwards", async (actor) => {
  const subscription = await filled(actor, 25);
  const first = await subscription.history({ limit: 10, reverse: true });
  assert.deepEqual(values(actor, first), range(16, 25).reverse());
  const seen = values(actor, first);
  let since = { offset: first.publications.at(-1).offset, epoch: first.epoch };
  for (;;) {
    const page = await subscription.history({ limit: 10, reverse: true, since });
    if (page.publications.length === 0) break;
    seen.push(...values(actor, page));
    since = { offset: page.publications.at(-1).offset, epoch: page.epoch };
  }
  assert.deepEqual(seen, range(1, 25).reverse());
});

scenario("history-limits", async (actor) => {
  const subscription = await filled(actor, 320);
  assert.equal((await subscription.history({ limit: -1 })).publications.length, 300);
  assert.equal((await subscription.history({ limit: 1000 })).publications.length, 300);
  assert.deepEqual(values(actor, await subscription.history({ limit: 2 })), [1, 2]);
});

scenario("history-details", async (actor) => {
  const channel = unique("open");
  const made = await actor.connected({ claims: { info: { name: "Ann" } } });
  const subscription = await actor.subscribed(made, channel);
  await subscription.publish(actor.pack({ by: "client" }));
  await actor.publish(channel, { by: "api" }, { tags: { kind: "note" } });
  await until(() => subscription.heard.length === 2, "both publications");
  const { publications } = await subscription.history({ limit: 10 });
  for (const list of [publications, subscription.heard]) {
    const [own, theirs] = list;
    assert.deepEqual([own.info.user, own.info.client, actor.read(own.info.connInfo)], ["ann", made.all("connected")[0].client, { name: "Ann" }]);
    assert.equal(theirs.info, undefined);
    assert.deepEqual(theirs.tags, { kind: "note" });
    assert.deepEqual([own.offset, theirs.offset], [1, 2]);
  }
});

scenario("history-refused", async (actor) => {
  const made = await actor.connected();
  await assert.rejects(made.history(unique("closed"), { limit: 1 }), { code: 103 });
  await assert.rejects(made.history(unique("plain"), { limit: 1 }), { code: 108 });
  await assert.rejects(made.history("nowhere:1", { limit: 1 }), { code: 102 });
  const subscription = await filled(actor, 3);
  await assert.rejects(subscription.history({ limit: 1, since: { offset: 1, epoch: "gone" } }), { code: 112 });
});

scenario("history-removed", async (actor) => {
  const subscription = await filled(actor, 3);
  await actor.api("history_remove", { channel: subscription.channel });
  const gone = await subscription.history({ limit: 10 });
  assert.deepEqual([gone.publications.length, gone.offset], [0, 3]);
  await actor.publish(subscription.channel, 4);
  assert.deepEqual(values(actor, await subscription.history({ limit: 10 })), [4]);
});

scenario("history-skipped", async (actor) => {
  const channel = unique("open");
  const subscription = await actor.subscribed(await actor.connected(), channel);
  await actor.publish(channel, "kept");
  await actor.publish(channel, "passing", { skip_history: true });
  await until(() => subscription.heard.length === 2, "both");
  assert.deepEqual(values(actor, await subscription.history({ limit: 10 })), ["kept"]);
});

scenario("idempotency", async (actor) => {
  const channel = unique("open");
  const subscription = await actor.subscribed(await actor.connected(), channel);
  const first = await actor.publish(channel, 1, { idempotency_key: "a" });
  const again = await actor.publish(channel, 1, { idempotency_key: "a" });
  const { responses } = await actor.api("broadcast", { channels: [channel], data: 1, idempotency_key: "a" });
  const next = await actor.publish(channel, 2, { idempotency_key: "b" });
  assert.deepEqual([first.offset, again.offset, responses[0].result.offset, next.offset], [1, 1, 1, 2]);
  await until(() => subscription.heard.length >= 2, "both");
  assert.deepEqual(subscription.values(), [1, 2]);
});

scenario("versions", async (actor) => {
  const channel = unique("open");
  const subscription = await actor.subscribed(await actor.connected(), channel);
  for (const [data, version, version_epoch] of [
    ["v3", 3, "a"],
    ["v2", 2, "a"],
    ["v3 again", 3, "a"],
    ["v4", 4, "a"],
    ["v1 of b", 1, "b"],
  ]) {
    await actor.publish(channel, data, { version, version_epoch });
  }
  await actor.publish(channel, "unversioned");
  await until(() => subscription.values().includes("unversioned"), "the last one");
  assert.deepEqual(subscription.values(), ["v3", "v4", "v1 of b", "unversioned"]);
});
