// The dashboard in three pages: Ann's by WebSocket, Bob's where no WebSocket gets through, Cy's with the switch, against `demos/run`.
//
//   DEMO_PORT=8000 SCREENSHOTS=/tmp/shots node dashboard.mjs

import assert from "node:assert/strict";

import { at, logIn, network, noFaults, quietPage, screenshot, shell, until, withBrowser } from "./harness.mjs";

const IMPORTS = "from datetime import timedelta; from django.utils import timezone; from django.db.models import Count, Sum; from dashboard.models import Order";
const PHONE = { width: 390, height: 844 };
const state = (page, said) => page.locator("#state", { hasText: said }).waitFor();
const figures = async (page) => [Number(await page.locator("#count").textContent()), await page.locator("#revenue").textContent()];
const euros = (sum) => new Intl.NumberFormat("en-US", { minimumFractionDigits: 2 }).format(sum);
async function stored(region) {
  const where = region ? `region='${region}', ` : "";
  const { count, sum } = await shell(IMPORTS, `{k: str(v) for k, v in Order.objects.filter(${where}at__gt=timezone.now() - timedelta(hours=1)).aggregate(count=Count('pk'), sum=Sum('total')).items()}`);
  return [Number(count), euros(Number(sum))];
}
const agree = async (what, pages, wanted) => {
  for (const page of pages) await until(`${what}: ${wanted}`, async () => String(await figures(page)) === String(wanted));
};
// The windows that the server has told a page since its last connection, by either way: what is summed here has not been near the
// database.
async function windows(page) {
  const told = [];
  const take = (text) => {
    for (const line of text.split("\n").filter(Boolean)) {
      const said = JSON.parse(line);
      const { channel, pub, connect } = said.push ?? said;
      if (connect) told.length = 0;
      if (channel === "sales:shop" && pub) told.push(pub.data);
    }
  };
  let newest = null; // one that the page has given up may be read once more when the network is back
  page.on("websocket", (socket) => {
    newest = socket;
    socket.on("framereceived", ({ payload }) => socket === newest && take(String(payload)));
  });
  const session = await page.context().newCDPSession(page);
  await session.send("Network.enable");
  session.on("Network.eventSourceMessageReceived", ({ data }) => take(data));
  return told;
}
const summed = (told) => [told.reduce((sum, { orders }) => sum + orders, 0), euros(told.reduce((sum, { revenue }) => sum + Math.round(revenue * 100), 0) / 100)];
const since = async (page) => [Number(await page.locator("#since-orders").textContent()), await page.locator("#since-revenue").textContent()];
const newest = () => shell(IMPORTS, "Order.objects.latest('pk').pk");
async function soldAfter(id) {
  const { count, sum } = await shell(IMPORTS, `{k: str(v or 0) for k, v in Order.objects.filter(pk__gt=${id}).aggregate(count=Count('pk'), sum=Sum('total')).items()}`);
  return [Number(count), euros(Number(sum))];
}
async function same(what, look, wanted) {
  let found;
  const isSo = until(`${what}: ${wanted}`, async () => String((found = await look())) === String(wanted));
  await isSo.catch((error) => assert.fail(`${error.message}, but ${found}`));
}
// When this comes back, the server has all that was published before: the outbox is empty, and an answer came from behind it.
async function arrived() {
  await until("an empty outbox", async () => (await shell("from django_jackfield.outbox.models import WaitingCommand", "WaitingCommand.objects.count()")) === 0);
  await shell(`from django_jackfield import AskError, history
def ask():
    try:
        history("sales:shop", timeout=60)
    except AskError:
        pass  # it keeps none, and has answered`, "ask()");
}
const sell = (count) => shell(IMPORTS, `len([Order.random().save() for _ in range(${count})])`);

