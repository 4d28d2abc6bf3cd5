// A document with three people: Ann owns it, Bob writes on a phone, Cy reads; against `demos/run`.
//
//   DEMO_PORT=8000 SCREENSHOTS=/tmp/shots node editor.mjs

import assert from "node:assert/strict";

import { at, logIn, network, noFaults, screenshot, shell, until, withBrowser } from "./harness.mjs";

const IMPORTS = "from editor.models import *; from django.contrib.auth.models import User";
const stamp = Date.now().toString(36);
const PHONE = { width: 390, height: 844 };
const MANY = 120; // more rows than the server lets a document have: yjs.compact_after

const text = (page) => page.getByRole("textbox", { name: "Text of the document" });
const state = (page, name) => page.locator(`#state[data-state=${name}]`).waitFor();
const sees = (page, words) => text(page).getByText(words).first().waitFor();
const here = (page, count) => until(`${count} here`, async () => (await page.locator("#here li").count()) === count);
const now = async (page) => (await text(page).innerText()).trim();
const agree = (what, pages) => until(what, async () => new Set(await Promise.all(pages.map(now))).size === 1);
const writable = (page, isSo) => until(`the text is ${isSo ? "" : "not "}to be written in`, async () => (await text(page).getAttribute("contenteditable")) === String(isSo));
async function write(page, words) { // at the end
  await text(page).focus();
  await page.keyboard.press("Control+End");
  await page.keyboard.type(words);
}
async function paste(page, words) { // in one piece, so that one save has all of it
  await write(page, "\n");
  await page.keyboard.insertText(words);
}
const told = (page, words) => until(words, async () => (await page.locator("#announce").textContent()) === words);
const stored = (pk, words) => until(`“${words}” is stored`, () =>
  shell(IMPORTS, `any(${JSON.stringify(words)}.encode() in bytes(one.content) for one in Update.objects.filter(document=${pk}))`));
async function share(owner, work) {
  await owner.getByRole("button", { name: "Share", exact: true }).first().click();
  await work(owner.getByRole("dialog"));
  await owner.getByRole("button", { name: "Close" }).click();
}
const right = (owner, name, said) => share(owner, (dialog) => dialog.getByLabel(`What ${name} may do`).selectOption(said));

