// The chat with three people: Ann and Bob in Chromium, Cy over plain TCP, against `demos/run`.
//
//   DEMO_PORT=8000 LINES_PORT=8403 SCREENSHOTS=/tmp/shots node chat.mjs

import assert from "node:assert/strict";

import { Lines, at, env, logIn, manage, network, noFaults, quietPage, screenshot, shell, until, withBrowser } from "./harness.mjs";

const LINES_PORT = Number(env("LINES_PORT", "8403"));
const stamp = Date.now().toString(36);
const PHONE = { width: 390, height: 844 };

const rows = (text) => shell("from chat.models import Message",
  `list(Message.objects.filter(text=${JSON.stringify(text)}).values('author__username', 'room_id', 'nonce'))`);
const live = (page) => page.locator("#state[data-state=live]").waitFor();
const field = (page) => page.getByRole("textbox", { name: "Message", exact: true });
const bubble = (page, text) => page.locator(".message .bubble").filter({ hasText: text });
const message = (page, text) => page.locator(".message", { has: page.locator(".bubble", { hasText: text }) });
const person = (page, name) => page.locator("#people-list li", { hasText: name });
const here = (page, name) => page.locator("#people-list li.here", { hasText: name });
const said = (text) => (line) => line.push?.pub?.data?.event === "message" && line.push.pub.data.data.text === text;
async function say(page, text) {
  await field(page).fill(text);
  await field(page).press("Enter");
}
const confirmed = (page) => until("all is confirmed", async () => (await page.locator(".message[data-fate]").count()) === 0);

