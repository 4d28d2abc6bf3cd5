// Subscriptions that the server makes: by the token, by the application's answer to a connect, by the API, and the personal channel.

import assert from "node:assert/strict";

import { soon } from "../serving.mjs";
import { range, stage, unique, until } from "./stage.mjs";

const { scenario } = stage();

const inside = (made, channel) => made.all("subscribed").filter((one) => one.channel === channel);
const heard = (actor, made, channel) =>
  made.all("publication").filter((one) => one.channel === channel).map(({ data }) => actor.read(data));

scenario("server-side-by-token", async (actor) => {
  const channels = [unique("closed"), unique("closed")];
  const made = await actor.connected({ claims: { channels } });
  await until(() => made.all("subscribed").length === 2, "both subscriptions");
  for (const channel of channels) await actor.publish(channel, `into ${channel}`);
  await until(() => made.all("publication").length === 2, "both publications");
  for (const channel of channels) assert.deepEqual(heard(actor, made, channel), [`into ${channel}`]);
});

scenario("server-side-by-token-with-options", async (actor) => {
  const channel = unique("closed");
  const made = await actor.connected({
    claims: {
      subs: {
        [channel]: {
          info: { role: "guard" },
          data: { hello: 1 },
          override: { force_push_join_leave: { value: true }, force_recovery: { value: true } },
        },
      },
    },
  });
  await until(() => inside(made, channel).length === 1, "the subscription");
  const [context] = inside(made, channel);
  assert.deepEqual(actor.read(context.data), { hello: 1 });
  assert.equal(context.recoverable, true);
  const { presence } = await actor.api("presence", { channel });
  assert.deepEqual(Object.values(presence)[0].chan_info, { role: "guard" });
  const other = await actor.connected({ user: "bob", claims: { channels: [channel] } });
  await until(() => made.all("join").some(({ info }) => info.user === "bob"), "bob's join");
  other.disconnect();
  await until(() => made.all("leave").some(({ info }) => info.user === "bob"), "bob's leave");
});

scenario("server-side-recovers", async (actor) => {
  const channel = unique("kept");
  const made = await actor.cuttable({ claims: { channels: [channel] } });
  await until(() => inside(made, channel).length === 1, "the subscription");
  await actor.publish(channel, 1);
  await until(() => heard(actor, made, channel).length === 1, "the publication");
  await made.cut();
  for (const n of range(2, 9)) await actor.publish(channel, n);
  made.heal();
  await until(() => inside(made, channel).length === 2, "the subscription again");
  const [, context] = inside(made, channel);
  assert.deepEqual([context.wasRecovering, context.recovered], [true, true]);
  await actor.publish(channel, 10);
  await until(() => heard(actor, made, channel).length >= 10, "what was missed");
  assert.deepEqual(heard(actor, made, channel), range(1, 10));
});

scenario("server-side-by-api", async (actor) => {
  const user = `u-${unique("x")}`;
  const channel = unique("closed");
  const [one, two, other] = [
    await actor.connected({ user }),
    await actor.connected({ user }),
    await actor.connected({ user: `${user}-other` }),
  ];
  await actor.api("subscribe", { user, channel, data: { by: "api" } });
  for (const made of [one, two]) {
    await until(() => inside(made, channel).length === 1, "the subscription");
    assert.deepEqual(actor.read(inside(made, channel)[0].data), { by: "api" });
  }
  await actor.publish(channel, 1);
  for (const made of [one, two]) await until(() => heard(actor, made, channel).length === 1, "the publication");
  await actor.api("unsubscribe", { user, channel });
  for (const made of [one, two]) await until(() => made.all("unsubscribed").length === 1, "the end of it");
  await actor.publish(channel, 2);
  await actor.api("subscribe", { user: `${user}-other`, channel });
  await until(() => inside(other, channel).length === 1, "the other's subscription");
  await actor.publish(channel, 3);
  await until(() => heard(actor, other, channel).length === 1, "the other's publication");
  assert.deepEqual(heard(actor, one, channel), [1]);
  assert.deepEqual(heard(actor, other, channel), [3]);
});

scenario("server-side-by-api-one-client", async (actor) => {
  const user = `u-${unique("x")}`;
  const channel = unique("closed");
  const [one, two] = [await actor.connected({ user }), await actor.connected({ user })];
  await actor.api("subscribe", { user, channel, client: one.all("connected")[0].client });
  await until(() => inside(one, channel).length === 1, "the subscription");
  assert.equal((await actor.api("presence_stats", { channel })).num_clients, 1);
  assert.equal(inside(two, channel).length, 0);
});

scenario("server-side-by-api-since", async (actor) => {
  const user = `u-${unique("x")}`;
  const channel = unique("kept");
  for (const n of range(1, 6)) await actor.publish(channel, n);
  const { epoch } = await actor.api("history", { channel, limit: 0 });
  const made = await actor.connected({ user });
  await actor.api("subscribe", { user, channel, recover_since: { offset: 4, epoch } });
  await until(() => heard(actor, made, channel).length === 2, "what came after the position");
  assert.deepEqual(heard(actor, made, channel), [5, 6]);
});

scenario("server-side-expires-3006", async (actor) => {
  const user = `u-${unique("x")}`;
  const channel = unique("closed");
  const made = await actor.connected({ user });
  await actor.api("subscribe", { user, channel, expire_at: soon(2) });
  await until(() => made.all("connecting").length === 2, "the end of the connection");
  assert.equal(made.all("connecting")[1].code, 3006);
});

scenario("server-side-and-own-105", async (actor) => {
  const channel = unique("open");
  const made = await actor.connected({ claims: { channels: [channel] } });
  await until(() => inside(made, channel).length === 1, "the server's subscription");
  const subscription = actor.subscription(made, channel);
  subscription.subscribe();
  await until(() => subscription.all("unsubscribed").length === 1, "the refusal");
  assert.equal(subscription.all("unsubscribed")[0].code, 105);
  assert.equal(made.state, "connected");
  assert.equal((await actor.api("presence_stats", { channel })).num_clients, 1);
});

scenario("server-side-too-many-3505", async (actor) => {
  const made = actor.client({ claims: { channels: range(1, 9).map(() => unique("closed")) } });
  made.connect();
  await until(() => made.all("disconnected").length === 1, "the refusal");
  assert.equal(made.all("disconnected")[0].code, 3505);
});
