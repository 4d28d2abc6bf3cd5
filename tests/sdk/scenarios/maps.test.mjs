// Maps: a snapshot of keys, then their changes. Only the JavaScript SDK has them so far.

import assert from "node:assert/strict";

import { token } from "../serving.mjs";
import { event, range, stage, unique, until } from "./stage.mjs";

const { scenario, props } = stage();
const refusedWith = async (subscription) => {
  subscription.subscribe();
  await until(() => subscription.all("unsubscribed").length === 1, "the refusal");
  return subscription.all("unsubscribed")[0].code;
};

const delays = { minResubscribeDelay: 20, maxResubscribeDelay: 100 };
const map = (actor, made, channel, options = {}, kind = "newMapSubscription") => {
  const subscription = actor.listen(made[kind](channel, { ...delays, ...options }));
  // The mirror that an application keeps.
  subscription.mirror = new Map();
  subscription.on("sync", ({ entries }) => {
    subscription.mirror = new Map(entries.map(({ key, data }) => [key, actor.read(data)]));
  });
  subscription.on("update", ({ key, data, removed }) => {
    if (removed) subscription.mirror.delete(key);
    else subscription.mirror.set(key, actor.read(data));
  });
  subscription.content = () => Object.fromEntries([...subscription.mirror].sort());
  return subscription;
};

async function mapped(actor, made, channel, options, kind) {
  const subscription = map(actor, made, channel, options, kind);
  const synced = event(subscription, "sync");
  subscription.subscribe();
  await subscription.ready();
  await synced;
  return subscription;
}

const put = (actor, channel, key, data, more = {}) => actor.api("map_publish", { channel, key, data, ...more });
const remove = (actor, channel, key) => actor.api("map_remove", { channel, key });
const same = (subscription, content, what) =>
  until(() => JSON.stringify(subscription.content()) === JSON.stringify(content), what ?? JSON.stringify(content)).catch((error) => {
    assert.deepEqual(subscription.content(), content);
    throw error;
  });

const lives = (mode) => async (actor) => {
  const channel = unique(mode);
  await put(actor, channel, "b", { v: 2 });
  await put(actor, channel, "a", { v: 1 });
  const made = await actor.cuttable();
  const subscription = await mapped(actor, made, channel);
  assert.deepEqual(subscription.syncs.map((entries) => entries.map(({ key }) => key)), [["a", "b"]]);
  assert.deepEqual(subscription.content(), { a: { v: 1 }, b: { v: 2 } });
  await put(actor, channel, "a", { v: 3 });
  await put(actor, channel, "c", "new");
  await remove(actor, channel, "b");
  await same(subscription, { a: { v: 3 }, c: "new" });
  assert.deepEqual(subscription.updates.map(({ key, removed }) => [key, removed === true]), [["a", false], ["c", false], ["b", true]]);
  const [context] = await actor.away(made, [subscription], async () => {
    await put(actor, channel, "a", { v: 4 });
    await put(actor, channel, "d", [1]);
    await remove(actor, channel, "c");
  });
  await same(subscription, { a: { v: 4 }, d: [1] });
  // Only a map with a stream recovers; the other one is sent whole again.
  const recovers = mode !== "ephemeral";
  assert.deepEqual([context.recoverable, context.recovered, subscription.syncs.length], [recovers, recovers, recovers ? 1 : 2]);
  if (recovers) assert.deepEqual(subscription.updates.slice(3).map(({ key }) => key), ["a", "d", "c"]);
  await put(actor, channel, "e", 1);
  await same(subscription, { a: { v: 4 }, d: [1], e: 1 });
};
scenario("map-ephemeral", lives("ephemeral"));
scenario("map-recoverable", lives("recoverable"));
scenario("map-persistent", lives("persistent"));

scenario("map-empty", async (actor) => {
  const made = await actor.cuttable();
  const subscription = await mapped(actor, made, unique("recoverable"));
  assert.deepEqual(subscription.syncs, [[]]);
  await actor.away(made, [subscription], () => put(actor, subscription.channel, "a", 1));
  await same(subscription, { a: 1 });
});

