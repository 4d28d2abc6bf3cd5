// The arena in two pages and a bot of our own on a plain socket, beside the bots of the demo, against `demos/run` with short rounds.
//
//   GAME_ROUND=40 demos/run       and then       DEMO_PORT=8000 BOTS_PORT=8404 SCREENSHOTS=/tmp/shots node game.mjs

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { connect } from "node:net";

import { DEMOS, PYTHON, at, env, logIn, network, noFaults, quietPage, screenshot, shell, until, withBrowser } from "./harness.mjs";

const PHONE = { width: 390, height: 844 };
const [AWAY, BOT] = [8, 16];
const ROUND_MS = 120_000; // longest that a round and a new one may take here
const AREAS = 64;
const WAYS = { x: ["KeyA", "KeyD"], y: ["KeyW", "KeyS"] };

const state = (page, said) => page.locator("#state", { hasText: said }).waitFor();
const listed = (page, name) => page.locator("#scores li", { hasText: name });
const me = (page) => page.evaluate(() => globalThis.arena.me());
const seen = (page, name) => page.evaluate((name) => globalThis.arena.seen().find((one) => one.name === name) ?? null, name);
const heard = (page) => page.evaluate(() => globalThis.arena.figures().heard.length);
const hearAll = (page, all) => page.getByLabel("Hear the whole arena").setChecked(all);
const score = async (page, name) => Number((await listed(page, name).first().locator("b").textContent({ timeout: 2000 }).catch(() => "0")) || 0);
const apart = (one, other) => Math.hypot(one.x - other.x, one.y - other.y);
const near = (one, other, reach) => Boolean(one && other) && apart(one, other) < reach; // who is not seen is near nobody
const far = (one, other, reach) => Boolean(one && other) && apart(one, other) > reach;
const place = (page) => until("where I am", () => me(page));

// Presses keys until the player is where `goal()` says, which may move.
async function go(page, what, goal, reach) {
  const held = { x: null, y: null };
  await page.locator("#arena").focus();
  try {
    await until(what, async () => {
      const [mine, target] = [await me(page), await goal()];
      if (!mine || !target) return false;
      if (near(mine, target, reach)) return true;
      for (const axis of ["x", "y"]) {
        const far = target[axis] - mine[axis];
        const key = Math.abs(far) < 12 ? null : WAYS[axis][Number(far > 0)];
        if (held[axis] === key) continue;
        if (held[axis]) await page.keyboard.up(held[axis]);
        if (key) await page.keyboard.down(key);
        held[axis] = key;
      }
      return false;
    }, ROUND_MS);
  } finally {
    for (const key of Object.values(held)) if (key) await page.keyboard.up(key);
  }
}

// Runs in a page: presses keys by itself, towards the nearest spark, or as a hunter towards the nearest runner.
function playing() {
  const held = new Set();
  const press = (code, isDown) => {
    if (held.has(code) === isDown) return;
    held[isDown ? "add" : "delete"](code);
    dispatchEvent(new KeyboardEvent(isDown ? "keydown" : "keyup", { code }));
  };
  const timer = setInterval(() => {
    const [mine, others] = [globalThis.arena.me(), globalThis.arena.seen()];
    if (!mine) return;
    const goals = mine.state & 1 ? others.filter(({ state }) => !(state & 3)) : globalThis.arena.sparks();
    const far = ({ x, y }) => Math.hypot(x - mine.x, y - mine.y);
    const goal = goals.sort((one, other) => far(one) - far(other))[0] ?? { x: 1200, y: 1200 };
    press("KeyD", goal.x - mine.x > 12);
    press("KeyA", mine.x - goal.x > 12);
    press("KeyS", goal.y - mine.y > 12);
    press("KeyW", mine.y - goal.y > 12);
  }, 50);
  globalThis.resting = () => {
    clearInterval(timer);
    for (const code of [...held]) press(code, false);
  };
}

