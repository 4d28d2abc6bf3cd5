// Pictures of all applications that are there, as two or three people use them, against `demos/run`: `scripts/pictures`.
//
//   DEMO_PORT=8000 PICTURES=docs/pictures node pictures.mjs [chat game market editor dashboard]

import { mkdir } from "node:fs/promises";
import { join } from "node:path";

import { at, env, logIn, noFaults, until, withBrowser } from "./harness.mjs";

const SIZE = { width: 1280, height: 800 };
const FOLDER = env("PICTURES", "pictures");
const live = (page) => page.locator("#state[data-state=live]").waitFor();
const text = (page, place) => page.locator(place).textContent();
const number = async (page, place) => Number((await text(page, place)).replaceAll(",", ""));

const scenes = {
  /** A conversation, one of whom is typing. */
  async chat({ ann, bob, cy }) {
    await ann.getByRole("link", { name: "Lobby" }).click();
    await live(ann);
    for (const page of [bob, cy]) {
      await page.goto(ann.url());
      await live(page);
    }
    const field = (page) => page.getByRole("textbox", { name: "Message", exact: true });
    const shown = (page, words) => page.locator(".message .bubble", { hasText: words }).first();
    const say = async (page, words) => {
      await field(page).fill(words);
      await field(page).press("Enter");
      for (const other of [ann, bob, cy]) await shown(other, words).waitFor();
    };
    await say(bob, "The new patch panel is in. Twenty-four ports, and all of them labelled.");
    await say(cy, "All of them? Then something must be wrong.");
    await say(ann, "Port 17 says “do not touch”. Is that you, @cy?");
    await say(cy, "That one works. That is why.");
    await say(bob, "I pulled the cable of my laptop meanwhile and put it back. Nothing is missing here.");
    await say(ann, "Nor here. Coffee in the patch room?");
    await say(cy, "On my way, with cups.");
    await ann.locator(".message", { hasText: "Coffee in" }).getByText("Seen by").waitFor();
    await field(bob).pressSequentially("Save me a ch");
    await ann.locator("#typing", { hasText: "bob is typing" }).waitFor();
  },

  /** Somebody who plays among bots. */
  async game({ ann, bob }) {
    await bob.goto(ann.url());
    for (const page of [ann, bob]) await live(page);
    await ann.locator("#scores li").nth(5).waitFor();
    await ann.locator("#arena").focus();
    const toOthers = () => { // the key that leads to whoever is nearest, but not here
      const [me, seen] = [globalThis.arena.me(), globalThis.arena.seen()];
      const ways = seen.map((one) => ({ x: one.x - (me?.x ?? 0), y: one.y - (me?.y ?? 0) })).filter(({ x, y }) => Math.hypot(x, y) > 120);
      const { x, y } = ways.sort((one, other) => Math.hypot(one.x, one.y) - Math.hypot(other.x, other.y))[0] ?? { x: 1200 - (me?.x ?? 0), y: 1200 - (me?.y ?? 0) };
      if (Math.abs(x) > Math.abs(y)) return x > 0 ? "ArrowRight" : "ArrowLeft";
      return y > 0 ? "ArrowDown" : "ArrowUp";
    };
    const near = () => { // on the screen, and not one behind the other
      const [me, seen] = [globalThis.arena.me(), globalThis.arena.seen()];
      const all = seen.filter((one) => me && Math.abs(one.x - me.x) < 400 && Math.abs(one.y - me.y) < 220);
      return all.filter((one, n) => all.slice(n + 1).every((other) => Math.hypot(one.x - other.x, one.y - other.y) > 70)).length;
    };
    await until("Ann has points, and company", async () => {
      const key = await ann.evaluate(toOthers);
      await ann.keyboard.down(key);
      await ann.waitForTimeout(500);
      await ann.keyboard.up(key);
      return (await number(ann, "#score")) > 0 && (await ann.evaluate(near)) > 2; // herself is one of them
    }, 180_000);
  },

  /** Ten thousand trades a second, and the orders of one symbol. */
  async market({ ann }) {
    await live(ann);
    await ann.getByLabel("Trades a second").selectOption("10000");
    await until("the feed runs", async () => (await number(ann, "#ticks")) > 8000);
    await ann.locator("#rows tr").nth(2).click();
    await ann.locator("#levels tr").nth(8).waitFor();
    await until("everything has a past", async () => (await ann.locator("#rows tr:nth-child(2) polyline").getAttribute("points"))?.split(" ").length > 20);
    await until("everything is fresh", async () => (await number(ann, "#oldest")) < 1 && (await number(ann, "#late")) < 1);
  },

  /** A text that two write and one marks. */
  async editor({ ann, bob }) {
    await ann.getByLabel("A new document").fill("How a jackfield works");
    await ann.getByRole("button", { name: "Make it" }).click();
    await live(ann);
    await ann.getByRole("button", { name: "Share", exact: true }).first().click();
    await ann.getByLabel("Share with").fill("bob");
    await ann.getByLabel("Share with").press("Enter");
    await ann.getByLabel("What bob may do").waitFor();
    await ann.getByRole("button", { name: "Close" }).click();
    await bob.goto(ann.url());
    await live(bob);
    const paper = (page) => page.getByRole("textbox", { name: "Text of the document" });
    const format = (page, name) => page.getByRole("toolbar").getByRole("button", { name, exact: true }).click();
    await paper(ann).click();
    await format(ann, "Heading");
    await ann.keyboard.type("How a jackfield works\n");
    await ann.keyboard.type("A jackfield is a panel of sockets. Whoever has a plug is connected to whatever is behind it, and the panel does not mind what that is.\n");
    await format(ann, "Lesser heading");
    await ann.keyboard.type("What goes where\n");
    await format(ann, "List");
    await ann.keyboard.type("browsers come in by WebSocket\ndevices by plain TCP\nthe application by a queue\n");
    await format(ann, "List");
    await paper(bob).locator("li", { hasText: "by a queue" }).waitFor();
    await paper(bob).click();
    await bob.keyboard.press("Control+End");
    await format(bob, "Quotation");
    await bob.keyboard.type("Written by Bob while Ann was writing above, and neither had to wait.");
    await paper(ann).locator("blockquote", { hasText: "had to wait" }).waitFor();
    for (let n = 0; n < 9; n++) await bob.keyboard.press("Control+Shift+ArrowLeft");
    await ann.locator(".ql-cursor-name", { hasText: "bob" }).waitFor();
  },

  /** A shop in which customers are. */
  async dashboard({ ann, bob }) {
    await bob.goto(ann.url());
    for (const page of [ann, bob]) {
      await live(page);
      await page.getByLabel("Customers come in").check();
    }
    await ann.locator("#region").focus();
    const bars = () => ann.locator("#seconds rect").evaluateAll((all) => all.filter((bar) => Number(bar.getAttribute("height")) > 0).length);
    await until("a minute of orders", async () => (await bars()) > 40, 180_000);
  },
};

await mkdir(FOLDER, { recursive: true });
await withBrowser(async (browser) => {
  const faults = [];
  const people = {};
  for (const name of ["ann", "bob", "cy"]) people[name] = await logIn(browser, name, faults, SIZE);
  for (const name of process.argv.length > 2 ? process.argv.slice(2) : Object.keys(scenes)) {
    for (const page of Object.values(people)) await page.goto("about:blank");
    if ((await people.ann.goto(at(`${name}/`))).status() === 404) {
      console.log(`--   ${name}: not installed`);
      continue;
    }
    await scenes[name](people);
    await people.ann.mouse.move(0, 0);
    await people.ann.evaluate(() => [document.activeElement.blur(), scrollTo(0, 0)].length);
    await people.ann.screenshot({ path: join(FOLDER, `${name}.jpg`), type: "jpeg", quality: 82 });
    console.log(`ok   ${name}`);
  }
  noFaults(faults, /status of 404/);
});
