// What the arena costs: 50 bots and two pages. Bytes per page and second with and without interest keys, and how old a place is
// when it arrives, against `demos/run --bots 0` on this machine.
//
//   DEMO_PORT=8000 BOTS=50 SECONDS=20 node game-figures.mjs

import { spawn } from "node:child_process";
import { cpus, loadavg } from "node:os";

import { DEMOS, PYTHON, at, env, logIn, until, withBrowser } from "./harness.mjs";

const COUNT = Number(env("BOTS", "50"));
const SECONDS = Number(env("SECONDS", "20"));
const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));
const percentile = (values, part) => values.sort((one, other) => one - other)[Math.min(values.length - 1, Math.floor(values.length * part))];
const figures = (page) => page.evaluate(() => globalThis.arena.figures());

// Frames as the browser's own tools count them, beside what the page says.
async function counted(page) {
  const session = await page.context().newCDPSession(page);
  await session.send("Network.enable");
  const seen = { bytes: 0, messages: 0 };
  session.on("Network.webSocketFrameReceived", ({ response }) => {
    seen.messages += 1;
    seen.bytes += response.opcode === 2 ? Buffer.byteLength(response.payloadData, "base64") : Buffer.byteLength(response.payloadData);
  });
  return seen;
}

async function measure(name, pages, counts) {
  await pause(3);
  for (const page of pages) await page.evaluate(() => globalThis.arena.anew());
  const before = counts.map((one) => ({ ...one }));
  const begin = performance.now();
  await pause(SECONDS);
  const seconds = (performance.now() - begin) / 1000;
  const found = await Promise.all(pages.map(figures));
  const ages = found.flatMap((one) => one.ages);
  const per = (what) => counts.map((one, n) => (one[what] - before[n][what]) / seconds);
  console.log([
    name.padEnd(22),
    `${per("bytes").map((bytes) => (bytes / 1000).toFixed(1)).join(" and ")} kB/s`,
    `${per("messages").map(Math.round).join(" and ")} WebSocket messages/s`,
    `age of a place: p50 ${percentile(ages, 0.5).toFixed(1)}, p99 ${percentile(ages, 0.99).toFixed(1)}, worst ${percentile(ages, 1).toFixed(1)} ms of ${ages.length}`,
    `there and back ${found.map((one) => one.roundTrip).join(" and ")} ms`,
  ].join("; "));
}

const bots = spawn(PYTHON, ["manage.py", "bots", "--count", String(COUNT)], { cwd: DEMOS, stdio: "inherit" });
try {
  await withBrowser(async (browser) => {
    const pages = [];
    for (const name of ["ann", "bob"]) {
      const page = await logIn(browser, name, [], { width: 1280, height: 860 });
      pages.push(page);
    }
    const counts = await Promise.all(pages.map(counted));
    for (const page of pages) {
      await page.goto(at("game/"));
      await until("everybody is there", async () => Number(await page.locator("#count").textContent()) > COUNT, 60_000);
    }
    console.log(`${COUNT} bots, 2 pages in Chromium, ${cpus().length} cores, load ${loadavg()[0].toFixed(1)}`);
    await measure("interest keys", pages, counts);
    for (const page of pages) await page.getByLabel("Hear the whole arena").check();
    await measure("the whole arena", pages, counts);
    console.log(`load ${loadavg()[0].toFixed(1)}`);
  });
} finally {
  bots.kill();
}