// A bot as anybody would write one: twelve bytes out, twelve bytes in.
class Bot {
  figures = new Map();
  id = 0;

  constructor(name) {
    this.socket = connect(Number(env("BOTS_PORT", "8404")), "127.0.0.1");
    let rest = Buffer.alloc(0);
    this.socket.on("data", (data) => {
      rest = Buffer.concat([rest, data]);
      for (; rest.length >= 12; rest = rest.subarray(12)) this.#heard(rest, name);
    });
    this.socket.write(Buffer.concat([Buffer.from([2, 0]), Buffer.from(name.padEnd(10, "\0"))]));
    this.timer = setInterval(() => this.steer(...this.wish), 300);
  }

  wish = [0, 0];

  #heard(frame, name) {
    const [kind, id] = frame;
    if (kind === 3) this.figures.set(id, { x: frame.readUInt16BE(2) / 16, y: frame.readUInt16BE(4) / 16, state: frame[7] });
    if (kind === 5) this.figures.delete(id);
    if (kind === 2 && id && frame.subarray(2).toString().startsWith(name)) this.id = id;
  }

  get me() {
    return this.figures.get(this.id);
  }

  steer(x, y) {
    this.wish = [x, y];
    const frame = Buffer.alloc(12);
    frame[0] = 1;
    frame.writeInt8(x, 1);
    frame.writeInt8(y, 2);
    this.socket.write(frame);
  }

  end() {
    clearInterval(this.timer);
    this.socket.destroy();
  }
}

