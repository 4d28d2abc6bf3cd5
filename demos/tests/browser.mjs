// The chat with three people: Ann and Bob in Chromium, Cy over plain TCP, against `demos/run`.
//
//   DEMO_PORT=8000 LINES_PORT=8403 SCREENSHOTS=/tmp/shots node browser.mjs

import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { Lines, env, quietPage, run, screenshot, until, withBrowser } from "./harness.mjs";

const DEMOS = dirname(dirname(fileURLToPath(import.meta.url)));
const PYTHON = env("PYTHON", join(DEMOS, ".venv", "bin", "python"));
const ORIGIN = `http://127.0.0.1:${env("DEMO_PORT", "8000")}`;
const LINES_PORT = Number(env("LINES_PORT", "8403"));
const stamp = Date.now().toString(36);

const manage = (...words) => run(PYTHON, ["manage.py", ...words], { cwd: DEMOS });
async function rows(text) {
  const code = "import json, sys; from chat.models import Message;" +
    `print(json.dumps(list(Message.objects.filter(text=${JSON.stringify(text)}).values('author__username', 'room_id', 'nonce'))))`;
  return JSON.parse((await manage("shell", "-c", code)).split("\n").at(-1));
}

async function logIn(browser, name, faults, size) {
  const context = await browser.newContext({ viewport: size });
  const page = await quietPage(context, faults);
  await page.goto(`${ORIGIN}/login/`);
  await page.getByLabel("Name").fill(name);
  await page.getByLabel("Password").fill("jackfield");
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByRole("heading", { name: "Rooms" }).waitFor();
  return page;
}
const live = (page) => page.locator("#state[data-state=live]").waitFor();
const bubble = (page, text) => page.locator(".message .bubble").filter({ hasText: text });
const here = (page, name) => page.locator("#people-list li.here", { hasText: name });
const said = (text) => (line) => line.push?.pub?.data?.event === "message" && line.push.pub.data.data.text === text;

