// Two pages of the tutorial's site: node two_pages.mjs URL entries|waves

import { createRequire } from "node:module";
import { join } from "node:path";

const folder = process.env.JACKFIELD_NODE_MODULES;
const need = createRequire(folder ? join(folder, "..", "index.js") : import.meta.url);
const { chromium } = need("playwright-core");
const [url, stage] = process.argv.slice(2);
const CHROMIUM = process.env.JACKFIELD_CHROMIUM ?? "/usr/bin/chromium";

const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox", "--disable-gpu"] });
try {
  const faults = [];
  const open = async () => {
    const page = await (await browser.newContext()).newPage();
    page.setDefaultTimeout(60_000);
    page.on("pageerror", (error) => faults.push(String(error)));
    await page.goto(url);
    return page;
  };
  // Whoever signs does not know whether the other has subscribed yet, so it is tried until it has.
  const until = async (act, see) => {
    const end = Date.now() + 60_000;
    for (;;) {
      await act();
      try {
        await see();
        return;
      } catch (error) {
        if (Date.now() > end) throw error;
      }
    }
  };
  const [ann, bob] = [await open(), await open()];
  if (stage === "entries") {
    const sign = async () => {
      await ann.fill("[name=name]", "Ann");
      await ann.fill("[name=text]", "was here");
      await ann.click("#form button");
    };
    for (const page of [bob, ann]) {
      await until(sign, () => page.waitForSelector("#entries li:has-text('Ann: was here')", { timeout: 3000 }));
    }
  } else {
    for (const page of [ann, bob]) {
      await until(
        () => ann.click("#wave"),
        () => page.waitForSelector("#entries li:has-text('Bye!')", { timeout: 3000 }),
      );
      await until(
        () => bob.click("#wave"),
        () => page.waitForFunction(() => document.querySelector("#count").textContent === "2", null, { timeout: 3000 }),
      );
    }
  }
  if (faults.length) throw new Error(faults.join("\n"));
} finally {
  await browser.close();
}
