// The market in three pages: Ann's at a desk, Bob's on a phone, Cy's behind the slow line, against `demos/run`.
//
//   DEMO_PORT=8000 SCREENSHOTS=/tmp/shots node market.mjs

import assert from "node:assert/strict";

import { at, logIn, network, noFaults, screenshot, shell, until, withBrowser } from "./harness.mjs";

const PHONE = { width: 390, height: 844 };
const IMPORTS = "from market.models import Pace";
const state = (page, said) => page.locator("#state", { hasText: said }).waitFor();
const figure = async (page, id) => Number((await page.locator(`#${id}`).textContent()).replaceAll(",", ""));
const row = (page, symbol) => page.locator(`tr[data-symbol=${symbol}]`);
const quote = (page, symbol) => row(page, symbol).locator(".price, .volume").allTextContents();
const levels = (page) => page.locator("#levels tr td:nth-child(2)").allTextContents();
// Nothing here asserts on time, and the machine may be busy: how fresh, market_slow.mjs measures.
const FRESH_SECONDS = 4;
const fresh = (page, name) => until(`${name} is fresh`, async () => (await figure(page, "oldest")) < FRESH_SECONDS);
// How often a page has been anything else than live, from now on.
const watched = (page) => page.evaluate(() => {
  window.drops = 0;
  new MutationObserver(() => { window.drops += document.getElementById("state").dataset.state !== "live"; })
    .observe(document.getElementById("state"), { attributes: true });
});
const drops = (page) => page.evaluate(() => window.drops);
// Both pages show the same trade of a symbol, which neither has from the other.
const agree = (what, one, other, symbol) => until(what, async () => {
  const [here, there] = await Promise.all([quote(one, symbol), quote(other, symbol)]);
  return here[0] !== "–" && String(here) === String(there);
});