scenario("map-too-much-missed-112", async (actor) => {
  const channel = unique("forgetful");
  const [first, second] = [await actor.cuttable(), await actor.cuttable()];
  const again = await mapped(actor, first, channel);
  const fatal = await mapped(actor, second, channel, { unrecoverableStrategy: "fatal" });
  await first.cut();
  await second.cut();
  for (const n of range(1, 20)) await put(actor, channel, `k${n % 7}`, n);
  first.heal();
  second.heal();
  await until(() => fatal.all("unsubscribed").length === 1, "the end of the fatal one");
  assert.equal(fatal.all("unsubscribed")[0].code, 112);
  await until(() => again.syncs.length === 2, "the second snapshot");
  await same(again, Object.fromEntries(range(14, 20).map((n) => [`k${n % 7}`, n]).sort()));
});

scenario("map-pages", async (actor) => {
  const channel = unique("persistent");
  const keys = range(1, 57).map((n) => `key-${String(n).padStart(3, "0")}`);
  await Promise.all(keys.map((key, n) => put(actor, channel, key, n)));
  const expected = Object.fromEntries(keys.map((key, n) => [key, n]));
  for (const options of [{}, { pageSize: 5 }, { pageSize: 1 }, { pageSize: 1000 }]) {
    const subscription = await mapped(actor, await actor.connected(), channel, options);
    assert.deepEqual(subscription.syncs.map((entries) => entries.map(({ key }) => key)), [keys]);
    assert.deepEqual(subscription.content(), expected);
  }
});

scenario("map-pages-while-published", async (actor) => {
  const channel = unique("persistent");
  const expected = new Map();
  const write = async (n) => {
    const key = `key-${String(n % 60).padStart(3, "0")}`;
    if (n % 5 === 4) {
      await remove(actor, channel, key);
      expected.delete(key);
    } else {
      await put(actor, channel, key, n);
      expected.set(key, n);
    }
  };
  for (const n of range(1, 60)) await write(n);
  let going = true;
  const writing = (async () => {
    for (let n = 61; going && n < 380; n += 1) await write(n);
  })();
  const subscriptions = [];
  for (const _ of range(1, 5)) subscriptions.push(await mapped(actor, await actor.connected(), channel, { pageSize: 5 }));
  going = false;
  await writing;
  const content = Object.fromEntries([...expected].sort());
  for (const subscription of subscriptions) await same(subscription, content);
});

scenario("map-key-expires", async (actor) => {
  const made = await actor.connected();
  const subscription = await mapped(actor, made, unique("fading"));
  await put(actor, subscription.channel, "a", 1);
  await until(() => subscription.updates.some(({ key, removed }) => key === "a" && removed), "the end of the key");
  assert.deepEqual(subscription.content(), {});
});

scenario("map-published-by-client", async (actor) => {
  const channel = unique("recoverable");
  const made = await actor.connected({ claims: { info: { name: "Ann" } } });
  const subscription = await mapped(actor, made, channel);
  const other = await mapped(actor, await actor.connected({ user: "bob" }), channel);
  await subscription.publish("k", actor.pack({ mine: true }));
  for (const one of [subscription, other]) await same(one, { k: { mine: true } });
  assert.equal(other.updates[0].info.user, "ann");
  await subscription.remove("k");
  for (const one of [subscription, other]) await same(one, {});
  // Nothing is there to be removed, and nothing is said about it.
  await subscription.remove("k");
  await subscription.publish("l", actor.pack(1));
  await same(other, { l: 1 });
  assert.equal(other.updates.length, 3);
});

scenario("map-rights-103", async (actor) => {
  const subscription = await mapped(actor, await actor.connected(), unique("persistent"));
  await assert.rejects(subscription.publish("k", actor.pack(1)), { code: 103 });
  await assert.rejects(subscription.remove("k"), { code: 103 });
  const plain = await actor.connected();
  await assert.rejects(plain.publish(unique("persistent"), actor.pack(1)), ({ code }) => [103, 107].includes(code));
});

scenario("map-type-mismatch-103", async (actor) => {
  const made = await actor.connected();
  assert.equal(await refusedWith(actor.subscription(made, unique("persistent"))), 103);
  assert.equal(await refusedWith(map(actor, made, unique("open"))), 103);
  assert.equal(await refusedWith(map(actor, made, unique("persistent"), {}, "newMapClientsSubscription")), 103);
  assert.equal(made.state, "connected");
});

