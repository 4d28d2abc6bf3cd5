// Limits that need a server of their own: connections of one user, and pongs that do not come.

import assert from "node:assert/strict";

import { need } from "../serving.mjs";
import { CONFIG, stage, unique, until } from "./stage.mjs";

const { scenario } = stage({
  config: CONFIG.replace("[client]\n", '[client]\nuser_connection_limit = 2\nping_interval = "1s"\npong_timeout = "500ms"\n'),
});
const WebSocket = need("ws");

// A network that lets no pong through; it is the socket that is lame, the SDK is as it comes.
class Mute extends WebSocket {
  send(data, ...rest) {
    const bytes = Buffer.from(data);
    if (bytes.toString() === "{}" || (bytes.length === 1 && bytes[0] === 0)) return;
    super.send(data, ...rest);
  }
}

scenario("no-pong-3012", async (actor) => {
  const made = await actor.connected({ user: `u-${unique("x")}`, websocket: Mute });
  await until(() => made.all("connecting").length >= 2, "the end of the connection");
  assert.equal(made.all("connecting")[1].code, 3012);
});

scenario("too-many-connections-3504", async (actor) => {
  const user = `u-${unique("x")}`;
  const [first] = [await actor.connected({ user }), await actor.connected({ user })];
  const third = actor.client({ user });
  third.connect();
  await until(() => third.all("disconnected").length === 1, "the refusal");
  assert.equal(third.all("disconnected")[0].code, 3504);
  first.disconnect();
  // The place is free as soon as the server has seen the first one go.
  await until(async () => {
    const next = actor.client({ user });
    next.connect();
    await until(() => next.all("connected").length + next.all("disconnected").length > 0, "an answer");
    return next.all("connected").length === 1;
  }, "a free place");
});