await withBrowser(async (browser) => {
  const faults = [];
  const ann = await logIn(browser, "ann", faults, { width: 1280, height: 800 });
  await screenshot(ann, "home-desktop");
  await ann.getByRole("link", { name: "Chat" }).click();
  await ann.getByRole("heading", { name: "Rooms" }).waitFor();

  // A room of this run, so that it can run again on the same database.
  await ann.getByLabel("A new room").fill(`Room ${stamp}`);
  await ann.getByRole("button", { name: "Make it" }).click();
  await ann.waitForURL(/rooms\/\d+\/$/);
  const room = ann.url();
  const pk = Number(room.match(/(\d+)\/$/)[1]);
  const channel = `room:${pk}`;
  await live(ann);

  // Bob joins; both see each other.
  const bob = await logIn(browser, "bob", faults, PHONE);
  await screenshot(bob, "home-phone");
  await bob.goto(room);
  await bob.getByText("You are not one yet").waitFor();
  await bob.getByRole("button", { name: "Join" }).click();
  await live(bob);
  await here(ann, "bob").waitFor();
  await until("two here, says Bob's phone", async () => (await bob.locator("#here-count").textContent()) === "2");
  console.log("ok   presence: Ann and Bob see each other");

  // Typing, then the message itself; one row, and both pages show it once; Ann sees that Bob has read it.
  const hello = `Hello Bob ${stamp}`;
  await field(ann).pressSequentially(hello);
  await bob.locator("#typing", { hasText: "ann is typing" }).waitFor();
  console.log("ok   typing: Bob sees that Ann types");
  await field(ann).press("Enter");
  await bubble(bob, hello).waitFor();
  await confirmed(ann);
  assert.equal(await bubble(ann, hello).count(), 1);
  await until("typing ended with the message", async () => (await bob.locator("#typing").textContent()) === "");
  assert.equal(await bob.locator("#announce").textContent(), `ann: ${hello}`);
  const [row, ...others] = await rows(hello);
  assert.deepEqual([row.author__username, row.room_id, others.length], ["ann", pk, 0]);
  console.log("ok   a message: seen by both, announced, one row in the database");
  await message(ann, hello).getByText("Seen by bob").waitFor();
  console.log("ok   read marks: Ann sees how far Bob has read");

  // Editing and deleting, each seen by the other.
  await message(ann, hello).hover();
  await message(ann, hello).getByRole("button", { name: /^Edit/ }).click();
  await ann.getByText("Editing your message").waitFor();
  const better = `Hello again, Bob ${stamp}`;
  await say(ann, better);
  await bubble(bob, better).getByText("edited").waitFor();
  assert.equal(await bubble(bob, hello).count(), 0);
  await say(ann, `A slip ${stamp}`);
  await bubble(bob, `A slip ${stamp}`).waitFor();
  await confirmed(ann);
  await message(ann, `A slip ${stamp}`).getByRole("button", { name: /^Delete/ }).click();
  await ann.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await bubble(bob, "Message deleted").waitFor();
  assert.equal(await bubble(bob, `A slip ${stamp}`).count(), 0);
  console.log("ok   edit and delete: Bob sees the new text, and that there is none");

  // Cy comes over TCP with a token made on the command line.
  await shell("from chat.models import *; from django.contrib.auth.models import User", `Membership.objects.create(room_id=${pk}, user=User.objects.get(username='cy')).pk`);
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
  await field(bob).fill(answer);
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

  // Too much is refused by name and can be thrown away; a file is refused before it goes anywhere.
  await ann.evaluate((text) => {
    document.getElementById("text").value = text;
    document.getElementById("composer").requestSubmit();
  }, "x".repeat(2001));
  await ann.locator(".message .fate", { hasText: "at most 2000 characters" }).waitFor();
  await ann.getByRole("button", { name: "Discard" }).click();
  await until("the refused message gone", async () => (await bubble(ann, "xxx").count()) === 0);
  const dropped = await ann.evaluateHandle(() => {
    const transfer = new DataTransfer();
    transfer.items.add(new File(["bytes"], "photo.png", { type: "image/png" }));
    return transfer;
  });
  await ann.locator("#talk").dispatchEvent("drop", { dataTransfer: dropped });
  await ann.locator("#note", { hasText: "“photo.png” was not sent: this chat takes text only" }).waitFor();
  await until("the end of the list in sight all the same", () => ann.evaluate(() => {
    const list = document.getElementById("scroll");
    return list.scrollHeight - list.scrollTop - list.clientHeight < 2;
  }));
  console.log("ok   refusal: the author is told why, of a message and of a file");

  // Bob's network goes: what he writes waits; what is said and edited meanwhile he gets, from the server's history.
  let asked = 0;
  bob.on("request", (request) => (asked += request.url().includes("/messages/?after=") ? 1 : 0));
  await network(bob, false);
  await bob.locator("#state", { hasText: "Reconnecting" }).waitFor();
  await until("Bob away, says Ann", async () => (await here(ann, "bob").count()) === 0);
  const lost = `Written while away ${stamp}`;
  await say(bob, lost);
  await bob.locator(".message[data-fate=failed]", { hasText: lost }).waitFor();
  await bob.getByRole("button", { name: "Try again" }).waitFor();
  await screenshot(bob, "chat-phone-not-sent");
  const missed = `Said meanwhile ${stamp}`;
  await say(ann, missed);
  await cy.json("what is said meanwhile", said(missed));
  await confirmed(ann); // what is on its way cannot be corrected yet
  await field(ann).press("ArrowUp");
  await say(ann, `${missed}, and corrected`);
  await cy.json("the correction", said(`${missed}, and corrected`));
  await network(bob, true);
  await live(bob);
  await bubble(bob, `${missed}, and corrected`).waitFor();
  await bubble(ann, lost).waitFor();
  await cy.json("what was written while away", said(lost));
  await confirmed(bob);
  for (const page of [ann, bob]) for (const text of [lost, missed]) assert.equal(await bubble(page, text).count(), 1);
  assert.equal((await rows(lost)).length, 1);
  assert.equal(asked, 0);
  console.log("ok   a dropped network: failure shown, sent again by itself, nothing missed, nothing double, Django not asked");

  // Away for longer than the server's history reaches: the page asks Django. A mention waits for the next visit.
  await network(bob, false);
  await until("Bob away, says Ann", async () => (await here(ann, "bob").count()) === 0);
  const mention = `@bob where are you? ${stamp}`;
  await say(ann, mention);
  await cy.json("the mention", said(mention));
  await until("Bob's notice", async () => (await shell("from chat.models import Notice", `Notice.objects.filter(message__text='${mention}', user__username='bob').count()`)) === 1);
  await shell("from django_jackfield import publish_many", `len(publish_many(('${channel}', {'event': 'noise', 'data': n}) for n in range(600)))`);
  await cy.json("the last of the noise", (line) => line.push?.pub?.data?.data === 599);
  await network(bob, true);
  await live(bob);
  await bubble(bob, mention).waitFor();
  assert.equal(await bubble(bob, mention).count(), 1);
  assert.ok(asked > 0);
  console.log("ok   away for longer: what the history has lost comes from the database");
  await bob.goto(at("chat/"));
  await bob.getByText("While you were away").waitFor();
  await bob.locator(".notices", { hasText: mention }).waitFor();
  await screenshot(bob, "chat-phone-notices");
  await bob.getByRole("button", { name: "Got it" }).click();
  await until("no notices", async () => (await bob.locator(".notices").count()) === 0);
  await say(ann, `@bob are you there? ${stamp}`);
  await bob.locator(".toast", { hasText: "ann mentioned you" }).waitFor();
  await bob.locator(".toast").getByRole("link").click();
  await live(bob);
  console.log("ok   mentions: kept for who is away, told at once to who is on another page");

  // Moderation: muted, unmuted, removed out of the open page, let back in.
  await person(ann, "bob").getByRole("button", { name: "Mute bob" }).click();
  await until("Bob muted", async () => await field(bob).isDisabled());
  assert.equal(await field(bob).getAttribute("placeholder"), "You are muted in this room.");
  await person(ann, "bob").getByRole("button", { name: "Unmute bob" }).click();
  await until("Bob may speak", async () => await field(bob).isEnabled());
  await person(ann, "bob").getByRole("button", { name: "Remove bob" }).click();
  await ann.getByRole("dialog").getByRole("button", { name: "Remove" }).click();
  await bob.getByText("A moderator has removed you from this room.").waitFor();
  await until("Bob gone, says Ann", async () => (await here(ann, "bob").count()) === 0);
  await screenshot(bob, "chat-phone-removed");
  await say(ann, `Behind his back ${stamp}`);
  await cy.json("what Bob must not hear", said(`Behind his back ${stamp}`));
  assert.equal(await bubble(bob, `Behind his back ${stamp}`).count(), 0);
  await bob.reload();
  await bob.getByText("A moderator has removed you from this room.").waitFor();
  assert.equal(await bob.locator("#messages").count(), 0);
  await person(ann, "bob").getByRole("button", { name: "Let back in bob" }).click();
  await person(ann, "bob").getByRole("button", { name: "Mute bob" }).waitFor();
  await bob.reload();
  await live(bob);
  await here(ann, "bob").waitFor();
  console.log("ok   moderation: muted, removed at once, let back in");

  // By keyboard alone: the first stop of the page leads to the field, and the others reach everything else.
  await ann.bringToFront();
  const focused = () => ann.evaluate(() => document.activeElement.id || document.activeElement.getAttribute("aria-label") || document.activeElement.textContent.trim());
  await ann.reload();
  await live(ann);
  await ann.locator("a, button").first().focus(); // where Tab begins on a page that gave no field the focus
  const path = [await focused()];
  for (let presses = 0; presses < 60 && path.at(-1) !== "Log out"; presses++) {
    await ann.keyboard.press("Tab");
    path.push(await focused());
  }
  assert.equal(path[0], "Skip to the message field");
  for (const stop of ["All rooms", "rename", "scroll", "text", "Mute bob", "Remove bob", "Log out"]) assert.ok(path.includes(stop), `${stop} is not in ${path.join(" > ")}`);
  assert.ok(path.some((stop) => stop.startsWith("Edit: ")) && path.some((stop) => stop.startsWith("Delete: ")));
  await ann.locator(".skip").focus();
  await ann.keyboard.press("Enter");
  assert.equal(await focused(), "text");
  await ann.keyboard.type(`First line ${stamp}`);
  await ann.keyboard.press("Shift+Enter");
  await ann.keyboard.type("second line, by keyboard");
  await ann.keyboard.press("Enter");
  await cy.json("two lines", said(`First line ${stamp}\nsecond line, by keyboard`));
  await confirmed(ann);
  console.log("ok   keyboard: reachable, two lines sent");

  // What it looks like.
  await say(bob, `That is @ann’s doing: https://example.com/patch-bay`);
  await bubble(ann, "doing").waitFor();
  await field(bob).pressSequentially("I am just ab");
  await ann.locator("#typing", { hasText: "bob is typing" }).waitFor();
  await screenshot(ann, "chat-desktop-light");
  await ann.emulateMedia({ colorScheme: "dark" });
  await screenshot(ann, "chat-desktop-dark");
  await screenshot(bob, "chat-phone");
  await bob.emulateMedia({ colorScheme: "dark" });
  await bob.getByRole("button", { name: "here" }).click();
  await bob.locator("#people.open").waitFor();
  await until("the panel at rest", () => bob.evaluate(() => document.getElementById("people").getAnimations().length === 0));
  await screenshot(bob, "chat-phone-people-dark");
  await bob.keyboard.press("Escape");
  for (const page of [ann, bob]) {
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "scrolls sideways");
  }

  // Who goes is gone, and was seen.
  cy.close();
  await until("Cy gone", async () => (await here(ann, "cy").count()) === 0);
  await person(ann, "cy").getByText("seen just now").waitFor();
  await until("Cy's row of last seen", async () =>
    (await shell("from chat.models import LastSeen", "LastSeen.objects.filter(user__username='cy').count()")) === 1);
  await ann.goto(room);
  assert.equal(await bubble(ann, better).count(), 1); // from the database
  await ann.goto(at("chat/"));
  await screenshot(ann, "chat-rooms");
  await bob.goto(at("chat/"));
  await screenshot(bob, "chat-rooms-phone");

  const info = await ann.request.get(at("server-info/"));
  assert.deepEqual(Object.keys(await info.json()), info.ok() ? ["hostname", "ip_address"] : ["error"]);
  console.log(`ok   presence, history, server-info (${info.status()})`);

  // A logout in one tab ends the page in the other.
  const second = await quietPage(ann.context(), faults);
  await second.goto(room);
  await live(second);
  await ann.getByRole("button", { name: "Log out" }).click();
  await ann.getByRole("heading", { name: "Log in" }).waitFor();
  await second.getByRole("heading", { name: "Log in" }).waitFor();
  await screenshot(ann, "chat-login");
  console.log("ok   a logout ends the other tab");
  noFaults(faults, /ERR_INTERNET_DISCONNECTED|status of 403 .*\/jackfield\/token\//); // the network that was cut, and the logout
  console.log("ok   no other error on any console");
});
