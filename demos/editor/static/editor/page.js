// The page of a document. Django says who may do what, over HTTP; the text comes and goes over the socket. Where a right has
// changed, the document is opened anew: what a page has written without a right is in no document.

import { jackfield } from "../django_jackfield/jackfield.js";
import { announce, ask, avatar, byId, config, toast, tried } from "../demo/page.js";
import { hearPersonal } from "../demo/personal.js";
import { Moments } from "./moments.js";
import { Session } from "./session.js";
import { Sharing } from "./sharing.js";
import { Toolbar } from "./toolbar.js";
import { Quill } from "./vendor/editor-bundle.js";

const { me, document: pk, ...page } = config("document-data");
const FORMATS = ["blockquote", "bold", "code-block", "header", "italic", "link", "list", "strike", "underline"];
const STATES = {
  connecting: ["connecting", "Connecting…"],
  ended: ["ended", "Ended"],
  live: ["live", "Live"],
  offline: ["connecting", "Offline: what you write is kept in this page"],
};
let about = page.about;
let session = null;

// Tab leaves the text, so nobody is caught in it. Undoing is Yjs's: it leaves the others' words alone.
const options = {
  formats: FORMATS,
  modules: {
    cursors: { transformOnTextChange: true },
    history: { maxStack: 0 },
    keyboard: { bindings: { tab: false, indent: false, outdent: false, "indent code-block": false, "outdent code-block": false, "remove tab": false } },
    uploader: { mimetypes: [] },
  },
};
const quill = new Quill(byId("text"), { ...options, placeholder: "Begin to write." });
quill.root.setAttribute("role", "textbox");
quill.root.setAttribute("aria-multiline", "true");
quill.root.setAttribute("aria-label", "Text of the document");
quill.enable(false);
const toolbar = new Toolbar(quill, () => session?.undo);
const moments = new Moments(page.momentsUrl, quill, options);
const sharing = new Sharing(me, (fields) => post(page.sharesUrl, fields));
const mayWrite = () => about.right === "own" || about.right === "write";

/* The document. */
function open() {
  session?.end();
  quill.enable(false);
  session = new Session({ quill, channel: page.channel, tokenUrl: page.tokenUrl, me }, { state, people, asked: () => askAgain() });
  session.start();
}
function state(name) {
  if (name === "signedout") return location.assign(page.loginUrl);
  if (!byId("ended").hidden) return;
  const [kind, said] = STATES[name === "offline" && !mayWrite() ? "connecting" : name];
  byId("state").dataset.state = kind;
  byId("state").textContent = said;
  if (name === "live") quill.enable(mayWrite());
}
function people(users) {
  const names = new Map(about.people.map(({ id, name }) => [id, name])); // by Django: what a page says of itself is its own word
  byId("here").replaceChildren(...users.map(({ id, name }) => {
    const made = avatar(id, names.get(String(id)) ?? String(name));
    const item = document.createElement("li");
    item.title = names.get(String(id)) ?? String(name);
    item.append(made, Object.assign(document.createElement("span"), { className: "said", textContent: item.title }));
    return item;
  }));
}
function ended(said) {
  if (!byId("ended").hidden) return;
  session.end();
  moments.close();
  quill.enable(false);
  quill.setContents([]);
  document.body.classList.add("over");
  byId("ended").hidden = false;
  byId("ended-why").textContent = said;
  people([]);
  state("ended");
  byId("state").dataset.state = "ended";
  byId("state").textContent = "Ended";
}

/* What Django says of it. */
async function askAgain() {
  const response = await fetch(page.aboutUrl, { cache: "no-store" }).catch(() => null);
  if (response?.status === 403) ended("This document is not shared with you any more.");
  else if (response?.ok) show(await response.json());
}
function show(next) {
  const before = about.right;
  about = next;
  byId("title").textContent = about.title;
  document.title = `${about.title} · Jackfield`;
  document.body.dataset.right = about.right;
  byId("right").textContent = about.right === "read" ? "You may read" : "";
  toolbar.allow(mayWrite());
  moments.allow(mayWrite());
  sharing.draw(about);
  if (before === about.right) return;
  const said = mayWrite() ? "You may write in this document." : "You may only read this document.";
  toast(said);
  announce(said);
  open();
}
async function post(url, fields) {
  const headers = { "X-CSRFToken": document.querySelector("[name=csrfmiddlewaretoken]").value };
  const response = await fetch(url, { method: "POST", headers, body: new URLSearchParams(fields) });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  show(answer);
}
hearPersonal();
jackfield.on("document", (changed) => changed === pk && byId("ended").hidden && askAgain());

/* Renaming and deleting, by the owner. */
const dialog = byId("rename-dialog");
byId("rename").addEventListener("click", () => {
  byId("new-title").value = about.title;
  byId("rename-error").textContent = "";
  dialog.showModal();
  byId("new-title").select();
});
byId("rename-cancel").addEventListener("click", () => dialog.close());
byId("rename-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await post(page.aboutUrl, { title: byId("new-title").value });
    dialog.close();
  } catch (error) {
    byId("rename-error").textContent = error.message;
  }
});
byId("delete-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (await ask("Delete this document for everybody?", "Delete")) event.target.submit();
});
addEventListener("beforeunload", (event) => session?.isAhead && byId("ended").hidden && event.preventDefault());

/* Begin. */
show(about);
tried(() => open());
