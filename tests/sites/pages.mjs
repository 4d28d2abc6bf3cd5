// Pages in Chromium, told what to do by a line of JSON on stdin each; answers are lines on stdout.

import { createInterface } from "node:readline";

import { chromium } from "../sdk/chromium.mjs";

const browser = await chromium({ home: process.env.JACKFIELD_HOME });
const pages = {};
const said = [];

const deeds = {
  async open({ page, url }) {
    // Each page is a visitor of its own, with its own cookies.
    if (!pages[page]) {
      pages[page] = await (await browser.newContext()).newPage();
      pages[page].on("console", (message) => said.push(`${page}: ${message.text()}`));
      pages[page].on("pageerror", (error) => said.push(`${page}: ${error}`));
      pages[page].on("response", (one) => one.status() >= 400 && said.push(`${page}: ${one.status()} ${one.url()}`));
    }
    const answer = await pages[page].goto(url);
    const details = await answer.securityDetails();
    return { status: answer.status(), issuer: details?.issuer };
  },
  async login({ page, name, password }) {
    await pages[page].fill("[name=username]", name);
    await pages[page].fill("[name=password]", password);
    await Promise.all([pages[page].waitForNavigation(), pages[page].click("button")]);
    return pages[page].url();
  },
  async order({ page, what }) {
    await pages[page].fill("[name=what]", what);
    await pages[page].click("button");
  },
  evaluate: ({ page, code }) => pages[page].evaluate(code),
  async wait({ page, code }) {
    await pages[page].waitForFunction(code, undefined, { timeout: 30_000 });
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { deed, ...rest } = JSON.parse(line);
  let answer;
  try {
    answer = { value: (await deeds[deed](rest)) ?? null };
  } catch (error) {
    answer = { error: `${error}\n${said.join("\n")}` };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await browser.close();
