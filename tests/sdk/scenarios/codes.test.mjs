// Errors, closes, and what the API does to open connections: the codes that a user meets.

import assert from "node:assert/strict";

import { event, range, stage, unique, until } from "./stage.mjs";

const { scenario } = stage();

async function refused(actor, made, channel) {
  const subscription = actor.subscription(made, channel);
  subscription.subscribe();
  await until(() => subscription.all("unsubscribed").length === 1, "the refusal");
  return subscription.all("unsubscribed")[0].code;
}

scenario("error-codes", async (actor) => {
  const made = await actor.connected();
  await assert.rejects(made.publish("nowhere:1", actor.pack(1)), { code: 102 });
  await assert.rejects(made.publish(unique("closed"), actor.pack(1)), { code: 103 });
  await assert.rejects(made.rpc("anything", actor.pack(1)), { code: 108 });
  assert.equal(await refused(actor, made, "nowhere:1"), 102);
  assert.equal(await refused(actor, made, unique("closed")), 103);
  assert.equal(await refused(actor, made, `open:${"x".repeat(255)}`), 107);
  assert.equal(made.state, "connected");
});

scenario("channel-limit-106", async (actor) => {
  const made = await actor.connected();
  for (const _ of range(1, 8)) await actor.subscribed(made, unique("open"));
  assert.equal(await refused(actor, made, unique("open")), 106);
  // A place that is given up is free again.
  const [first] = Object.values(made.subscriptions());
  const gone = event(first, "unsubscribed");
  first.unsubscribe();
  await gone;
  await actor.subscribed(made, unique("open"));
});

scenario("same-subscription-twice", async (actor) => {
  // The SDK itself keeps one subscription per channel: the server sees the second command only after an unsubscribe.
  const made = await actor.connected();
  const subscription = await actor.subscribed(made, unique("open"));
  for (const _ of range(1, 5)) {
    subscription.unsubscribe();
    subscription.subscribe();
    await subscription.ready();
  }
  await actor.publish(subscription.channel, 1);
  await until(() => subscription.heard.length >= 1, "the publication");
  assert.deepEqual(subscription.values(), [1]);
  assert.equal((await actor.api("presence_stats", { channel: subscription.channel })).num_clients, 1);
});
