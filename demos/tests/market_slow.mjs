// How old is what a slow browser shows? Two pages of the market at full rate, one of them by the slow line, against `demos/run`;
// both scroll now and then. Prints figures; fails if the slow one was ever two seconds behind, or dropped.
//
//   SECONDS=60 DEMO_PORT=8000 node market_slow.mjs

import { at, env, logIn, shell, until, withBrowser } from "./harness.mjs";

const SECONDS = Number(env("SECONDS", "60"));
const SAMPLE_MS = 200;
const SCROLL_SAMPLES = 40;
const LIMIT_MS = 2000;
const SIZE = { width: 1280, height: 1000 };

const sample = (page) => page.evaluate(() => ({
  oldest: Number(document.getElementById("oldest").textContent) * 1000,
  late: Number(document.getElementById("late").textContent) * 1000,
  updates: Number(document.getElementById("updates").textContent.replaceAll(",", "")),
  isLive: document.getElementById("state").dataset.state === "live",
}));
const quantile = (values, part) => values.toSorted((one, other) => one - other)[Math.min(Math.floor(values.length * part), values.length - 1)];

await withBrowser(async (browser) => {
  await shell("from market.models import Pace", "Pace.ask_for(10_000)");
  const pages = { fast: await logIn(browser, "ann", [], SIZE), slow: await logIn(browser, "cy", [], SIZE) };
  await pages.fast.goto(at("market/#KEMT"));
  await pages.slow.goto(at("market/?line=slow#KEMT"));
  const drops = { fast: 0, slow: 0 };
  for (const [name, page] of Object.entries(pages)) {
    await page.locator("#state[data-state=live]").waitFor();
    await until(`${name} has begun`, async () => (await sample(page)).oldest < LIMIT_MS);
    page.on("websocket", () => { drops[name] += 1; }); // another one: the first was dropped
  }
  const samples = { fast: [], slow: [] };
  const end = Date.now() + SECONDS * 1000;
  for (let n = 0; Date.now() < end; n += 1) {
    for (const [name, page] of Object.entries(pages)) samples[name].push(await sample(page));
    if (n % SCROLL_SAMPLES === SCROLL_SAMPLES - 1) {
      for (const page of Object.values(pages)) await page.locator("#grid").evaluate((grid, top) => grid.scrollTo(0, top), (n * 97) % 14_000);
    }
    await new Promise((resolve) => setTimeout(resolve, SAMPLE_MS));
  }
  const trades = Number((await pages.fast.locator("#ticks").textContent()).replaceAll(",", ""));
  console.log(`${trades.toLocaleString("en")} trades/s, ${SECONDS} s, a price on screen at the most so old (seconds):`);
  console.log("line   updates/s    p50    p99    max   dropped");
  for (const [name, all] of Object.entries(samples)) {
    const ages = all.map(({ oldest }) => oldest).filter(Number.isFinite); // none while no row in sight has its price yet
    const figures = [quantile(ages, 0.5), quantile(ages, 0.99), Math.max(...ages)].map((ms) => (ms / 1000).toFixed(2).padStart(6));
    const updates = quantile(all.map(({ updates }) => updates), 0.5);
    console.log(`${name}   ${String(updates).padStart(9)} ${figures.join(" ")} ${String(drops[name]).padStart(9)}`);
  }
  const worst = Math.max(...samples.slow.map(({ oldest }) => oldest).filter(Number.isFinite));
  if (worst >= LIMIT_MS || drops.slow || samples.slow.some(({ isLive }) => !isLive)) throw new Error("the slow page was behind, or dropped");
});
