// Errors, closes, and what the API does to open connections: the codes that a user meets.

import assert from "node:assert/strict";

import { token } from "../serving.mjs";
import { event, range, stage, unique, until } from "./stage.mjs";

const { scenario } = stage();

const someone = () => `u-${unique("x")}`;

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

scenario("unsubscribed-by-api-2000", async (actor) => {
  const user = someone();
  const channel = unique("open");
  const made = await actor.connected({ user });
  const [subscription, stays] = [await actor.subscribed(made, channel), await actor.subscribed(made, unique("open"))];
  await actor.api("unsubscribe", { user, channel });
  await until(() => subscription.all("unsubscribed").length === 1, "the end of the subscription");
  assert.equal(subscription.all("unsubscribed")[0].code, 2000);
  await actor.publish(channel, "unheard");
  await actor.publish(stays.channel, "heard");
  await until(() => stays.heard.length === 1, "the other channel");
  assert.equal(subscription.heard.length, 0);
  subscription.subscribe();
  await subscription.ready();
});

scenario("disconnected-by-api", async (actor) => {
  const user = someone();
  const [one, two, other] = [
    await actor.connected({ user }),
    await actor.connected({ user }),
    await actor.connected({ user: someone() }),
  ];
  await actor.api("disconnect", { user, whitelist: [two.all("connected")[0].client] });
  await until(() => one.all("disconnected").length === 1, "the end of the connection");
  assert.equal(one.all("disconnected")[0].code, 3503);
  await two.publish(unique("open"), actor.pack(1));
  await actor.api("disconnect", { user, disconnect: { code: 4501, reason: "go away" } });
  await until(() => two.all("disconnected").length === 1, "the end of the second connection");
  assert.deepEqual([two.all("disconnected")[0].code, two.all("disconnected")[0].reason], [4501, "go away"]);
  await other.publish(unique("open"), actor.pack(1));
});

scenario("disconnected-by-api-comes-back", async (actor) => {
  const user = someone();
  const made = await actor.connected({ user });
  const subscription = await actor.subscribed(made, unique("kept"));
  const back = event(subscription, "subscribed");
  await actor.api("disconnect", { user, disconnect: { code: 4000, reason: "come again" } });
  assert.equal((await back).recovered, true);
  assert.deepEqual([made.all("connecting")[1].code, made.all("connecting")[1].reason], [4000, "come again"]);
});

scenario("expired-by-api-3005", async (actor) => {
  const user = someone();
  const made = await actor.connected({ user, getToken: async () => token(user) });
  await actor.api("refresh", { user, expired: true });
  await until(() => made.all("connecting").length === 2, "the end of the connection");
  assert.equal(made.all("connecting")[1].code, 3005);
  await until(() => made.all("connected").length === 2, "the next connection");
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