await withBrowser(async (browser) => {
  const faults = [];
  const ann = await logIn(browser, "ann", faults, { width: 1280, height: 800 });
  await screenshot(ann, "chat-rooms-before");

  // A room of this run, so that it can run again on the same database.
  await ann.getByLabel("A new room").fill(`Room ${stamp}`);
  await ann.getByRole("button", { name: "Make it" }).click();
  await ann.waitForURL(/rooms\/\d+\/$/);
  const pk = Number(ann.url().match(/(\d+)\/$/)[1]);
  const channel = `room:${pk}`;
  await live(ann);

  // Bob reads along until he joins; both see each other.
  const bob = await logIn(browser, "bob", faults, { width: 390, height: 844 });
  await bob.goto(`${ORIGIN}/rooms/${pk}/`);
  await bob.getByText("You read along").waitFor();
  await bob.getByRole("button", { name: "Join" }).click();
  await bob.getByLabel("Message", { exact: true }).waitFor();
  await live(bob);
  await here(ann, "bob").waitFor();
  await until("two here, says Bob's phone", async () => (await bob.locator("#here-count").textContent()) === "2");
  console.log("ok   presence: Ann and Bob see each other");

  // Typing, then the message itself; one row, and both pages show it once.
  const hello = `Hello Bob ${stamp}`;
  await ann.getByLabel("Message", { exact: true }).pressSequentially(hello);
  await bob.locator("#typing", { hasText: "ann is typing" }).waitFor();
  console.log("ok   typing: Bob sees that Ann types");
  await ann.getByLabel("Message", { exact: true }).press("Enter");
  await bubble(bob, hello).waitFor();
  await until("Ann's message confirmed", async () => (await ann.locator(".message[data-fate]").count()) === 0);
  assert.equal(await bubble(ann, hello).count(), 1);
  await until("typing ended with the message", async () => (await bob.locator("#typing").textContent()) === "");
  assert.equal(await bob.locator("#announce").textContent(), `ann: ${hello}`);
  const [row, ...others] = await rows(hello);
  assert.deepEqual([row.author__username, row.room_id, others.length], ["ann", pk, 0]);
  console.log("ok   a message: seen by both, announced, one row in the database");

  // Cy comes over TCP with a token made on the command line.
  await manage("shell", "-c", `from chat.models import *; from django.contrib.auth.models import User; Room.objects.get(pk=${pk}).members.add(User.objects.get(username='cy'))`);
  const token = (await manage("jackfield", "token", "cy")).split("\n").at(-1);
  const cy = await Lines.open(LINES_PORT);
  cy.send({ id: 1, connect: { token } });
  await cy.reply(1);
  cy.send({ id: 2, subscribe: { channel } });
  await cy.reply(2);
  await until("three here, say both", async () =>
    (await ann.locator("#here-count").textContent()) === "3" && (await bob.locator("#here-count").textContent()) === "3");
  const words = `Hello from a socket ${stamp} <i>é</i>`;
  cy.send({ id: 3, publish: { channel, data: { event: "say", data: { text: words, nonce: `cy-${stamp}` } } } });
  await cy.reply(3);
  for (const page of [ann, bob]) await bubble(page, words).waitFor();
  await cy.json("its own message", said(words));
  // The same again, as a client does that did not hear the reply: stored and shown once.
  cy.send({ id: 4, publish: { channel, data: { event: "say", data: { text: words, nonce: `cy-${stamp}` } } } });
  await cy.reply(4);
  const answer = `Hello socket ${stamp}`;
  await bob.getByLabel("Message", { exact: true }).fill(answer);
  await bob.getByRole("button", { name: "Send" }).click();
  await cy.json("Bob's message", said(answer));
  await bubble(ann, answer).waitFor();
  for (const page of [ann, bob]) assert.equal(await bubble(page, words).count(), 1);
  assert.equal((await rows(words)).length, 1);
  console.log("ok   TCP: Cy is seen, heard and hears; a message sent twice is stored and shown once");

  // Renaming is a call that the worker answers and tells the room.
  await ann.getByRole("button", { name: "Rename the room" }).click();
  await ann.getByLabel("Title").fill(`Attic ${stamp}`);
  await ann.getByLabel("Title").press("Enter");
  await bob.getByRole("heading", { name: `Attic ${stamp}` }).waitFor();
  await cy.json("the new title", (line) => line.push?.pub?.data?.data?.title === `Attic ${stamp}`);
  console.log("ok   rpc: Ann renames the room, all hear it");

  // Too much is refused by name, and can be thrown away.
  const tooLong = "x".repeat(2001);
  await ann.evaluate((text) => {
    document.getElementById("text").value = text;
    document.getElementById("composer").requestSubmit();
  }, tooLong);
  await ann.locator(".message .fate", { hasText: "at most 2000 characters" }).waitFor();
  await ann.getByRole("button", { name: "Discard" }).click();
  await until("the refused message gone", async () => (await bubble(ann, "xxx").count()) === 0);
  console.log("ok   refusal: the author is told why");

  // Bob's line drops: what he writes waits, what is said meanwhile he gets, and nobody sees double.
  let cut;
  let down = false;
  await bob.routeWebSocket(/connection\/websocket/, (socket) => {
    if (down) return socket.close();
    const server = socket.connectToServer();
    cut = () => { socket.close(); server.close(); };
  });
  await bob.reload();
  await live(bob);
  await bubble(bob, answer).waitFor();
  down = true;
  cut();
  await bob.locator("#state", { hasText: "Reconnecting" }).waitFor();
  await until("Bob away, says Ann", async () => (await here(ann, "bob").count()) === 0);
  const lost = `Written while away ${stamp}`;
  await bob.getByLabel("Message", { exact: true }).fill(lost);
  await bob.getByLabel("Message", { exact: true }).press("Enter");
  await bob.locator(".message[data-fate=failed]", { hasText: lost }).waitFor();
  await bob.getByRole("button", { name: "Try again" }).waitFor();
  await screenshot(bob, "chat-phone-not-sent");
  const missed = `Said meanwhile ${stamp}`;
  await ann.getByLabel("Message", { exact: true }).fill(missed);
  await ann.getByLabel("Message", { exact: true }).press("Enter");
  await cy.json("what is said meanwhile", said(missed));
  down = false;
  await live(bob);
  await bubble(bob, missed).waitFor();
  await bubble(ann, lost).waitFor();
  await cy.json("what was written while away", said(lost));
  await until("all of Bob's are sent", async () => (await bob.locator(".message[data-fate]").count()) === 0);
  for (const text of [lost, missed]) {
    assert.equal(await bubble(bob, text).count(), 1);
    assert.equal((await rows(text)).length, 1);
  }
  console.log("ok   a dropped line: failure shown, sent again by itself, nothing missed, nothing double");

  // By keyboard alone: tab to the field from the top of the page.
  await ann.bringToFront();
  await ann.evaluate(() => document.activeElement.blur());
  for (let presses = 0; presses < 20; presses++) {
    await ann.keyboard.press("Tab");
    if (await ann.evaluate(() => document.activeElement.id) === "text") break;
  }
  await ann.keyboard.type(`First line ${stamp}`);
  await ann.keyboard.press("Shift+Enter");
  await ann.keyboard.type("second line, by keyboard");
  await ann.keyboard.press("Enter");
  await cy.json("two lines", said(`First line ${stamp}\nsecond line, by keyboard`));
  await until("confirmed", async () => (await ann.locator(".message[data-fate]").count()) === 0);
  console.log("ok   keyboard: reachable, two lines sent");

  // What it looks like.
  await bob.getByLabel("Message", { exact: true }).pressSequentially("I am just ab");
  await ann.locator("#typing", { hasText: "bob is typing" }).waitFor();
  await screenshot(ann, "chat-desktop-light");
  await ann.emulateMedia({ colorScheme: "dark" });
  await screenshot(ann, "chat-desktop-dark");
  await screenshot(bob, "chat-phone");
  await bob.getByRole("button", { name: "here" }).click();
  await bob.locator("#people.open").waitFor();
  await until("the panel at rest", () => bob.evaluate(() => document.getElementById("people").getAnimations().length === 0));
  await screenshot(bob, "chat-phone-people");
  await bob.keyboard.press("Escape");
  for (const page of [ann, bob]) {
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "scrolls sideways");
  }

  // Who goes is gone, and was seen.
  cy.close();
  await until("Cy gone", async () => (await here(ann, "cy").count()) === 0);
  await ann.locator("#people-list li", { hasText: "cy" }).getByText("seen just now").waitFor();
  await until("Cy's row of last seen", async () => {
    const code = `from chat.models import LastSeen; print(LastSeen.objects.filter(user__username='cy').count())`;
    return (await manage("shell", "-c", code)).endsWith("1");
  });
  await ann.goto(`${ORIGIN}/rooms/${pk}/`);
  assert.equal(await bubble(ann, hello).count(), 1); // from the database
  await ann.goto(ORIGIN);
  await screenshot(ann, "chat-rooms");
  await bob.goto(ORIGIN);
  await screenshot(bob, "chat-rooms-phone");

  const info = await ann.request.get(`${ORIGIN}/server-info/`);
  assert.deepEqual(Object.keys(await info.json()), info.ok() ? ["hostname", "ip_address"] : ["error"]);
  console.log(`ok   presence, history, server-info (${info.status()})`);

  await ann.getByRole("button", { name: "Log out" }).click();
  await ann.getByRole("heading", { name: "Log in" }).waitFor();
  await screenshot(ann, "chat-login");
  const unexpected = faults.filter((fault) => !/WebSocket connection/.test(fault)); // the line that was cut
  assert.deepEqual(unexpected, []);
  console.log("ok   no error on any console");
});
