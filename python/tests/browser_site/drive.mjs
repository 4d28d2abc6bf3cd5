// Drives Chromium through one scenario: node drive.mjs NAME. The last line it prints is JSON.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import path from "node:path";

const MODULES = path.resolve(process.env.JACKFIELD_NODE_MODULES);
const { chromium } = createRequire(path.join(MODULES, "..", "here.js"))("playwright-core");
const BASE = process.env.SITE_URL;
const PATIENCE_MS = 20_000;
const FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

const scenarios = {
  /** What Django publishes arrives; nothing offends a strict policy; one connection, however much is used. */
  async messages({ visitor }) {
    const ann = await visitor("ann");
    await listen(ann, "open:1", "news");
    await post("/do/publish/", { channel: "open:1", event: "news", data: { n: 1 } });
    await heard(ann, (one) => one.event === "news" && one.data.n === 1);
    await ann.evaluate(() => { window.jackfield.on("bell", (data) => window.heard.push({ event: "bell", data })); });
    await post("/do/send/", { user: ann.user, event: "bell", data: 7 });
    await heard(ann, (one) => one.event === "bell" && one.data === 7);
    const isSame = () => import("/static/django_jackfield/jackfield.js?by=another-name").then((module) => module.jackfield === window.jackfield);
    assert.ok(await ann.evaluate(isSame), "one module, whatever it is called");
    assert.equal(ann.sockets.length, 1, "one connection per page");
    return { sockets: ann.sockets.length };
  },

  /** A page to a handler, and what the handler publishes to all. */
  async handlers({ visitor }) {
    const [ann, bob] = [await visitor("ann"), await visitor("bob")];
    await listen(ann, "room:7", "said");
    await listen(bob, "room:7", "said");
    await ann.evaluate(() => window.jackfield.channel("room:7").send("say", { text: "hi" }));
    const said = await heard(bob, (one) => one.event === "said");
    assert.deepEqual(said.data, { text: "hi", by: ann.user });
    assert.equal(await ann.evaluate(() => window.jackfield.call("add", { a: 2, b: 3 })), 5);
    const refused = await ann.evaluate(() => window.jackfield.call("add", { a: 13, b: 1 }).catch((error) => ({
      code: error.code, message: error.message, ours: error instanceof window.JackfieldError && error instanceof Error,
    })));
    assert.deepEqual(refused, { code: 413, message: "thirteen is not added", ours: true });
    const unknown = await ann.evaluate(() => window.jackfield.call("nothing").catch((error) => error.code));
    assert.equal(unknown, 104);
    const answers = await ann.evaluate(() => {
      window.jackfield.answer("where", ({ exact }) => ({ exact, title: document.title }));
      window.jackfield.answer("fails", () => { throw new Error("not today"); });
      return window.states.find((one) => one.state === "connected").client;
    });
    assert.deepEqual(await post("/do/ask/", { client: answers, method: "where", data: { exact: true } }), { answer: { exact: true, title: "page" } });
    assert.equal((await post("/do/ask/", { client: answers, method: "fails", data: null })).code, 400);
    assert.equal((await post("/do/ask/", { client: answers, method: "nobody", data: null })).code, 404);
  },

  /** Who comes and goes, who is there, what was; and no message feigns that. */
  async members({ visitor }) {
    const [ann, bob] = [await visitor("ann"), await visitor("bob")];
    await listen(ann, "open:2", "join", "leave", "hello");
    await ann.evaluate(() => window.jackfield.channel("open:2").on("*", (data, message) => window.heard.push({ event: "*", data, name: message.event })));
    await listen(bob, "open:2", "hello");
    await heard(ann, (one) => one.event === "join" && one.data.user === bob.user);
    await bob.evaluate(() => window.jackfield.channel("open:2").publish("hello", { to: "all" }));
    const hello = await heard(ann, (one) => one.event === "hello");
    assert.equal(hello.from, bob.user);
    const members = await ann.evaluate(() => window.jackfield.channel("open:2").presence());
    assert.deepEqual(members.map((one) => one.user).sort(), [ann.user, bob.user].sort());
    const history = await ann.evaluate(async () => {
      const messages = await window.jackfield.channel("open:2").history();
      return { events: messages.map((one) => one.event), offset: messages.offset, epoch: typeof messages.epoch };
    });
    assert.deepEqual(history, { events: ["hello"], offset: 1, epoch: "string" });
    await bob.evaluate(() => window.jackfield.channel("open:2").publish("leave", { user: "feigned" }));
    await heard(ann, (one) => one.event === "*" && one.name === "leave");
    assert.equal((await ann.evaluate(() => window.heard)).filter((one) => one.event === "leave").length, 0);
    await bob.evaluate(() => window.jackfield.channel("open:2").leave());
    await heard(ann, (one) => one.event === "leave" && one.data.user === bob.user);
    const again = await bob.evaluate(() => { window.listen("open:2", "hello"); return window.jackfield.channel("open:2").state; });
    assert.equal(again, "subscribing");
  },

  /** The network goes and comes back: what was missed arrives once, in order; a channel without history tells of a gap. */
  async reconnect({ visitor }) {
    const ann = await visitor("ann");
    await listen(ann, "open:3", "n", "recovered", "gap");
    await listen(ann, "brief:3", "recovered", "gap");
    await post("/do/publish/", { channel: "open:3", event: "n", data: 1 });
    await heard(ann, (one) => one.event === "n" && one.data === 1);
    await ann.context().setOffline(true);
    await until("the page knows that it is offline", () => ann.evaluate(() => window.jackfield.state === "connecting"));
    for (const n of [2, 3]) await post("/do/publish/", { channel: "open:3", event: "n", data: n });
    await ann.context().setOffline(false);
    await heard(ann, (one) => one.event === "n" && one.data === 3);
    await heard(ann, (one) => one.channel === "brief:3" && one.event === "gap");
    const all = await ann.evaluate(() => window.heard);
    assert.deepEqual(all.filter((one) => one.event === "n").map((one) => one.data), [1, 2, 3]);
    assert.deepEqual(all.filter((one) => one.channel === "open:3" && one.event !== "n").map((one) => one.event), ["recovered"]);
  },

  /** What is said with a subscribe reaches the server, after a reconnect too: figures of publications instead of these. */
  async figures({ visitor }) {
    const ann = await visitor("ann");
    await ann.evaluate(() => {
      const aggregate = { every: 100, figures: { n: "count", total: "sum:data.total" } };
      const orders = window.jackfield.channel("brief:4", { data: { aggregate } });
      orders.on("message", (data) => window.heard.push({ event: "window", data }));
      orders.on("order", () => window.heard.push({ event: "order" }));
    });
    const subscribed = () => until("subscribed", () => ann.evaluate(() => window.jackfield.channel("brief:4").state === "subscribed"));
    for (const total of ["0.10", "0.20"]) {
      await subscribed();
      await post("/do/publish/", { channel: "brief:4", event: "order", data: { total } });
      await heard(ann, (one) => one.event === "window" && one.data.n === 1 && one.data.total === Number(total));
      await ann.context().setOffline(true);
      await until("the page knows that it is offline", () => ann.evaluate(() => window.jackfield.state === "connecting"));
      await ann.context().setOffline(false);
    }
    assert.ok(!(await ann.evaluate(() => window.heard)).some((one) => one.event === "order"));
  },

  /** What is much like the message before comes as the difference to it, and is heard whole; after a reconnect too. */
  async differences({ visitor }) {
    const ann = await visitor("ann");
    const frames = [];
    ann.on("websocket", (socket) => socket.on("framereceived", ({ payload }) => frames.push(String(payload))));
    await ann.evaluate(() => {
      window.jackfield.channel("brief:5", { delta: true }).on("book", (data) => window.heard.push({ event: "book", data }));
    });
    const long = "orders ".repeat(500);
    const told = async (number) => {
      await post("/do/publish/", { channel: "brief:5", event: "book", data: { long, number } });
      await heard(ann, ({ event, data }) => event === "book" && data.long === long && data.number === number);
      return frames.findLast((frame) => frame.includes('"brief:5"') && frame.includes('"pub"')).length;
    };
    for (const number of [1, 3]) {
      await until("subscribed", () => ann.evaluate(() => window.jackfield.channel("brief:5").state === "subscribed"));
      const whole = await told(number);
      const difference = await told(number + 1);
      assert.ok(whole > long.length && difference < 300, `${whole} and ${difference} letters`);
      await ann.context().setOffline(true);
      await until("the page knows that it is offline", () => ann.evaluate(() => window.jackfield.state === "connecting"));
      await ann.context().setOffline(false);
    }
  },

  /** A worker says who may subscribe; the refused page hears so and does not come again. */
  async rights({ visitor }) {
    const [ann, bob] = [await visitor("ann"), await visitor("bob")];
    await listen(ann, "desk:1", "news");
    const refused = await bob.evaluate(() => new Promise((resolve) => {
      window.jackfield.channel("desk:1").on("unsubscribed", resolve);
    }));
    assert.equal(refused.code, 103);
    const unsent = await bob.evaluate(() => window.jackfield.channel("desk:1").send("news", 1).catch((error) => error.name));
    assert.equal(unsent, "JackfieldError");
    return { states: [await state(ann), await state(bob)] };
  },

  /** Without a worker to ask, a channel is opened by a token of Django's; a page that is let in later gets in. */
  async vault({ visitor }) {
    const [ann, bob] = [await visitor("ann"), await visitor("bob")];
    await listen(ann, "vault:1", "news");
    assert.equal(ann.tokenRequests.length, 1, "a token at once");
    assert.equal(new URL(ann.tokenRequests[0]).searchParams.get("channel"), "vault:1");
    await post("/do/publish/", { channel: "vault:1", event: "news", data: 1 });
    await heard(ann, (one) => one.event === "news");
    const refusal = () => bob.evaluate(() => new Promise((resolve) => {
      const stop = window.jackfield.channel("vault:1").on("unsubscribed", (said) => { stop(); resolve(said); });
    }));
    assert.deepEqual(await refusal(), { code: 103, reason: "permission denied" });
    assert.deepEqual(await refusal(), { code: 103, reason: "permission denied" });
    await post("/do/let/", { user: bob.user });
    await listen(bob, "vault:1", "news");
  },

  /** HTML of Django is shown, of other pages never; text is text; marks that come later are followed. */
  async fragments({ visitor }) {
    const ann = await visitor("ann", "/page/fragments/");
    await until("in", () => ann.evaluate(() => window.jackfield.channel("open:1").state === "subscribed"));
    await post("/do/publish/", { channel: "open:1", event: "html", data: "<li>second</li>" });
    await ann.waitForSelector("#list li:nth-child(2)");
    assert.deepEqual(await ann.$$eval("#list li", (items) => items.map((item) => item.textContent)), ["first", "second"]);
    const evil = "<img src=x onerror=window.pwned=1><script>window.pwned=1</scr" + "ipt>";
    const bob = await visitor("bob");
    await listen(bob, "open:1", "whole");
    await bob.evaluate((html) => window.jackfield.channel("open:1").publish("whole", html), evil);
    await post("/do/publish/", { channel: "open:1", event: "words", data: evil });
    await until("the words", () => ann.$eval("#words", (element) => element.textContent.includes("onerror")));
    assert.equal(await ann.$eval("#words", (element) => element.children.length), 0);
    assert.equal(await ann.$eval("#whole", (element) => element.innerHTML), "");
    await ann.evaluate(() => {
      const [place, mark] = [document.createElement("div"), document.createElement("template")];
      place.id = "late";
      Object.assign(mark.dataset, { jackfieldChannel: "open:9", jackfieldTarget: "#late" });
      document.body.append(place, mark);
    });
    await until("in", () => ann.evaluate(() => window.jackfield.channel("open:9").state === "subscribed"));
    await post("/do/publish/", { channel: "open:9", event: "html", data: "<b>late</b>" });
    await ann.waitForSelector("#late b");
    await ann.evaluate(() => document.querySelector("[data-jackfield-channel='open:9']").remove());
    await until("out", () => ann.evaluate(() => window.jackfield.channel("open:9").state === "unsubscribed"));
    assert.equal(await ann.evaluate(() => window.pwned), undefined);
  },

  /** What a visitor says does not break out of the tags. */
  async escapes({ visitor }) {
    const nasty = "\"></template><script>window.pwned=1</script><img src=x onerror=window.pwned=1>'";
    const ann = await visitor("ann", `/page/fragments/?nasty=${encodeURIComponent(nasty)}`);
    assert.equal(await ann.evaluate(() => window.pwned), undefined);
    const marks = await ann.$$eval("template", (all) => all.map((one) => one.dataset.jackfieldChannel));
    assert.deepEqual(marks, ["open:1", "open:1", "open:1", nasty]);
    assert.equal(await ann.$$eval("img", (all) => all.length), 0);
  },

  /** A visitor's page becomes that of the user who logs in elsewhere; it is not signed out by that. */
  async visitors({ browser }) {
    const page = await opened(browser, "/");
    await listen(page, "open:1", "news");
    const config = await page.$eval("#jackfield-config", (element) => JSON.parse(element.textContent));
    assert.equal(config.user, "");
    assert.equal(typeof config.token, "string");
    await page.request.get(`${BASE}/enter/ann/`);
    await page.evaluate(() => window.listen("room:1", "said"));
    await until("in the room of users", () => page.evaluate(() => {
      const room = window.jackfield.channel("room:1");
      if (room.state === "unsubscribed") room.on("said", () => {});
      return room.state === "subscribed";
    }));
    await page.evaluate(() => window.jackfield.channel("room:1").send("say", { text: "hi" }));
    const said = await heard(page, (one) => one.event === "said");
    assert.notEqual(said.data.by, "");
    const states = (await page.evaluate(() => window.states)).map((one) => one.state);
    assert.ok(!states.includes("signedout"), String(states));
  },

  /** A page for caches carries no token and asks for one; nobody logged in means no connection and no request. */
  async tokens({ visitor, browser }) {
    const ann = await visitor("ann", "/page/cached/");
    const page = await ann.$eval("#jackfield-config", (element) => JSON.parse(element.textContent));
    assert.equal(page.token, null);
    assert.ok(!("user" in page));
    await listen(ann, "open:1", "news");
    assert.equal(ann.tokenRequests.length, 1);
    const filled = await visitor("bob");
    await listen(filled, "open:1", "news");
    assert.equal(filled.tokenRequests.length, 0, "the first token stands in the page");
    const nobody = await opened(browser, "/");
    await nobody.evaluate(() => window.listen("open:1", "news"));
    await until("signed out", async () => (await state(nobody)) === "signedout");
    const call = await nobody.evaluate(() => window.jackfield.call("add", { a: 1, b: 1 }).catch((error) => error.message));
    assert.equal(call, "signed out");
    assert.deepEqual([nobody.tokenRequests.length, nobody.sockets.length], [0, 0]);
  },

  /** Tokens of a second: the page goes on with new ones, and without new ones it ends as signed out. */
  async expiry({ visitor }) {
    const ann = await visitor("ann");
    await listen(ann, "open:1", "news");
    await until("a second and a third token", () => ann.tokenRequests.length >= 2);
    assert.equal(await state(ann), "connected");
    await ann.request.get(`${BASE}/leave/`);
    await until("signed out", async () => (await state(ann)) === "signedout");
    const asked = ann.tokenRequests.length;
    await ann.evaluate(() => window.jackfield.call("add", { a: 1, b: 1 }).catch(() => {}));
    assert.equal(ann.tokenRequests.length, asked, "who is signed out does not ask again");
  },

  /** The cookie logs in: no token is fetched, the page goes on when its time is up, and nobody stays nobody. */
  async cookies({ visitor, browser }) {
    const [ann, bob] = [await visitor("ann"), await visitor("bob", "/page/cached/")];
    const config = await ann.$eval("#jackfield-config", (element) => JSON.parse(element.textContent));
    assert.deepEqual([config.token, config.auth, config.user], [null, "session", ann.user]);
    await listen(ann, "room:7", "said");
    await listen(bob, "room:7", "said");
    await ann.evaluate(() => window.jackfield.channel("room:7").send("say", { text: "hi" }));
    assert.deepEqual((await heard(bob, (one) => one.event === "said")).data, { text: "hi", by: ann.user });
    // The session engine of the site tells nothing, so Django is asked again.
    await until("a second socket", () => ann.sockets.length >= 2);
    await until("connected again", async () => (await state(ann)) === "connected");
    assert.deepEqual([ann.tokenRequests.length, bob.tokenRequests.length], [0, 0]);
    for (const [where, sockets] of [["/", 0], ["/page/cached/", 1]]) {
      const nobody = await opened(browser, where);
      await nobody.evaluate(() => window.listen("open:1", "news"));
      await until("signed out", async () => (await state(nobody)) === "signedout");
      assert.deepEqual([nobody.tokenRequests.length, nobody.sockets.length], [0, sockets]);
    }
  },

  /** Somebody else logs in beside an open page: it ends, rather than go on as that user. */
  async strangers({ visitor }) {
    for (const where of ["/", "/page/cached/"]) {
      const ann = await visitor("ann", where);
      await listen(ann, "open:1", "news");
      await ann.request.get(`${BASE}/enter/bob/`);
      await until("signed out", async () => (await state(ann)) === "signedout");
      await ann.evaluate(() => window.jackfield.connect());
      await until("connected as whoever is there now", async () => (await state(ann)) === "connected");
    }
  },

  /** Logging out in one tab closes the socket of the other. */
  async logout({ visitor }) {
    const ann = await visitor("ann");
    await listen(ann, "open:1", "news");
    const [other, bob] = [await ann.context().newPage(), await visitor("bob")];
    await listen(bob, "open:1", "news");
    await other.goto(`${BASE}/page/page/`);
    const from = Date.now();
    await other.goto(`${BASE}/leave/`);
    const done = Date.now();
    await until("signed out", async () => (await state(ann)) === "signedout");
    const states = (await ann.evaluate(() => window.states)).filter((one) => one.at > from);
    assert.equal(await state(bob), "connected", "nobody else is signed out");
    // Logged in anew, the page may go on when it says so.
    await ann.request.get(`${BASE}/enter/ann/`);
    await ann.evaluate(() => window.jackfield.connect());
    await until("connected again", async () => (await state(ann)) === "connected");
    await until("in again", () => ann.evaluate(() => window.jackfield.channel("open:1").state === "subscribed"));
    return { closed_ms: Math.round(states[0].at - from), ms: Math.round(states.at(-1).at - from), response_ms: done - from };
  },

  /** Code that was written for Channels reaches the page. */
  async channels({ visitor }) {
    const ann = await visitor("ann");
    await listen(ann, "chat_7", "chat.message");
    await post("/do/group/", { group: "chat_7", message: { type: "chat.message", text: "hi", by: "ann" } });
    const message = await heard(ann, (one) => one.event === "chat.message");
    assert.deepEqual(message.data, { text: "hi", by: "ann" });
  },
};