await withBrowser(async (browser) => {
  const faults = [];
  await shell(IMPORTS, "Order.objects.update(at=timezone.now() - timedelta(hours=2))"); // what grows old in the middle would be another test
  await sell(40);
  const begin = await newest();
  await arrived();

  const ann = await logIn(browser, "ann", faults, { width: 1280, height: 800 });
  const toldAnn = await windows(ann);
  await ann.getByRole("link", { name: "Dashboard" }).click();
  await state(ann, "Live by WebSocket");
  const bob = await logIn(browser, "bob", faults, PHONE);
  const toldBob = await windows(bob);
  await bob.routeWebSocket(/./, (socket) => socket.close()); // a proxy that lets none through
  await bob.goto(at("dashboard/"));
  await state(bob, "Live by EventSource");
  assert.ok(await bob.getByLabel("Block WebSocket").isChecked());
  const cy = await logIn(browser, "cy", faults, { width: 800, height: 600 });
  await cy.goto(at("dashboard/"));
  await state(cy, "Live by WebSocket");
  await agree("the last hour", [ann, bob, cy], await stored());
  console.log("ok   the last hour: over HTTP, the same by WebSocket and by EventSource alone");

  // The switch: from one way to the other and back, on an open page.
  await cy.getByLabel("Block WebSocket").check();
  await state(cy, "Live by EventSource");
  await sell(3);
  await agree("after three orders", [ann, bob, cy], await stored());
  await cy.getByLabel("Block WebSocket").uncheck();
  await state(cy, "Live by WebSocket");
  await sell(2);
  await agree("after two more", [ann, bob, cy], await stored());
  console.log("ok   the switch: orders arrive by either way, none is lost between them");

  // Customers of Ann's page are POSTs to a view; Bob sees orders come in and go their way.
  await ann.getByLabel("Customers come in").check();
  const [before] = await figures(bob);
  await until("ten customers, says Bob", async () => (await figures(bob))[0] >= before + 10);
  assert.notEqual(await bob.locator("#stages li", { hasText: "paid" }).locator("b").textContent(), "0");
  await ann.getByLabel("Customers come in").uncheck();
  let wanted;
  await until("no customer is on the way", async () => String(wanted) === String((wanted = await stored())));
  await agree("after the customers", [ann, bob, cy], wanted);

  // The figures of each second, added up: by the server alone, as it told them, and as the pages show them.
  const sold = await soldAfter(begin);
  assert.ok(sold[0] >= 15);
  await same("what the server told Ann", () => summed(toldAnn), sold);
  await same("what the server told Bob, by EventSource", () => summed(toldBob), sold);
  for (const page of [ann, bob, cy]) await same("since the beginning", () => since(page), sold);
  const last = toldAnn.findLast(({ orders }) => orders > 0);
  assert.ok(last.p95 > 0 && last.p95 <= last.revenue && last.to - last.from === 1000);
  await until("bars of the minute", async () => /^Orders by second: [1-9]\d* in the last minute/.test(await ann.locator("#seconds").getAttribute("aria-label")));
  console.log("ok   figures of each second: the server's sums are the database's, by WebSocket and by EventSource");
  console.log("ok   customers: seen by everybody, and the figures are the database's");

  // The network goes, by WebSocket and by EventSource; what was missed is there when it comes back.
  for (const [page, name, said, told] of [[ann, "Ann", "Live by WebSocket", toldAnn], [bob, "Bob", "Live by EventSource", toldBob]]) {
    await same(`what the server told ${name}`, () => summed(told), await soldAfter(begin));
    const old = await figures(page);
    await network(page, false);
    await state(page, "Connecting");
    await sell(5);
    await agree("without the network", [cy], await stored());
    assert.deepEqual(await figures(page), old);
    await network(page, true);
    await state(page, said);
    await agree(`${name} after the network`, [page], await stored());
    await same(`${name}'s figures after the network`, () => since(page), await soldAfter(begin));
    const again = await newest();
    await sell(4); // What was missed is the database's to tell, what comes is the server's.
    await same(`${name}'s figures from then on`, () => since(page), await soldAfter(begin));
    // A window is everybody's who wants the same, so the first may tell of what came just before this page was back.
    const firsts = () => told.filter(({ orders }) => orders > 0).map(({ first }) => first);
    await until(`${name} is told by the server again`, async () => Math.min(...firsts()) <= again + 1 && String(summed(told)) === String(await soldAfter(Math.min(...firsts()) - 1)));
    for (const other of [ann, bob, cy]) await same("everybody's figures", () => since(other), await soldAfter(begin));
  }
  console.log("ok   a dropped network: both ways catch up");

  // Who watches orders is connected, so a mention in the chat is shown here, by either way.
  const mention = "{'event': 'mention', 'data': {'author': {'name': 'cy'}, 'text': 'look', 'room': '/chat/rooms/1/', 'title': 'Lobby'}}";
  await shell("from django_jackfield import send; from django.contrib.auth.models import User", `[send(user=User.objects.get(username=name), data=${mention}).id for name in ('ann', 'bob')]`);
  for (const page of [ann, bob]) await page.locator(".toast", { hasText: "cy mentioned you in Lobby: look" }).waitFor();
  console.log("ok   personal messages: shown by WebSocket and by EventSource");

  // One region has a channel of its own.
  await ann.getByLabel("Region").selectOption("north");
  await state(ann, "Live by WebSocket");
  await agree("the north", [ann], await stored("north"));
  await same("nothing yet", () => since(ann), [0, "0.00"]);
  await shell(IMPORTS, "[Order(region=one, total=total).save() for one, total in (('north', '10.10'), ('south', 30), ('north', '20.20'))]");
  await agree("the north", [ann], await stored("north"));
  await same("figures of the north alone", () => since(ann), [2, "30.30"]);
  await same("figures of the shop", () => since(bob), await soldAfter(begin));
  await ann.getByLabel("Region").selectOption("all");
  await agree("all again", [ann], await stored());
  console.log("ok   regions: a channel each");

  // What it looks like, with an hour that is full.
  await shell(`${IMPORTS}; from django.apps import apps; Order.objects.all().delete(); apps.get_app_config('dashboard').seed([])`, "1");
  for (const page of [ann, bob]) await page.reload();
  await state(ann, "Live by WebSocket");
  await state(bob, "Live by EventSource");
  await sell(2);
  for (const page of [ann, bob]) await until("bars", async () => Number(await page.locator("#count").textContent()) > 100);
  await screenshot(ann, "dashboard-desktop-light");
  await ann.emulateMedia({ colorScheme: "dark" });
  await screenshot(ann, "dashboard-desktop-dark");
  await screenshot(bob, "dashboard-phone");
  for (const page of [ann, bob]) {
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "scrolls sideways");
    assert.match(await page.locator("#minutes").getAttribute("aria-label"), /^Revenue by minute: now \d/);
  }
  await ann.getByLabel("Region").focus();
  await ann.keyboard.press("Tab");
  await ann.keyboard.press("Tab");
  await ann.keyboard.press("Space");
  await state(ann, "Live by EventSource");
  console.log("ok   keyboard: the switch is reached and turned");

  // A logout ends the page, by EventSource as well.
  const second = await quietPage(bob.context(), faults);
  await second.goto(at(""));
  await second.getByRole("button", { name: "Log out" }).click();
  await bob.getByRole("heading", { name: "Log in" }).waitFor();
  console.log("ok   a logout ends the page");
  noFaults(faults, /ERR_INTERNET_DISCONNECTED|WebSocket connection|status of 403 .*\/jackfield\/token\//);
  console.log("ok   no other error on any console");
});
