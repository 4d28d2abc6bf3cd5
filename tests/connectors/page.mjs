// A page in Chromium that subscribes with centrifuge-js and shows what comes: `page.mjs URL CHANNEL COUNT`.
//
// It says `ready` when the page has subscribed, and then, as JSON, what the page shows when it shows so many.

import { createServer } from "node:http";

import { chromium, skip } from "../sdk/chromium.mjs";
import { module } from "../sdk/serving.mjs";

if (skip) {
  console.log(skip);
  process.exit(3);
}
const [url, channel, count] = process.argv.slice(2);
const site = createServer((_, answer) => answer.setHeader("Content-Type", "text/html").end("<!doctype html><ul></ul>"));
await new Promise((resolve) => site.listen(0, "127.0.0.1", resolve));
const browser = await chromium();
const page = await browser.newPage();
await page.goto(`http://127.0.0.1:${site.address().port}/`);
await page.addScriptTag({ path: module("centrifuge/dist/centrifuge.js") });
await page.evaluate(
  async ({ url, channel }) => {
    const client = new Centrifuge(url);
    const subscription = client.newSubscription(channel);
    subscription.on("publication", ({ data }) => {
      const item = document.createElement("li");
      item.textContent = JSON.stringify(data);
      document.querySelector("ul").append(item);
    });
    subscription.subscribe();
    client.connect();
    await subscription.ready(20_000);
  },
  { url, channel },
);
console.log("ready");
await page.waitForFunction((count) => document.querySelectorAll("li").length >= count, Number(count), { timeout: 60_000 });
console.log(JSON.stringify(await page.$$eval("li", (items) => items.map((item) => item.textContent))));
await browser.close();
site.close();
