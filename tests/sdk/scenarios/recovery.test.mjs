// A client that was away: what it is sent, and what it is told.

import assert from "node:assert/strict";

import { PATIENCE, event, range, stage, unique, until } from "./stage.mjs";

const { scenario, props } = stage();

scenario("recover-missed", async (actor) => {
  const made = await actor.cuttable();
  const subscription = await actor.subscribed(made, unique("kept"));
  for (const n of range(1, 3)) await actor.publish(subscription.channel, { n });
  await until(() => subscription.heard.length === 3, "what came before the cut");
  const [context] = await actor.away(made, [subscription], async () => {
    for (const n of range(4, 23)) await actor.publish(subscription.channel, { n });
  });
  assert.deepEqual([context.wasRecovering, context.recovered, context.recoverable], [true, true, true]);
  await actor.publish(subscription.channel, { n: 24 });
  await until(() => subscription.heard.length >= 24, "what was missed");
  assert.deepEqual(subscription.values().map(({ n }) => n), range(1, 24));
  assert.deepEqual(subscription.offsets(), range(1, 24));
});

scenario("recover-again-and-again", async (actor) => {
  const made = await actor.cuttable();
  const subscriptions = [];
  for (let n = 0; n < 4; n += 1) subscriptions.push(await actor.subscribed(made, unique("kept")));
  let sent = 0;
  for (let round = 0; round < 5; round += 1) {
    const contexts = await actor.away(made, subscriptions, async () => {
      for (let n = 0; n < 7; n += 1) {
        sent += 1;
        for (const { channel } of subscriptions) await actor.publish(channel, sent);
      }
    });
    assert.ok(contexts.every(({ recovered }) => recovered));
  }
  for (const subscription of subscriptions) {
    await until(() => subscription.heard.length >= sent, "all of a channel");
    assert.deepEqual(subscription.values(), range(1, sent));
  }
});

scenario("recover-nothing-missed", async (actor) => {
  const made = await actor.cuttable();
  const subscription = await actor.subscribed(made, unique("kept"));
  await actor.publish(subscription.channel, 1);
  await until(() => subscription.heard.length === 1, "the publication");
  const [context] = await actor.away(made, [subscription]);
  assert.deepEqual([context.wasRecovering, context.recovered], [true, true]);
  await actor.publish(subscription.channel, 2);
  await until(() => subscription.heard.length >= 2, "the next one");
  assert.deepEqual(subscription.values(), [1, 2]);
});

scenario("recover-never-published", async (actor) => {
  const made = await actor.cuttable();
  const subscription = await actor.subscribed(made, unique("kept"));
  const [context] = await actor.away(made, [subscription], () => actor.publish(subscription.channel, "first"));
  assert.deepEqual([context.wasRecovering, context.recovered], [true, true]);
  await until(() => subscription.heard.length === 1, "the first publication of the channel");
  assert.deepEqual(subscription.offsets(), [1]);
});

scenario("recover-too-much-missed", async (actor) => {
  const made = await actor.cuttable();
  const subscription = await actor.subscribed(made, unique("brief"));
  const [context] = await actor.away(made, [subscription], async () => {
    for (const n of range(1, 20)) await actor.publish(subscription.channel, n);
  });
  assert.deepEqual([context.wasRecovering, context.recovered], [true, false]);
  assert.equal(context.streamPosition.offset, 20);
  await actor.publish(subscription.channel, 21);
  await until(() => subscription.heard.length > 0, "the next publication");
  assert.deepEqual(subscription.values(), [21]);
  // From here on recovery works again.
  const [again] = await actor.away(made, [subscription], () => actor.publish(subscription.channel, 22));
  assert.equal(again.recovered, true);
  await until(() => subscription.heard.length === 2, "what was missed the second time");
});

scenario("recover-history-removed", async (actor) => {
  const made = await actor.cuttable();
  const subscription = await actor.subscribed(made, unique("kept"));
  await actor.publish(subscription.channel, 1);
  await until(() => subscription.heard.length === 1, "the publication");
  const [context] = await actor.away(made, [subscription], async () => {
    await actor.publish(subscription.channel, 2);
    await actor.api("history_remove", { channel: subscription.channel });
  });
  assert.deepEqual([context.wasRecovering, context.recovered], [true, false]);
});

scenario("recover-since", async (actor) => {
  const channel = unique("kept");
  for (const n of range(1, 10)) await actor.publish(channel, n);
  const { epoch } = await actor.api("history", { channel, limit: 0 });
  const since = await actor.subscribed(await actor.connected(), channel, { since: { offset: 6, epoch } });
  assert.deepEqual([since.seen.at(-1).wasRecovering, since.seen.at(-1).recovered], [true, true]);
  await until(() => since.heard.length === 4, "what came after the position");
  assert.deepEqual(since.offsets(), [7, 8, 9, 10]);
  const lost = await actor.subscribed(await actor.connected(), channel, { since: { offset: 6, epoch: "gone" } });
  assert.deepEqual([lost.seen.at(-1).wasRecovering, lost.seen.at(-1).recovered], [true, false]);
});

