// The page of `jackfield serve --dev`, and the three lines of JavaScript that need no library.
//
//   JACKFIELD_PORT=8400 LINES_PORT=8403 RAW_PORT=8404 SCREENSHOTS=/tmp/shots node devpage.mjs

import assert from "node:assert/strict";

import { Lines, env, quietPage, screenshot, until, withBrowser } from "./harness.mjs";

const PORT = Number(env("JACKFIELD_PORT", "8400"));
const LINES_PORT = Number(env("LINES_PORT", "8403"));
const RAW_PORT = Number(env("RAW_PORT", "8404"));
const ORIGIN = `http://127.0.0.1:${PORT}`;
const channel = `room:${Date.now()}`;

await withBrowser(async (browser) => {
  const faults = [];

  // The raw snippet, as one would paste it: two pages and a TCP socket in one channel.
  const context = await browser.newContext();
  const pages = [await quietPage(context, faults), await quietPage(context, faults)];
  const heard = pages.map((page) => {
    const lines = [];
    page.on("console", (message) => lines.push(message.text()));
    return lines;
  });
  const tcp = await Lines.open(RAW_PORT);
  for (const page of pages) {
    await page.goto(ORIGIN);
    await page.evaluate((url) => new Promise((resolve, reject) => {
      const s = new WebSocket(url);
      s.onopen = () => { s.send("Hello Server!"); resolve(); };
      s.onmessage = (e) => console.log(e.data);
      s.onerror = () => reject(new Error("no raw WebSocket"));
      window.s = s;
    }), `ws://127.0.0.1:${PORT}/ws`);
    // Each joins when the one before is certainly in the channel.
    await until("its own greeting", () => heard[pages.indexOf(page)].includes("Hello Server!"));
  }
  await tcp.line("a greeting of a page", (line) => line === "Hello Server!");
  tcp.write("Hello from TCP");
  await pages[0].evaluate(() => window.s.send("from page one"));
  await pages[1].evaluate(() => window.s.send('{"from": "page two <b>"}'));
  const all = ["Hello from TCP", "from page one", '{"from": "page two <b>"}'];
  for (const text of all) {
    for (const lines of heard) await until(`${text} on a page`, () => lines.includes(text));
    await tcp.line(text, (line) => line === text);
  }
  console.log("ok   raw: two pages and a TCP socket hear each other");
  tcp.close();
  await pages[1].close();

  // The page itself, with a TCP client in the same channel.
  const page = pages[0];
  await page.goto(ORIGIN);
  await page.getByLabel("Channel", { exact: true }).fill(channel);
  await page.getByRole("button", { name: "Connect", exact: true }).press("Enter");
  await page.locator("#state[data-state=open]").waitFor();
  await page.getByRole("button", { name: "Subscribe", exact: true }).click();
  await page.locator("#presence", { hasText: "(you)" }).waitFor();

  const peer = await Lines.open(LINES_PORT);
  peer.send({ id: 1, connect: {} });
  await peer.reply(1);
  peer.send({ id: 2, subscribe: { channel } });
  await peer.reply(2);
  await until("both in presence", async () => (await page.locator("#presence li").count()) === 2);
  const hostile = "<img src=x onerror=document.title='owned'><script>document.title='owned'</script>";
  peer.send({ id: 3, publish: { channel, data: { text: hostile } } });
  await page.locator("#messages li", { hasText: "onerror" }).waitFor();
  assert.equal(await page.title(), "Jackfield");
  assert.equal(await page.locator("main img, main script").count(), 0);

  await page.getByLabel("Message", { exact: true }).fill("Hello from the page");
  await page.getByRole("button", { name: "Publish", exact: true }).click();
  await peer.json("the page's text", (said) => said.push?.pub?.data === "Hello from the page");
  await page.locator("#publish-as").selectOption("json");
  await page.getByLabel("Message", { exact: true }).fill('{"n": [1, 2');
  await page.getByRole("button", { name: "Publish", exact: true }).click();
  await page.locator("#channel-error", { hasText: "no JSON" }).waitFor();
  await page.getByLabel("Message", { exact: true }).fill('{"n": [1, 2]}');
  await page.getByLabel("Message", { exact: true }).press("Enter");
  await peer.json("the page's JSON", (said) => said.push?.pub?.data?.n?.length === 2);
  await until("three in the history", async () => (await page.locator("#history li").count()) === 3);
  await page.locator("#history").locator("xpath=..").getByRole("button").click();
  await until("three again", async () => (await page.locator("#history li").count()) === 3);
  console.log("ok   page: subscribes, publishes text and JSON, shows presence and history");

  await page.getByLabel("Method", { exact: true }).fill("nobody.answers.this");
  await page.getByRole("button", { name: "Call", exact: true }).click();
  await page.locator("#rpc-error", { hasText: /\(\d+\)|10 seconds/ }).waitFor();
  console.log(`ok   page: a call that nobody takes says: ${await page.locator("#rpc-error").textContent()}`);

  const rows = page.locator("#log details");
  await page.getByLabel("Filter", { exact: true }).fill("publish");
  await until("only publish", async () => {
    const kinds = await rows.locator(".kind").allTextContents();
    return kinds.length > 0 && kinds.every((kind) => /publi/i.test(kind));
  });
  await page.getByLabel("Filter", { exact: true }).fill("");
  await page.getByRole("button", { name: "Pause", exact: true }).click();
  const before = await rows.count();
  peer.send({ id: 4, publish: { channel, data: "while paused" } });
  await page.locator("#log-count", { hasText: "held back" }).waitFor();
  assert.equal(await rows.count(), before);
  await page.getByRole("button", { name: "Resume", exact: true }).click();
  await until("what was held back", async () => (await rows.count()) > before);
  await rows.last().locator("summary").press("Enter");
  await rows.last().locator("pre").waitFor();
  console.log("ok   page: the log filters, pauses, and opens a frame by keyboard");

  await page.getByRole("button", { name: "Open", exact: true }).click();
  await page.getByRole("button", { name: "Send", exact: true }).click();
  await page.locator("#raw-messages li", { hasText: "↓Hello Server!" }).waitFor();
  console.log("ok   page: the raw panel");

  for (const [name, size, scheme] of [
    ["devpage-desktop-light", { width: 1360, height: 900 }, "light"],
    ["devpage-desktop-dark", { width: 1360, height: 900 }, "dark"],
    ["devpage-phone", { width: 390, height: 844 }, "light"],
  ]) {
    await page.setViewportSize(size);
    await page.emulateMedia({ colorScheme: scheme });
    await page.evaluate(() => window.scrollTo(0, 0));
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(wide <= 0, `${name} scrolls sideways by ${wide}px`);
    await screenshot(page, name);
  }
  for (const tab of await page.getByRole("tab").all()) {
    await tab.click();
    await screenshot(page, `devpage-phone-join-${(await tab.textContent()).toLowerCase().replace(" ", "-")}`);
  }
  await page.setViewportSize({ width: 1360, height: 900 });
  await page.getByRole("tab", { name: "Terminal" }).click();
  await page.locator(".join").scrollIntoViewIfNeeded();
  await screenshot(page, "devpage-desktop-join");

  peer.close();
  await until("the peer gone from presence", async () => (await page.locator("#presence li").count()) === 1);
  await page.getByRole("button", { name: "Disconnect", exact: true }).click();
  await page.locator("#state[data-state=closed]").waitFor();
  assert.deepEqual(faults, []);
  console.log("ok   page: who leaves is gone, disconnecting is told, no error on the console");
});
