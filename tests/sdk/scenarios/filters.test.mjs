// The client's filter of tags: only what it asks for, and what it did not ask for counts as seen.

import assert from "node:assert/strict";

import { range, stage, unique, until } from "./stage.mjs";

const { scenario } = stage();

const leaf = (key, cmp, more = {}) => ({ key, cmp, ...more });
const all = (...nodes) => ({ op: "and", nodes });
const any = (...nodes) => ({ op: "or", nodes });
const not = (...nodes) => ({ op: "not", nodes });

const TAGS = [
  { ticker: "BTC", price: "9", market: "spot" },
  { ticker: "ETH", price: "10", market: "spot" },
  { ticker: "BTC-PERP", price: "10.5", market: "future" },
  { ticker: "SOL", price: "-3" },
  { ticker: "DOGE", price: "much" },
  undefined,
];

// A filter and the publications (by their place in TAGS) that it lets through.
const FILTERS = [
  [leaf("ticker", "eq", { val: "BTC" }), [0]],
  [leaf("market", "neq", { val: "spot" }), [2, 3, 4, 5]],
  [leaf("ticker", "in", { vals: ["ETH", "SOL"] }), [1, 3]],
  [leaf("ticker", "nin", { vals: ["ETH", "SOL"] }), [0, 2, 4, 5]],
  [leaf("market", "ex"), [0, 1, 2]],
  [leaf("market", "nex"), [3, 4, 5]],
  [leaf("ticker", "sw", { val: "BTC" }), [0, 2]],
  [leaf("ticker", "ew", { val: "PERP" }), [2]],
  [leaf("ticker", "ct", { val: "O" }), [3, 4]],
  [leaf("price", "lt", { val: "9.5" }), [0, 3]],
  [leaf("price", "lte", { val: "10.0" }), [0, 1, 3]],
  [leaf("price", "gt", { val: "9" }), [1, 2]],
  [leaf("price", "gte", { val: "9" }), [0, 1, 2]],
  [all(leaf("market", "eq", { val: "spot" }), leaf("price", "gt", { val: "9" })), [1]],
  [any(leaf("ticker", "eq", { val: "SOL" }), leaf("market", "eq", { val: "future" })), [2, 3]],
  [not(leaf("market", "ex")), [3, 4, 5]],
  [all(not(any(leaf("ticker", "eq", { val: "BTC" }), leaf("ticker", "eq", { val: "ETH" }))), leaf("ticker", "ex")), [2, 3, 4]],
];

scenario("filter-every-comparison", async (actor) => {
  const subscriptions = [];
  // Eight channels are what one connection may have.
  for (let at = 0; at < FILTERS.length; at += 8) {
    const made = await actor.connected();
    for (const [tagsFilter] of FILTERS.slice(at, at + 8)) {
      subscriptions.push(await actor.subscribed(made, unique("tagged"), { tagsFilter }));
    }
  }
  const channels = subscriptions.map(({ channel }) => channel);
  for (const [place, tags] of TAGS.entries()) await actor.api("broadcast", { channels, data: place, ...(tags && { tags }) });
  const last = FILTERS.map(([, places]) => places.at(-1));
  for (const [n, subscription] of subscriptions.entries()) {
    await until(() => subscription.values().includes(last[n]), `publication ${last[n]} through filter ${n}`);
  }
  assert.deepEqual(subscriptions.map((one) => one.values()), FILTERS.map(([, places]) => places));
});

scenario("filter-recovers", async (actor) => {
  const made = await actor.cuttable();
  const tagsFilter = leaf("even", "eq", { val: "yes" });
  const subscription = await actor.subscribed(made, unique("tagged"), { tagsFilter });
  const publish = (n) => actor.publish(subscription.channel, n, { tags: { even: n % 2 ? "no" : "yes" } });
  for (const n of range(1, 5)) await publish(n);
  const [context] = await actor.away(made, [subscription], async () => {
    for (const n of range(6, 13)) await publish(n);
  });
  assert.deepEqual([context.wasRecovering, context.recovered], [true, true]);
  for (const n of range(14, 17)) await publish(n);
  await until(() => subscription.values().includes(16), "the last even one");
  assert.deepEqual(subscription.values(), [2, 4, 6, 8, 10, 12, 14, 16]);
  // Nothing that passes was missed.
  const [again] = await actor.away(made, [subscription], () => publish(19));
  assert.equal(again.recovered, true);
  assert.equal(subscription.heard.length, 8);
});

scenario("filter-changed", async (actor) => {
  const subscription = await actor.subscribed(await actor.connected(), unique("tagged"), {
    tagsFilter: leaf("of", "eq", { val: "a" }),
  });
  const publish = async () => {
    for (const of of ["a", "b"]) await actor.publish(subscription.channel, of, { tags: { of } });
  };
  await publish();
  await until(() => subscription.heard.length === 1, "the one of a");
  subscription.unsubscribe();
  subscription.setTagsFilter(leaf("of", "eq", { val: "b" }));
  subscription.subscribe();
  await subscription.ready();
  await publish();
  await until(() => subscription.values().at(-1) === "b" && subscription.heard.length >= 2, "the one of b");
  assert.equal(subscription.values().filter((value) => value === "a").length, 1);
});

scenario("filter-not-allowed-107", async (actor) => {
  const made = await actor.connected();
  for (const [channel, tagsFilter] of [
    [unique("kept"), leaf("of", "eq", { val: "a" })],
    [unique("tagged"), leaf("of", "like", { val: "a" })],
    [unique("tagged"), { op: "xor", nodes: [leaf("of", "ex")] }],
    [unique("tagged"), not()],
  ]) {
    const subscription = actor.subscription(made, channel, { tagsFilter });
    subscription.subscribe();
    await until(() => subscription.all("unsubscribed").length === 1, "the refusal");
    assert.equal(subscription.all("unsubscribed")[0].code, 107);
  }
  assert.equal(made.state, "connected");
});