scenario("recover-asked-for", async (actor) => {
  const made = await actor.cuttable();
  const asks = await actor.subscribed(made, unique("open"), { recoverable: true });
  const positioned = await actor.subscribed(made, unique("open"), { positioned: true });
  const neither = await actor.subscribed(made, unique("open"));
  const refused = await actor.subscribed(made, unique("plain"), { recoverable: true, positioned: true });
  const flags = (one) => [one.all("subscribed")[0].recoverable, one.all("subscribed")[0].positioned];
  assert.deepEqual(flags(asks), [true, true]);
  assert.deepEqual(flags(positioned), [false, true]);
  assert.deepEqual(flags(neither), [false, false]);
  assert.deepEqual(flags(refused), [false, false]);
  const [back, other] = await actor.away(made, [asks, neither], async () => {
    for (const { channel } of [asks, neither]) await actor.publish(channel, "missed");
  });
  assert.deepEqual([back.recovered, other.wasRecovering], [true, false]);
  await until(() => asks.heard.length === 1, "what was missed");
  assert.equal(neither.heard.length, 0);
});

scenario("recover-or-112", async (actor) => {
  const made = await actor.cuttable();
  const channel = unique("brief");
  for (const n of range(1, 3)) await actor.publish(channel, n);
  let asked = 0;
  const subscription = await actor.subscribed(made, channel, {
    getState: async () => {
      asked += 1;
      const { offset, epoch } = await actor.api("history", { channel, limit: 0 });
      return { offset, epoch };
    },
  });
  assert.equal(asked, 1);
  await actor.away(made, [subscription], () => actor.publish(channel, 4));
  await until(() => subscription.heard.length === 1, "what was missed");
  assert.equal(asked, 1);
  // Too much was missed: error 112 instead of a subscription, and the application loads its state again.
  const [context] = await actor.away(made, [subscription], async () => {
    for (const n of range(5, 24)) await actor.publish(channel, n);
  });
  assert.equal(asked, 2);
  assert.equal(context.recovered, true);
  assert.ok(subscription.heard.every(({ offset }) => offset <= 4));
});

scenario("recover-newest", async (actor) => {
  const made = await actor.cuttable();
  const subscription = await actor.subscribed(made, unique("cache"));
  await actor.publish(subscription.channel, 1);
  await until(() => subscription.heard.length === 1, "the publication");
  const [context] = await actor.away(made, [subscription], async () => {
    for (const n of range(2, 9)) await actor.publish(subscription.channel, n);
  });
  assert.deepEqual([context.wasRecovering, context.recovered], [true, true]);
  await until(() => subscription.heard.length === 2, "the newest");
  // Who has the newest is not sent it again.
  const [again] = await actor.away(made, [subscription]);
  assert.equal(again.recovered, true);
  await actor.publish(subscription.channel, 10);
  await until(() => subscription.heard.length >= 3, "the next one");
  assert.deepEqual(subscription.values(), [1, 9, 10]);
});

scenario("newest-first", async (actor) => {
  const channel = unique("greeting");
  for (const n of range(1, 5)) await actor.publish(channel, n);
  const subscription = await actor.subscribed(await actor.connected(), channel);
  await until(() => subscription.heard.length === 1, "the newest value at once");
  await actor.publish(channel, 6);
  await until(() => subscription.heard.length >= 2, "the next one");
  assert.deepEqual(subscription.values(), [5, 6]);
});

scenario("recover-while-published", async (actor) => {
  const made = await actor.cuttable();
  const subscription = await actor.subscribed(made, unique("kept"));
  let sent = 0;
  let going = true;
  const publishing = (async () => {
    while (going && sent < 380) {
      sent += 1;
      await actor.publish(subscription.channel, sent);
    }
  })();
  for (let round = 0; round < 4; round += 1) {
    const before = sent;
    await until(() => sent >= Math.min(before + 15, 380), "publications");
    const [context] = await actor.away(made, [subscription]);
    assert.equal(context.recovered, true);
  }
  going = false;
  await publishing;
  await until(() => subscription.heard.length >= sent, "everything");
  assert.deepEqual(subscription.values(), range(1, sent));
});

// The last one: the server of the others is gone meanwhile.
scenario("restart-is-told", async (actor) => {
  const made = await actor.connected();
  const subscription = await actor.subscribed(made, unique("kept"));
  await actor.publish(subscription.channel, "before");
  await until(() => subscription.heard.length === 1, "the publication");
  const back = event(subscription, "subscribed");
  await props.server.stop();
  await props.server.start();
  const context = await back;
  assert.deepEqual([context.wasRecovering, context.recovered], [true, false]);
  await made.ready(PATIENCE);
  await actor.publish(subscription.channel, "after");
  await until(() => subscription.heard.length >= 2, "a publication after the restart");
  assert.deepEqual(subscription.values(), ["before", "after"]);
  assert.deepEqual(subscription.offsets(), [1, 1]);
});