scenario("map-key-of-the-client", async (actor) => {
  const channel = unique("cursors");
  const [one, two] = [await actor.connected(), await actor.connected({ user: "bob" })];
  const [first, second] = [await mapped(actor, one, channel), await mapped(actor, two, channel)];
  const id = two.all("connected")[0].client;
  await second.publish("forged", actor.pack({ x: 1 }));
  await same(first, { [id]: { x: 1 } });
  await second.publish("", actor.pack({ x: 2 }));
  await same(first, { [id]: { x: 2 } });
  second.unsubscribe();
  await same(first, {});
});

scenario("map-of-clients", async (actor) => {
  const channel = unique("game");
  const watching = await mapped(actor, await actor.connected(), `clients:${channel}`, {}, "newMapClientsSubscription");
  const players = [];
  for (const user of ["bob", "bob", "eve"]) {
    const made = await actor.connected({ user, claims: { info: { name: user } } });
    await actor.subscribed(made, channel);
    players.push(made);
  }
  await until(() => watching.mirror.size === 3, "three players");
  assert.deepEqual([...watching.mirror.keys()].sort(), players.map((made) => made.all("connected")[0].client).sort());
  const joined = watching.updates.find(({ info }) => info.user === "eve");
  assert.equal(joined.key, joined.info.client);
  assert.deepEqual(actor.read(joined.info.connInfo), { name: "eve" });
  players[0].disconnect();
  await until(() => watching.mirror.size === 2, "one less");
  // Who comes later sees the same.
  const late = await mapped(actor, await actor.connected(), `clients:${channel}`, {}, "newMapClientsSubscription");
  assert.deepEqual([...late.mirror.keys()], [...watching.mirror.keys()].sort());
});

scenario("map-of-users", async (actor) => {
  const channel = unique("game");
  const watching = await mapped(actor, await actor.connected(), `users:${channel}`, {}, "newMapUsersSubscription");
  const players = [];
  for (const user of ["bob", "bob", "eve"]) {
    const made = await actor.connected({ user });
    await actor.subscribed(made, channel);
    players.push(made);
  }
  await until(() => watching.mirror.size === 2, "two users");
  assert.deepEqual([...watching.mirror.keys()].sort(), ["bob", "eve"]);
  // One of two connections: the user stays. The last one: the user goes.
  players[0].disconnect();
  players[2].disconnect();
  await until(() => !watching.mirror.has("eve"), "the end of eve");
  assert.deepEqual([...watching.mirror.keys()], ["bob"]);
  players[1].disconnect();
  await until(() => watching.mirror.size === 0, "the end of bob");
});

const version = (n, key) => ({ key, text: "Größe und 😀 ".repeat(20), cells: range(1, 20).map((at) => (at === n % 20 ? n : 0)), n });

scenario("map-delta", async (actor) => {
  const channel = unique("persistent");
  const keys = ["a", "b", "c"];
  const write = (n) => put(actor, channel, keys[n % 3], version(n, keys[n % 3]), { delta: true });
  for (const n of range(0, 5)) await write(n);
  const made = await actor.cuttable();
  const subscription = await mapped(actor, made, channel, { delta: "fossil" });
  const content = (last) => Object.fromEntries(keys.map((key, at) => [key, version(last - ((last - at) % 3), key)]));
  assert.deepEqual(subscription.content(), content(5));
  for (const n of range(6, 11)) await write(n);
  await same(subscription, content(11));
  assert.ok(subscription.deltaStats().numDeltaPayloads >= 3, JSON.stringify(subscription.deltaStats()));
  const [context] = await actor.away(made, [subscription], async () => {
    for (const n of range(12, 20)) await write(n);
  });
  assert.equal(context.recovered, true);
  for (const n of range(21, 23)) await write(n);
  await same(subscription, content(23));
  await remove(actor, channel, "b");
  await write(25);
  await same(subscription, { ...content(25), a: version(21, "a"), c: version(23, "c") });
});

scenario("map-filter", async (actor) => {
  const channel = unique("persistent");
  const tags = (n) => ({ tags: { even: n % 2 ? "no" : "yes" } });
  for (const n of range(1, 15)) await put(actor, channel, `k${String(n).padStart(2, "0")}`, n, tags(n));
  const made = await actor.cuttable();
  const tagsFilter = { key: "even", cmp: "eq", val: "yes" };
  const subscription = await mapped(actor, made, channel, { tagsFilter, pageSize: 5 });
  const content = (last) => Object.fromEntries(range(1, last).filter((n) => n % 2 === 0).map((n) => [`k${String(n).padStart(2, "0")}`, n]));
  assert.deepEqual(subscription.content(), content(15));
  const [context] = await actor.away(made, [subscription], async () => {
    for (const n of range(16, 19)) await put(actor, channel, `k${n}`, n, tags(n));
  });
  assert.equal(context.recovered, true);
  for (const n of range(20, 21)) await put(actor, channel, `k${n}`, n, tags(n));
  await same(subscription, content(21));
  // The removal of a key has the tags of the key.
  await remove(actor, channel, "k19");
  await remove(actor, channel, "k20");
  await same(subscription, content(19));
  assert.ok(subscription.updates.every(({ key }) => key !== "k19"));
});

