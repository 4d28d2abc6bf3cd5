// What a user meets is the same over every transport: rights, server-side subscriptions, recovery, closes.

import assert from "node:assert/strict";

import { CONFIG, range, stage, unique, until } from "./stage.mjs";

const { scenario } = stage({ config: `${CONFIG}\n[sse]\nenabled = true\n\n[http_stream]\nenabled = true\n` });

// SSE is text and carries JSON only.
const TRANSPORTS = { json: ["websocket", "sse", "http_stream"], protobuf: ["websocket", "http_stream"] };

scenario("every-transport", async (actor) => {
  for (const transport of TRANSPORTS[actor.encoding]) {
    const user = `u-${unique("x")}`;
    const served = unique("closed");
    const made = await actor.cuttable({ transport, user, claims: { channels: [served] } });
    await until(() => made.all("subscribed").length === 1, `${transport}: the server's subscription`);
    const subscription = await actor.subscribed(made, unique("kept"));
    const ended = await actor.subscribed(made, unique("open"));
    await actor.publish(subscription.channel, 1);
    await until(() => subscription.heard.length === 1, `${transport}: a publication`);
    const [context] = await actor.away(made, [subscription], async () => {
      for (const n of range(2, 9)) await actor.publish(subscription.channel, n);
    });
    assert.equal(context.recovered, true, transport);
    await until(() => subscription.heard.length >= 9, `${transport}: what was missed`);
    assert.deepEqual(subscription.values(), range(1, 9), transport);
    await ended.ready();
    await actor.api("unsubscribe", { user, channel: ended.channel });
    await until(() => ended.all("unsubscribed").length === 1, `${transport}: the end of a subscription`);
    assert.equal(ended.all("unsubscribed")[0].code, 2000, transport);
    await actor.api("disconnect", { user, disconnect: { code: 4501, reason: "go away" } });
    await until(() => made.all("disconnected").length === 1, `${transport}: the end of the connection`);
    assert.deepEqual([made.all("disconnected")[0].code, made.all("disconnected")[0].reason], [4501, "go away"], transport);
    const wrong = actor.client({ transport, token: "none.at.all" });
    wrong.connect();
    await until(() => wrong.all("disconnected").length === 1, `${transport}: the refusal`);
    assert.equal(wrong.all("disconnected")[0].code, 3500, transport);
  }
});
