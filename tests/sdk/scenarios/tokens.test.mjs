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