scenario("map-conditions", async (actor) => {
  const channel = unique("persistent");
  const subscription = await mapped(actor, await actor.connected(), channel);
  const reason = async (key, data, more) => (await put(actor, channel, key, data, more)).suppress_reason ?? "";
  assert.equal(await reason("a", 1, { key_mode: "if_exists" }), "key_not_found");
  assert.equal(await reason("a", 2, { key_mode: "if_new" }), "");
  assert.equal(await reason("a", 3, { key_mode: "if_new" }), "key_exists");
  assert.equal(await reason("b", 4, { version: 5 }), "");
  assert.equal(await reason("b", 5, { version: 4 }), "version");
  assert.equal(await reason("c", 6, { idempotency_key: "once" }), "");
  assert.equal(await reason("c", 7, { idempotency_key: "once" }), "idempotency");
  assert.equal((await remove(actor, channel, "nothing")).suppress_reason, "key_not_found");
  await put(actor, channel, "z", "end");
  await same(subscription, { a: 2, b: 4, c: 6, z: "end" });
  assert.equal(subscription.updates.length, 4);
});

scenario("map-by-api", async (actor) => {
  const channel = unique("persistent");
  for (const n of range(1, 25)) await put(actor, channel, `k${String(n).padStart(2, "0")}`, n);
  await remove(actor, channel, "k05");
  assert.equal((await actor.api("map_stats", { channel })).num_keys, 24);
  const keys = [];
  let cursor = "";
  do {
    const page = await actor.api("map_read_state", { channel, limit: 10, ...(cursor && { cursor }) });
    assert.ok(page.entries.length <= 10);
    keys.push(...page.entries.map(({ key }) => key));
    cursor = page.cursor;
  } while (cursor);
  assert.deepEqual(keys, range(1, 25).filter((n) => n !== 5).map((n) => `k${String(n).padStart(2, "0")}`));
  const one = await actor.api("map_read_state", { channel, key: "k07" });
  assert.deepEqual(one.entries.map(({ key, data }) => [key, data]), [["k07", 7]]);
  const stream = await actor.api("map_read_stream", { channel, limit: 2, reverse: true });
  assert.deepEqual(stream.entries.map(({ key, removed }) => [key, removed === true]), [["k05", true], ["k25", false]]);
});

scenario("map-cleared", async (actor) => {
  const channel = unique("persistent");
  await put(actor, channel, "a", 1);
  const made = await actor.cuttable();
  const subscription = await mapped(actor, made, channel);
  await actor.away(made, [subscription], async () => {
    await actor.api("map_clear", { channel });
    await put(actor, channel, "b", 2);
  });
  await same(subscription, { b: 2 });
});

scenario("shared-poll-108", async (actor) => {
  const made = await actor.connected();
  assert.equal(await refusedWith(actor.listen(made.newSharedPollSubscription(unique("open"), delays))), 108);
  assert.equal(made.state, "connected");
});

scenario("map-with-token", async (actor) => {
  const channel = `$${unique("persistent")}`;
  await put(actor, channel, "a", 1);
  const made = await actor.connected();
  const inside = await mapped(actor, made, channel, { token: token("ann", { channel }) });
  assert.deepEqual(inside.content(), { a: 1 });
  assert.equal(await refusedWith(map(actor, await actor.connected(), channel)), 103);
});

// The last one: the server of the others is gone meanwhile.
scenario("map-restart", async (actor) => {
  const channel = unique("recoverable");
  await put(actor, channel, "a", 1);
  const subscription = await mapped(actor, await actor.connected(), channel);
  await props.server.stop();
  await props.server.start();
  await until(() => subscription.syncs.length === 2, "the snapshot of the new server");
  assert.deepEqual(subscription.content(), {});
  await put(actor, channel, "b", 2);
  await same(subscription, { b: 2 });
});
