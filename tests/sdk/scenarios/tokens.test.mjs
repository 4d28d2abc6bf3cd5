// Tokens of connections and subscriptions: renewed, expired, wrong.

import assert from "node:assert/strict";

import { soon, token } from "../serving.mjs";
import { event, stage, unique, until } from "./stage.mjs";

const { scenario } = stage();

const never = () => new Promise(() => {});
/** A getter that notes its calls; call N is answered by `answers[N]`, the later ones by the last of them. */
function getter(...answers) {
  const ask = (context) => {
    ask.calls.push(context);
    return answers[Math.min(ask.calls.length, answers.length) - 1](context);
  };
  ask.calls = [];
  return ask;
}
const fresh = (claims = {}) => async () => token("ann", { exp: soon(600), ...claims });
const ticket = (channel, claims = {}) => token("ann", { channel, ...claims });

async function ending(made) {
  const gone = event(made, "disconnected");
  made.connect();
  return gone;
}

scenario("token-expired-109", async (actor) => {
  const getToken = getter(fresh());
  const made = await actor.connected({ claims: { exp: soon(-10) }, getToken });
  assert.equal(getToken.calls.length, 1);
  assert.deepEqual(made.all("disconnected"), []);
});

scenario("token-refreshed", async (actor) => {
  const getToken = getter(fresh());
  const made = await actor.connected({ claims: { exp: soon(3) }, getToken });
  await until(() => getToken.calls.length === 1, "a call of getToken");
  await made.publish(unique("open"), actor.pack(1));
  assert.equal(made.all("connected").length, 1);
});

scenario("token-not-refreshed-3005", async (actor) => {
  // The first renewal never comes; the second one is for the new connection.
  const getToken = getter(never, fresh());
  const made = await actor.connected({ claims: { exp: soon(3) }, getToken });
  await until(() => made.all("connecting").length === 2, "the end of the connection");
  assert.equal(made.all("connecting")[1].code, 3005);
  await until(() => made.all("connected").length === 2, "the next connection");
});

scenario("token-of-someone-else-3500", async (actor) => {
  const getToken = getter(async () => token("bob", { exp: soon(600) }));
  const made = await actor.connected({ claims: { exp: soon(3) }, getToken });
  await until(() => made.all("disconnected").length === 1, "the end of the connection");
  assert.equal(made.all("disconnected")[0].code, 3500);
});

scenario("token-wrong-3500", async (actor) => {
  assert.equal((await ending(actor.client({ token: `${token("ann")}x` }))).code, 3500);
});

scenario("token-missing-3501", async (actor) => {
  assert.equal((await ending(actor.client({ token: "" }))).code, 3501);
});

scenario("token-of-nobody-3507", async (actor) => {
  assert.equal((await ending(actor.client({ user: "" }))).code, 3507);
});

scenario("subscription-token", async (actor) => {
  const made = await actor.connected({ claims: { info: { name: "Ann" } } });
  for (const channel of [unique("closed"), `$${unique("closed")}`]) {
    const subscription = await actor.subscribed(made, channel, {
      token: ticket(channel, { info: { seat: 7 }, data: { welcome: true }, override: { presence: { value: true } } }),
    });
    await actor.publish(channel, "for those inside");
    await until(() => subscription.heard.length === 1, "the publication");
    assert.deepEqual(actor.read(subscription.all("subscribed")[0].data), { welcome: true });
    const { presence } = await actor.api("presence", { channel });
    const [info] = Object.values(presence);
    assert.deepEqual([info.user, info.conn_info, info.chan_info], ["ann", { name: "Ann" }, { seat: 7 }]);
  }
});

scenario("subscription-token-missing-103", async (actor) => {
  const made = await actor.connected();
  for (const channel of [unique("closed"), `$${unique("open")}`]) {
    const subscription = actor.subscription(made, channel);
    subscription.subscribe();
    await until(() => subscription.all("unsubscribed").length === 1, "the end of the subscription");
    assert.equal(subscription.all("unsubscribed")[0].code, 103);
  }
  assert.equal(made.state, "connected");
});

scenario("subscription-token-wrong", async (actor) => {
  const channel = unique("closed");
  const made = await actor.connected();
  const forged = actor.subscription(made, channel, { token: `${ticket(channel)}x` });
  forged.subscribe();
  await until(() => forged.all("unsubscribed").length === 1, "the end of the subscription");
  assert.equal(forged.all("unsubscribed")[0].code, 103);
  assert.equal(made.state, "connected");
  for (const wrong of [ticket(unique("closed")), token("bob", { channel })]) {
    const other = await actor.connected();
    const gone = event(other, "disconnected");
    actor.subscription(other, channel, { token: wrong }).subscribe();
    assert.equal((await gone).code, 3500);
  }
});

scenario("subscription-token-expired-109", async (actor) => {
  const channel = unique("closed");
  const getToken = getter(async () => ticket(channel, { exp: soon(600) }));
  const made = await actor.connected();
  const subscription = await actor.subscribed(made, channel, { token: ticket(channel, { exp: soon(-10) }), getToken });
  assert.equal(getToken.calls.length, 1);
  assert.equal(getToken.calls[0].channel, channel);
  assert.equal(subscription.all("unsubscribed").length, 0);
});

scenario("subscription-token-refreshed", async (actor) => {
  const channel = unique("closed");
  const getToken = getter(
    async () => ticket(channel, { exp: soon(3) }),
    async () => ticket(channel, { exp: soon(600) }),
  );
  const subscription = await actor.subscribed(await actor.connected(), channel, { getToken });
  await until(() => getToken.calls.length === 2, "the renewal");
  // Longer than the first token and its grace: a publication made after that still arrives.
  const end = soon(6);
  await until(() => soon(0) >= end, "the end of the first token");
  await actor.publish(channel, "still here");
  await until(() => subscription.heard.length === 1, "the publication");
  assert.equal(subscription.all("subscribed").length, 1);
});

scenario("subscription-token-not-refreshed-2501", async (actor) => {
  const channel = unique("closed");
  const getToken = getter(async () => ticket(channel, { exp: soon(3) }), never, async () => ticket(channel, { exp: soon(600) }));
  const made = await actor.connected();
  const subscription = await actor.subscribed(made, channel, { getToken });
  await until(() => subscription.all("subscribing").length === 2, "the end of the subscription");
  assert.equal(subscription.all("subscribing")[1].code, 2501);
  await until(() => subscription.all("subscribed").length === 2, "the next subscription");
  assert.equal(made.all("connected").length, 1);
});

scenario("capabilities", async (actor) => {
  const channel = unique("closed");
  const made = await actor.connected({
    claims: {
      caps: [
        { channels: [channel], allow: ["sub", "pub", "hst", "prs"] },
        { channels: [`${channel}-*`], match: "wildcard", allow: ["sub"] },
      ],
    },
  });
  const subscription = await actor.subscribed(made, channel);
  await subscription.publish(actor.pack("mine"));
  await until(() => subscription.heard.length === 1, "the publication");
  assert.equal((await subscription.history({ limit: 10 })).publications.length, 1);
  assert.equal((await subscription.presenceStats()).numClients, 1);
  const reading = await actor.subscribed(made, `${channel}-2`);
  await assert.rejects(reading.publish(actor.pack(1)), { code: 103 });
  await assert.rejects(reading.history({ limit: 1 }), { code: 103 });
  await assert.rejects(reading.presence(), { code: 103 });
  const outside = actor.subscription(made, unique("closed"));
  outside.subscribe();
  await until(() => outside.all("unsubscribed").length === 1, "the refusal");
  assert.equal(outside.all("unsubscribed")[0].code, 103);
});