await withBrowser(async (browser) => {
  const faults = [];
  const [vendored, published] = await Promise.all(["../game/static/game/centrifuge.protobuf.js", "node_modules/centrifuge/dist/centrifuge.protobuf.js"].map((file) => readFile(new URL(file, import.meta.url))));
  assert.ok(vendored.equals(published), "the SDK is the one of npm, byte for byte");

  const ann = await logIn(browser, "ann", faults, { width: 1280, height: 860 });
  await ann.getByRole("link", { name: "Game" }).click();
  await state(ann, "Live");
  const bob = await logIn(browser, "bob", faults, PHONE);
  await bob.goto(at("game/"));
  await state(bob, "Live");
  for (const page of [ann, bob]) {
    for (const name of ["ann", "bob", "bot-"]) await listed(page, name).first().waitFor();
    await until("my own figure", () => me(page));
  }
  console.log("ok   two people, and the bots of the demo keep them company");

  // Binary frames only: no place is JSON. And a player hears of what is near, not of everybody.
  await until("the areas around the screen", async () => (await heard(bob)) < AREAS / 2);
  await until("only who is in them, or has just left them", () => bob.evaluate(() => {
    const keys = new Set(globalThis.arena.figures().heard);
    const key = (x, y) => `${Math.floor(x / 300)}:${Math.floor(y / 300)}`;
    const isHeard = ({ x, y }) => [-90, 0, 90].some((right) => [-90, 0, 90].some((down) => keys.has(key(x + right, y + down))));
    return globalThis.arena.me() && globalThis.arena.seen().every(isHeard);
  }));

  // Ann presses keys; Bob, who hears the whole arena, sees her go where she went.
  await hearAll(bob, true);
  await until("Bob hears of Ann, wherever", () => seen(bob, "ann"));
  await go(ann, "Ann in the middle", () => ({ x: 1500, y: 1500 }), 60);
  await until("Bob sees her there", async () => {
    return near(await me(ann), await seen(bob, "ann"), 60);
  });
  console.log("ok   keys: Bob sees Ann where she went");

  // She comes to him: without the whole arena he hears of her as well, and when she has left he does not.
  await hearAll(bob, false);
  const corner = { x: 2200, y: 2200 };
  await go(bob, "Bob in the corner", () => corner, 80);
  await go(ann, "Ann at Bob's", () => me(bob), 120);
  await until("Bob sees Ann beside him", async () => near(await seen(bob, "ann"), await me(bob), 900));
  await go(ann, "Ann far away", () => ({ x: 1000, y: 1000 }), 80);
  await until("Bob hears of her no more", async () => (await seen(bob, "ann")) === null);
  await listed(bob, "ann").waitFor();
  console.log("ok   interest: near she is heard of, far she is not, and she stays in the list");

  // A finger on Bob's phone: drawn to the left, his figure goes left.
  await bob.evaluate(() => scrollTo(0, 0));
  const stage = await bob.locator("#arena").boundingBox();
  const before = await place(bob);
  await bob.mouse.move(stage.x + 200, stage.y + 300);
  await bob.mouse.down();
  await bob.mouse.move(stage.x + 120, stage.y + 300, { steps: 4 });
  await until("Bob went left", async () => (await place(bob)).x < before.x - 60);
  await bob.mouse.up();
  console.log("ok   touch: a finger steers");

  // A bot of twelve bytes: it is told its number, sees Ann move, and Bob sees it go where it says that it is.
  const bot = new Bot("tcp-test");
  await until("the bot knows its figure", () => bot.me);
  await listed(bob, "tcp-test").waitFor();
  await hearAll(bob, true);
  const begin = { ...bot.me };
  const aim = begin.x > 1200 ? -127 : 127;
  bot.steer(aim, 0);
  await until("the bot moves", () => Math.abs(bot.me.x - begin.x) > 150);
  bot.steer(0, 0);
  await until("Bob sees it there", async () => near(await seen(bob, "tcp-test"), bot.me, 40));
  assert.ok(bot.me.state & BOT);
  const shown = await place(ann);
  await go(ann, "Ann elsewhere", () => ({ x: 700, y: 500 }), 60);
  const annsId = await ann.evaluate(() => globalThis.arena.id());
  await until("the bot sees Ann there", async () => near(bot.figures.get(annsId), await me(ann), 60));
  assert.ok(far(shown, await place(ann), 100));
  bot.end();
  await until("who says nothing for ten seconds is gone", async () => (await listed(bob, "tcp-test").count()) === 0);
  console.log("ok   a bot on a plain socket plays with browsers, and is gone ten seconds after it left");

  // The bot of the docs.
  const walker = spawn(PYTHON, ["game/walker.py", env("BOTS_PORT", "8404")], { cwd: DEMOS, stdio: ["ignore", "inherit", "inherit"] });
  await listed(bob, "walker").waitFor();
  const stood = await until("Bob sees it", () => seen(bob, "walker"));
  await until("it walks", async () => far(await seen(bob, "walker"), stood, 200));
  walker.kill();
  console.log("ok   the bot of thirty lines walks");

  // The network goes for less than ten seconds: she stands still, and goes on in the same place.
  const old = await ann.evaluate(() => ({ ...globalThis.arena.me(), id: globalThis.arena.id() }));
  // Bob's page itself looks out for it, from before: it does not last.
  const isAway = bob.waitForFunction((away) => globalThis.arena.seen().find(({ name, state }) => name === "ann" && state & away), AWAY, { polling: 50 });
  await network(ann, false);
  const waiting = await (await isAway).jsonValue();
  await state(ann, "Connecting");
  await ann.getByText("The line is cut").waitFor();
  await network(ann, true);
  await state(ann, "Live");
  const back = await until("she is back", async () => {
    const found = await seen(bob, "ann");
    return found && !(found.state & AWAY) ? found : null;
  });
  assert.ok(near(waiting, back, 60), "she goes on where she was");
  await until("her page knows it", async () => near(await me(ann), waiting, 60));
  assert.equal(await ann.evaluate(() => globalThis.arena.id()), old.id);
  await go(ann, "Ann goes on", () => ({ x: waiting.x > 1200 ? 600 : 1800, y: 1200 }), 80);
  await until("Bob sees it", async () => near(await seen(bob, "ann"), await me(ann), 60));
  assert.ok(far(await place(ann), waiting, 100));
  console.log("ok   a short cut: the same figure in the same place");

  // For longer than ten seconds: she is out, and comes in again when she is back.
  await network(ann, false);
  await state(ann, "Connecting");
  await until("Ann is out", async () => (await listed(bob, "ann").count()) === 0);
  await network(ann, true);
  await state(ann, "Live");
  await listed(bob, "ann").waitFor();
  await until("her figure", () => me(ann));
  console.log("ok   a long cut: out after ten seconds, in again when the line is back");

  // Points, on the other's page; the end of a round is stored by Django and told to all.
  const rounds = () => shell("from game.models import Result", "list(Result.objects.filter(user__username='ann').values_list('score', flat=True))");
  const known = await rounds();
  let stored = known;
  await ann.evaluate(playing);
  await until("points for Ann, on Bob's page, and a round that is over", async () => {
    if ((await score(bob, "ann")) > 0) stored = await rounds();
    return stored.length > known.length;
  }, ROUND_MS);
  await ann.evaluate(() => globalThis.resting());
  assert.ok(stored.at(-1) > 0);
  await bob.locator("#best li", { hasText: "ann" }).first().waitFor();
  const best = await bob.locator("#best li b").allTextContents();
  assert.deepEqual(best.map(Number), await shell("from game.models import Result", "[one['score'] for one in Result.best()]"));
  await bob.locator(".toast", { hasText: "The round is over" }).waitFor();
  await bob.reload();
  await bob.locator("#best li", { hasText: "ann" }).first().waitFor();
  console.log("ok   a round: points are seen by the other, the result is Django's");

  // Who does not see the canvas is told what is near, by a key and by a button.
  await ann.locator("#arena").focus();
  await ann.keyboard.press("e");
  await ann.locator("#announce", { hasText: /(spark|runner) .*You have \d+/ }).waitFor();
  await ann.locator("#announce").evaluate((log) => log.replaceChildren());
  await ann.getByRole("button", { name: "What is near?" }).press("Enter");
  await ann.locator("#announce", { hasText: /You have \d+/ }).waitFor();
  await ann.getByLabel("Hear the whole arena").focus();
  await ann.keyboard.press("Space");
  assert.ok(await ann.getByLabel("Hear the whole arena").isChecked());
  await ann.keyboard.press("Space");
  console.log("ok   keyboard and screen reader: what is near, in words");

  // Who plays is connected, so a mention in the chat is shown here.
  const mention = "{'event': 'mention', 'data': {'author': {'name': 'cy'}, 'text': 'look', 'room': '/chat/rooms/1/', 'title': 'Lobby'}}";
  await shell("from django_jackfield import send; from django.contrib.auth.models import User", `send(user=User.objects.get(username='ann'), data=${mention}).id`);
  await ann.locator(".toast", { hasText: "cy mentioned you in Lobby: look" }).waitFor();

  // What it looks like, in the midst of it.
  await hearAll(bob, false);
  for (const page of [ann, bob]) {
    await go(page, "the middle", () => ({ x: 1200, y: 1200 }), 250);
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "scrolls sideways");
    await page.evaluate(() => { document.activeElement.blur(); scrollTo(0, 0); });
  }
  await screenshot(ann, "game-desktop-light");
  await ann.emulateMedia({ colorScheme: "dark" });
  await until("it is dark", () => ann.evaluate(() => matchMedia("(prefers-color-scheme: dark)").matches));
  await screenshot(ann, "game-desktop-dark");
  await screenshot(bob, "game-phone");

  const second = await quietPage(bob.context(), faults);
  await second.goto(at(""));
  await second.getByRole("button", { name: "Log out" }).click();
  await bob.getByRole("heading", { name: "Log in" }).waitFor();
  console.log("ok   mentions are shown, and a logout ends the page");
  noFaults(faults, /ERR_INTERNET_DISCONNECTED|WebSocket connection|status of 403 .*\/game\/token\//);
  console.log("ok   no other error on any console");
});