await withBrowser(async (browser) => {
  const faults = [];
  await shell(IMPORTS, "Pace.ask_for(10_000)");
  const ann = await logIn(browser, "ann", faults, { width: 1280, height: 900 });
  await ann.getByRole("link", { name: "Market" }).click();
  await state(ann, "Live");
  const bob = await logIn(browser, "bob", faults, PHONE);
  await bob.goto(at("market/"));
  await state(bob, "Live");
  await until("the feed runs at full rate", async () => (await figure(ann, "ticks")) > 8_000);
  for (const [page, name] of [[ann, "Ann"], [bob, "Bob"]]) await fresh(page, name);
  console.log("ok   10,000 trades a second: every price on both screens is fresh");

  // Who is not on the screen is not heard of; a row that comes into sight has its last value at once.
  const count = await ann.locator("#rows tr").count();
  assert.equal(count, 500);
  const told = () => ann.locator("#rows tr:has(.price:not(:text-is('–')))").count();
  const before = await told();
  assert.ok(before > 8 && before < 60, `${before} rows were told of`);
  const last = await ann.locator("#rows tr").last().getAttribute("data-symbol");
  assert.deepEqual(await quote(ann, last), ["–", "–"]);
  await row(ann, last).scrollIntoViewIfNeeded();
  await until("the last row has a price", async () => (await quote(ann, last))[0] !== "–");
  await until("it has a past", async () => (await row(ann, last).locator("polyline").getAttribute("points"))?.split(" ").length > 20);
  assert.ok((await told()) < 150, "rows that were passed by were told of");
  await fresh(ann, "Ann, further down");
  console.log("ok   interest: only what is on the screen is told, and what comes into sight is there");

  // One page changes the pace, and the other shows it; slower than people read both show the same trades.
  await ann.getByLabel("Trades a second").selectOption("100");
  await until("Bob's page says so", async () => (await bob.getByLabel("Trades a second").inputValue()) === "100");
  await until("the feed is slower", async () => (await figure(bob, "ticks")) < 200);
  assert.equal(await shell(IMPORTS, "Pace.now()"), 100);
  await ann.locator("#grid").evaluate((grid) => grid.scrollTo(0, 0));
  const first = await ann.locator("#rows tr").first().getAttribute("data-symbol");
  await agree("both show the same trade", ann, bob, first);
  console.log("ok   pace: asked for by one page, told to the other; both show the same trades");

  // Orders of a symbol: Ann by keys, Bob by a finger. Both see the same book.
  await row(ann, first).getByRole("button").focus();
  for (const key of ["ArrowDown", "ArrowDown", "ArrowUp", "Enter"]) await ann.keyboard.press(key);
  const second = await ann.locator("#rows tr").nth(1).getAttribute("data-symbol");
  await ann.getByRole("heading", { name: new RegExp(`^${second} · `) }).waitFor();
  await row(bob, second).click();
  for (const page of [ann, bob]) await until("sixteen levels", async () => (await page.locator("#levels tr").count()) === 16);
  const prices = (await levels(ann)).map(Number);
  assert.deepEqual(prices, prices.toSorted((one, other) => other - one));
  const sizes = (page) => page.locator("#levels").evaluate((body) => [...body.rows].map(({ cells }) => cells[2].textContent).join());
  const old = await sizes(bob);
  await until("Bob's book moves", async () => (await sizes(bob)) !== old);
  await until("both show one book", async () => {
    const [here, there] = await Promise.all([sizes(ann), sizes(bob)]);
    return here === there;
  });
  await ann.keyboard.press("End");
  assert.equal(await ann.evaluate(() => document.activeElement.textContent), last);
  await until("End scrolls there", async () => (await quote(ann, last))[0] !== "–");
  await ann.keyboard.press("Home");
  console.log("ok   orders: by keys and by a finger, and both see the same book");

  // The network goes: the prices on the screen are shown to be old. It comes back, and they are fresh.
  await ann.getByLabel("Trades a second").selectOption("10000");
  await fresh(bob, "Bob, before");
  await network(bob, false);
  await state(bob, "Connecting");
  await until("Bob's prices are shown to be old", async () => (await figure(bob, "oldest")) > FRESH_SECONDS && (await bob.locator("tr.old").count()) > 5);
  await fresh(ann, "Ann, meanwhile");
  await network(bob, true);
  await state(bob, "Live");
  await fresh(bob, "Bob, afterwards");
  const stale = await sizes(bob);
  await until("Bob's book moves again", async () => (await sizes(bob)) !== stale);
  console.log("ok   a dropped network: old is shown as old, and is fresh when it is back");

  // The slow line: less comes, what comes is fresh, nobody is thrown out, and nobody else notices.
  const cy = await logIn(browser, "cy", faults, { width: 1280, height: 900 });
  await cy.goto(at("market/"));
  await state(cy, "Live");
  await fresh(cy, "Cy by the fast line");
  await until("Cy gets all", async () => (await figure(cy, "updates")) > 60);
  await cy.getByLabel("Slow line").focus();
  await cy.keyboard.press("Space");
  await state(cy, "Live over the slow line");
  for (const page of [ann, cy]) await watched(page);
  await fresh(cy, "Cy by the slow line");
  const shown = await quote(cy, first);
  await until("the slow line goes on", async () => String(await quote(cy, first)) !== String(shown));
  await until("less comes by the slow line", async () => (await figure(cy, "updates")) < 0.8 * (await figure(ann, "updates")));
  await cy.locator("#grid").evaluate((grid) => grid.scrollTo(0, 4000));
  await fresh(cy, "Cy, further down");
  await fresh(ann, "Ann, beside");
  for (const page of [ann, cy]) assert.equal(await drops(page), 0);
  await until("the feed still runs at full rate", async () => (await figure(cy, "ticks")) > 8_000);
  await cy.getByLabel("Slow line").uncheck();
  await state(cy, "Live");
  await until("Cy gets all again", async () => (await figure(cy, "updates")) > 60);
  console.log("ok   the slow line: less, but fresh, and no disconnect");

  // Finding.
  await bob.getByLabel("Find").fill("steel");
  await until("companies of steel", async () => {
    const names = await bob.locator("#rows tr:visible td.name, #rows tr:not([hidden]) td.name").allTextContents();
    return names.length > 2 && names.length < 60 && names.every((name) => name.includes("Steel"));
  });
  await fresh(bob, "what is found");
  await bob.getByLabel("Find").fill("no such thing");
  await bob.getByText("Nothing is called that.").waitFor();
  await bob.getByLabel("Find").fill("");
  await ann.getByLabel("Sector").selectOption("Banks");
  await fresh(ann, "the banks");
  console.log("ok   finding: by name and by sector");

  await ann.getByLabel("Sector").selectOption("");
  for (const page of [ann, bob]) await fresh(page, "all again");
  await bob.evaluate(() => scrollTo(0, 0));
  await screenshot(ann, "market-desktop-light");
  await ann.emulateMedia({ colorScheme: "dark" });
  await screenshot(ann, "market-desktop-dark");
  await screenshot(bob, "market-phone");
  for (const page of [ann, bob]) assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "scrolls sideways");

  await ann.getByRole("button", { name: "Log out" }).click();
  await ann.getByRole("heading", { name: "Log in" }).waitFor();
  noFaults(faults, /ERR_INTERNET_DISCONNECTED|WebSocket connection|status of 403 .*\/jackfield\/token\//);
  console.log("ok   no other error on any console");
});
