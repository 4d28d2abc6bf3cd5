// Subscriptions that come with the connection: the personal channel, and those of the application's answer to a connect.

import assert from "node:assert/strict";

import { Answerer } from "../serving.mjs";
import { CONFIG, stage, unique, until } from "./stage.mjs";

// The application lets everybody in who names itself in the data of the connect.
class Doorman extends Answerer {
  answer(event) {
    if (event.type !== "connect") return super.answer(event);
    const { name, channel } = JSON.parse(event.data);
    if (!name) return { v: 1, id: event.id, error: { code: 1000, message: "nobody" } };
    return {
      v: 1,
      id: event.id,
      result: { user: name, info: { by: "door" }, data: { welcome: name }, subs: { [channel]: { data: { place: 1 } } } },
    };
  }
}

const { scenario } = stage({
  config: `${CONFIG}
[[channel.namespaces]]
name = "personal"
presence = true
history_size = 10
history_ttl = "5m"
force_recovery = true
`,
  sets: [
    "client.proxy.connect.enabled=true",
    "client.subscribe_to_user_personal_channel.enabled=true",
    "client.subscribe_to_user_personal_channel.personal_channel_namespace=personal",
  ],
  furnish: (server) => new Doorman(server.embedded).start(),
});

scenario("personal-channel", async (actor) => {
  const user = `u-${unique("x")}`.replaceAll(":", "-");
  const channel = `personal:#${user}`;
  const made = await actor.cuttable({ user });
  await until(() => made.all("subscribed").some((one) => one.channel === channel), "the personal channel");
  await actor.publish(channel, "for you");
  await until(() => made.all("publication").length === 1, "the publication");
  await made.cut();
  await actor.publish(channel, "while you were away");
  made.heal();
  await until(() => made.all("publication").length === 2, "what was missed");
  assert.deepEqual(made.all("publication").map(({ data }) => actor.read(data)), ["for you", "while you were away"]);
});

scenario("server-side-by-connect-answer", async (actor) => {
  const channel = unique("closed");
  const made = await actor.connected({ token: "", data: actor.pack({ name: "eve", channel }) });
  assert.deepEqual(actor.read(made.all("connected")[0].data), { welcome: "eve" });
  await until(() => made.all("subscribed").some((one) => one.channel === channel), "the subscription");
  assert.deepEqual(actor.read(made.all("subscribed").find((one) => one.channel === channel).data), { place: 1 });
  const { presence } = await actor.api("presence", { channel });
  const [info] = Object.values(presence);
  assert.deepEqual([info.user, info.conn_info], ["eve", { by: "door" }]);
  await actor.publish(channel, 1);
  await until(() => made.all("publication").length === 1, "the publication");
});

scenario("connect-refused-by-application", async (actor) => {
  const made = actor.client({ token: "", data: actor.pack({ channel: unique("closed") }) });
  made.connect();
  await until(() => made.all("disconnected").length === 1, "the refusal");
  assert.equal(made.all("disconnected")[0].code, 1000);
});