const state = (page) => page.evaluate(() => window.jackfield.state);

async function post(where, said) {
  const response = await fetch(BASE + where, { method: "POST", body: JSON.stringify(said) });
  const text = await response.text();
  assert.equal(response.status, 200, `${where}: ${text.slice(0, 400)}`);
  return text.startsWith("{") ? JSON.parse(text) : text;
}

/** Listens in a channel and waits until the page is in it. */
async function listen(page, name, ...events) {
  await page.evaluate(([channel, wanted]) => window.listen(channel, ...wanted), [name, events]);
  await until(`in ${name}`, () => page.evaluate((channel) => window.jackfield.channel(channel).state === "subscribed", name));
}

function heard(page, fits) {
  return until(`heard ${fits}`, async () => (await page.evaluate(() => window.heard)).find(fits));
}

async function until(what, look) {
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) throw new Error(`never seen: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

async function opened(browser, where, enter) {
  const context = await browser.newContext();
  if (enter) await context.request.get(`${BASE}/enter/${enter}/`);
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  Object.assign(page, { sockets: [], tokenRequests: [], faults: [] });
  page.on("pageerror", (error) => page.faults.push(String(error)));
  page.on("console", (message) => message.text().includes("Content Security Policy") && page.faults.push(message.text()));
  page.on("websocket", (socket) => page.sockets.push(socket.url()));
  page.on("request", (request) => request.url().includes("/jackfield/token/") && page.tokenRequests.push(request.url()));
  pages.push(page);
  await page.goto(BASE + where);
  await until("the module", () => page.evaluate(() => Boolean(window.jackfield)));
  return page;
}

const name = process.argv[2];
const browser = await chromium.launch({ executablePath: process.env.JACKFIELD_CHROMIUM ?? "/usr/bin/chromium", args: FLAGS });
const pages = [];
try {
  const visitor = async (who, where = "/") => {
    const page = await opened(browser, where, who);
    const token = await page.evaluate(() => fetch("/jackfield/token/?who").then((answer) => answer.json()).then((answer) => answer.token));
    page.user = JSON.parse(Buffer.from(token.split(".")[1], "base64url")).sub;
    page.tokenRequests.length = 0;
    return page;
  };
  const told = await scenarios[name]({ visitor, browser });
  // A scenario that offends the policy has failed, whatever it saw.
  for (const page of pages) assert.deepEqual(page.faults, [], "no page reports a fault");
  console.log(JSON.stringify({ name, ...told }));
} catch (error) {
  for (const page of pages) console.error(page.url(), await page.evaluate(() => [window.states, window.heard, window.jackfield?.state]).catch(String));
  throw error;
} finally {
  await browser.close();
}