await withBrowser(async (browser) => {
  const faults = [];
  const ann = await logIn(browser, "ann", faults, { width: 1280, height: 800 });
  await ann.getByRole("link", { name: "Editor" }).click();
  await ann.getByRole("heading", { name: "Documents" }).waitFor();
  const bob = await logIn(browser, "bob", faults, PHONE);
  await bob.goto(at("editor/"));

  // A document of this run, shared by keyboard; Bob's list shows it without a reload.
  await ann.getByLabel("A new document").fill(`Minutes ${stamp}`);
  await ann.keyboard.press("Enter");
  await ann.waitForURL(/editor\/\d+\/$/);
  const url = ann.url();
  const pk = Number(url.match(/(\d+)\/$/)[1]);
  const rows = (filter = "") => shell(IMPORTS, `Update.objects.filter(document=${pk}${filter}).count()`);
  await state(ann, "live");
  await ann.getByRole("button", { name: "Share", exact: true }).first().press("Enter");
  for (const [name, may] of [["bob", "may write"], ["cy", "may read"]]) {
    await ann.getByLabel("Share with").fill(name);
    await ann.getByRole("combobox", { name: "who", exact: true }).selectOption({ label: may });
    await ann.getByLabel("Share with").press("Enter");
    await ann.getByLabel(`What ${name} may do`).waitFor();
  }
  await ann.getByLabel("Share with").fill("nobody-of-this-name");
  await ann.keyboard.press("Enter");
  await ann.getByText("There is no “nobody-of-this-name”").waitFor();
  await ann.keyboard.press("Escape");
  await bob.getByRole("link", { name: `Minutes ${stamp}` }).click();
  await state(bob, "live");
  const cy = await logIn(browser, "cy", faults, { width: 900, height: 700 });
  await cy.goto(url);
  await state(cy, "live");
  for (const page of [ann, bob, cy]) await here(page, 3);
  console.log("ok   sharing: by keyboard, in Bob's list at once; three are here");

  // Writing, with formats by keyboard; the cursors of others have names.
  await text(ann).focus();
  await ann.keyboard.press("Alt+F10");
  for (let i = 0; i < 4; i++) await ann.keyboard.press("ArrowRight");
  assert.equal(await ann.evaluate(() => document.activeElement.getAttribute("aria-label")), "Heading");
  await ann.keyboard.press("Enter");
  await ann.keyboard.type(`Minutes of the studio ${stamp}\nWe met at six. `);
  await ann.keyboard.press("Control+b");
  await ann.keyboard.type("Everybody");
  await ann.keyboard.press("Control+b");
  await ann.keyboard.type(" was there.\n");
  for (const page of [bob, cy]) {
    await text(page).locator("h1", { hasText: stamp }).waitFor();
    await text(page).locator("strong", { hasText: "Everybody" }).waitFor();
  }
  await ann.keyboard.press("Tab"); // leaves the text: nobody is caught in it
  assert.equal(await ann.evaluate(() => document.activeElement.closest(".ql-editor")), null);
  await write(bob, "Bob brought a cable.\n");
  for (const page of [ann, cy]) await sees(page, "Bob brought a cable.");
  await ann.locator(".ql-cursor-name", { hasText: "bob" }).waitFor();
  await writable(cy, false);
  await cy.getByText("You may read").waitFor();
  assert.equal(await cy.getByRole("toolbar").count(), 0);
  console.log("ok   editing: formats, a cursor with a name, the reader sees all and writes nothing");

  // Undo is of one's own words.
  await write(ann, "A slip.");
  await sees(bob, "A slip.");
  await write(bob, "More of Bob.");
  await sees(ann, "More of Bob.");
  await text(ann).focus();
  await ann.keyboard.press("Control+z");
  await until("the slip is gone everywhere, Bob's words are not", async () => {
    const said = await Promise.all([ann, bob, cy].map(now));
    return said.every((one) => !one.includes("A slip.") && one.includes("More of Bob."));
  });
  console.log("ok   undo takes back one's own words and leaves the others'");

  // The network goes and comes; both have written meanwhile.
  await network(bob, false);
  await state(bob, "connecting");
  await bob.getByText("what you write is kept in this page").waitFor();
  await write(bob, "\nWritten in a tunnel.");
  await write(ann, "\nWritten in the office.");
  await sees(cy, "Written in the office.");
  assert.equal((await now(cy)).includes("tunnel"), false);
  await network(bob, true);
  await state(bob, "live");
  for (const page of [ann, cy]) await sees(page, "Written in a tunnel.");
  await sees(bob, "Written in the office.");
  await agree("all three have the same", [ann, bob, cy]);
  console.log("ok   network: what both wrote meanwhile is in all three");
  await screenshot(ann, "editor-desktop-light");
  await screenshot(bob, "editor-phone");

  // Rights act on open pages: the server takes nothing more from Bob, whatever his page would send.
  await until("all of it is stored", async () => (await rows()) > 0);
  await right(ann, "bob", "read");
  await told(bob, "You may only read this document.");
  await state(bob, "live");
  await writable(bob, false);
  const denied = bob.waitForEvent("console", (said) => said.text().includes("Permission denied"));
  await bob.evaluate(async ([channel, words]) => {
    const { Doc, WebsocketProvider } = await import("/static/editor/vendor/editor-bundle.js");
    const { token, url } = await (await fetch("/jackfield/token/")).json();
    const doc = new Doc();
    window.rogue = new WebsocketProvider(url.replace("/connection/websocket", "/yjs"), channel, doc, { params: { token }, disableBc: true });
    await new Promise((resolve) => window.rogue.once("sync", resolve));
    doc.getText("text").insert(0, words);
  }, [`doc:${pk}`, "Bob was here. "]);
  await denied;
  await write(ann, "\nAfter the rogue.");
  await sees(bob, "After the rogue.");
  for (const page of [ann, bob, cy]) assert.equal((await now(page)).includes("Bob was here"), false);
  await bob.evaluate(() => window.rogue.destroy());
  await right(ann, "bob", "write");
  await told(bob, "You may write in this document.");
  await state(bob, "live");
  await writable(bob, true);
  await paste(bob, "Bob writes again.");
  await sees(ann, "Bob writes again.");
  console.log("ok   rights: down at once, and enforced by the server; up again without a reload");

  // Out, now.
  await right(ann, "bob", "");
  await bob.getByText("This document is not shared with you any more.").waitFor();
  assert.equal(await now(bob), "");
  for (const page of [ann, cy]) await here(page, 2);
  assert.equal((await bob.goto(url)).status(), 404);
  console.log("ok   removed: Bob's page is over and empty, the others see him leave");

  // Renaming is seen by all.
  await ann.getByRole("button", { name: "Rename or delete" }).click();
  await ann.getByLabel("Title").fill(`Protocol ${stamp}`);
  await ann.getByLabel("Title").press("Enter");
  await cy.getByRole("heading", { name: `Protocol ${stamp}` }).waitFor();
  console.log("ok   a new title: on the other page");

  // Back in time: looked at by keyboard, restored as a new edit that the other page shows.
  await stored(pk, "Bob writes again.");
  await ann.getByRole("button", { name: "History" }).press("Enter");
  const slider = ann.getByRole("slider");
  await slider.waitFor();
  const past = ann.getByRole("region", { name: "An earlier state" });
  await past.getByText("Bob writes again.").waitFor();
  await slider.press("Home");
  await until("the first moment has not yet what came last", async () => {
    const words = await past.innerText();
    return !words.includes("Bob writes again.") && !words.includes("tunnel");
  });
  const earlier = (await past.innerText()).trim();
  assert.match(await slider.getAttribute("aria-valuetext"), /save 1 of \d+/);
  await screenshot(ann, "editor-history");
  const before = await rows();
  await ann.getByRole("button", { name: "Restore this" }).click();
  await until("Cy sees the earlier text", async () => (await now(cy)) === earlier);
  assert.equal(await now(ann), earlier);
  await until("it is one save more", async () => (await rows()) > before);
  console.log("ok   history: an earlier moment by keyboard, restored, seen by Cy, saved as one more");

  // Compaction: where too many rows make a document, the next load makes one of them. (A row twice changes nothing.)
  await paste(ann, "Before compaction.");
  await sees(cy, "Before compaction.");
  const whole = await now(ann);
  for (const page of [ann, cy]) await page.goto(at("editor/"));
  await stored(pk, "Before compaction.");
  await shell(IMPORTS, `[Document.objects.get(pk=${pk}).updates.create(content=Document.objects.get(pk=${pk}).updates.first().content).pk for _ in range(${MANY})]`);
  assert.ok((await rows(", replaced_by=None")) > MANY);
  await cy.goto(url);
  await state(cy, "live");
  await until("one row makes the document", async () => (await rows(", replaced_by=None")) === 1);
  assert.equal(await now(cy), whole);
  await ann.goto(url);
  await state(ann, "live");
  assert.equal(await now(ann), whole);
  console.log(`ok   compaction: one row instead of more than ${MANY}, the same text`);

  await ann.emulateMedia({ colorScheme: "dark" });
  await screenshot(ann, "editor-desktop-dark");
  await ann.getByRole("button", { name: "Share", exact: true }).first().click();
  await screenshot(ann, "editor-share-dark");
  await ann.getByRole("button", { name: "Close" }).click();
  await bob.goto(at("editor/"));
  await screenshot(bob, "editor-list-phone");
  for (const page of [ann, bob, cy]) {
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(wide <= 0, `${page.url()} scrolls sideways by ${wide}px`);
  }

  // Deleted: over for everybody.
  await ann.getByRole("button", { name: "Rename or delete" }).click();
  await ann.getByRole("button", { name: "Delete it" }).click();
  await ann.getByRole("dialog").getByRole("button", { name: "Delete", exact: true }).click();
  await ann.getByRole("heading", { name: "Documents" }).waitFor();
  await cy.getByText("This document is not shared with you any more.").waitFor();
  assert.equal(await rows(), 0);
  console.log("ok   deleted: Cy's page is over, no row is left");

  noFaults(faults, /ERR_INTERNET_DISCONNECTED|WebSocket connection to|status of (403|404|400)/);
});
