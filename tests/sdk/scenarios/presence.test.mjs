// Who is in a channel, and who is told of those who come and go.

import assert from "node:assert/strict";

import { stage, unique, until } from "./stage.mjs";

const { scenario } = stage();

scenario("presence", async (actor) => {
  const channel = unique("open");
  const made = await actor.connected({ claims: { info: { name: "Ann" } } });
  const subscription = await actor.subscribed(made, channel);
  await actor.subscribed(await actor.connected(), channel);
  await actor.subscribed(await actor.connected({ user: "bob" }), channel);
  const { clients } = await subscription.presence();
  assert.deepEqual(Object.values(clients).map(({ user }) => user).sort(), ["ann", "ann", "bob"]);
  const own = clients[made.all("connected")[0].client];
  assert.deepEqual(actor.read(own.connInfo), { name: "Ann" });
  assert.deepEqual(await subscription.presenceStats(), { numClients: 3, numUsers: 2 });
  assert.deepEqual(await actor.api("presence_stats", { channel }), { num_clients: 3, num_users: 2 });
  const { presence } = await actor.api("presence", { channel });
  assert.deepEqual(Object.keys(presence).sort(), Object.keys(clients).sort());
});

scenario("join-and-leave", async (actor) => {
  const channel = unique("open");
  const asks = await actor.subscribed(await actor.connected(), channel, { joinLeave: true });
  const silent = await actor.subscribed(await actor.connected(), channel);
  const other = await actor.connected({ user: "bob", claims: { info: { name: "Bob" } } });
  const theirs = await actor.subscribed(other, channel);
  const of = (subscription, name) => subscription.all(name).filter(({ info }) => info.user === "bob");
  await until(() => of(asks, "join").length === 1, "bob's join");
  assert.deepEqual(actor.read(of(asks, "join")[0].info.connInfo), { name: "Bob" });
  theirs.unsubscribe();
  await until(() => of(asks, "leave").length === 1, "bob's leave");
  theirs.subscribe();
  await until(() => of(asks, "join").length === 2, "bob's second join");
  other.disconnect();
  await until(() => of(asks, "leave").length === 2, "bob's second leave");
  assert.deepEqual([...silent.all("join"), ...silent.all("leave")], []);
});

scenario("join-and-leave-for-everybody", async (actor) => {
  const channel = unique("lobby");
  const subscription = await actor.subscribed(await actor.connected(), channel);
  const other = await actor.connected({ user: "bob" });
  await actor.subscribed(other, channel);
  await until(() => subscription.all("join").some(({ info }) => info.user === "bob"), "bob's join");
  other.disconnect();
  await until(() => subscription.all("leave").some(({ info }) => info.user === "bob"), "bob's leave");
});

scenario("presence-after-a-drop", async (actor) => {
  const channel = unique("lobby");
  const subscription = await actor.subscribed(await actor.connected(), channel);
  const other = await actor.cuttable({ user: "bob" });
  await actor.subscribed(other, channel);
  await until(() => subscription.all("join").some(({ info }) => info.user === "bob"), "bob's join");
  await other.cut();
  await until(() => subscription.all("leave").some(({ info }) => info.user === "bob"), "bob's leave");
  assert.deepEqual(await subscription.presenceStats(), { numClients: 1, numUsers: 1 });
  other.heal();
  await until(() => subscription.all("join").filter(({ info }) => info.user === "bob").length === 2, "bob's return");
  assert.deepEqual(await subscription.presenceStats(), { numClients: 2, numUsers: 2 });
});

scenario("presence-refused", async (actor) => {
  const made = await actor.connected();
  await assert.rejects(made.presence(unique("closed")), { code: 103 });
  await assert.rejects(made.presence(unique("plain")), { code: 108 });
  await assert.rejects(made.presenceStats(unique("plain")), { code: 108 });
  await assert.rejects(made.presence("nowhere:1"), { code: 102 });
});
