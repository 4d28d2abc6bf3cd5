// Back in time: any save that Django keeps is looked at read-only, and becomes a new edit if it is restored.

import { announce, byId, tried } from "../demo/page.js";
import { Doc, Quill, applyUpdate } from "./vendor/editor-bundle.js";

const panel = byId("moments");
const slider = byId("moment");
const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const when = (at) => new Date(at).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });

async function read(url) {
  const response = await fetch(url, { cache: "no-store" });
  if (!response.ok) throw new Error(`what was saved could not be read (${response.status})`);
  return response.json();
}

export class Moments {
  #url;
  #quill;
  #past;
  #moments = [];
  #shown = 0; // counts what was asked for: an answer that comes late is not shown

  /** `quill` is the editor that a moment is restored into; `options` are its own. */
  constructor(url, quill, options) {
    this.#url = url;
    this.#quill = quill;
    this.#past = new Quill(byId("past"), { ...options, readOnly: true });
    byId("history").addEventListener("click", () => (panel.hidden ? tried(() => this.#open()) : this.close()));
    slider.addEventListener("input", () => tried(() => this.#show()));
    byId("moment-close").addEventListener("click", () => this.close());
    byId("moment-restore").addEventListener("click", () => this.#restore());
    panel.addEventListener("keydown", ({ key }) => key === "Escape" && this.close());
  }

  allow(isAllowed) {
    byId("moment-restore").hidden = !isAllowed;
  }

  close() {
    if (panel.hidden) return;
    this.#shown++;
    panel.hidden = true;
    document.body.classList.remove("then");
    byId("history").setAttribute("aria-expanded", "false");
    byId("history").focus();
  }

  async #open() {
    const { moments } = await read(this.#url);
    if (!moments.length) throw new Error("Nothing was saved yet.");
    this.#moments = moments.reverse();
    slider.max = moments.length - 1;
    slider.value = slider.max;
    panel.hidden = false;
    document.body.classList.add("then");
    byId("history").setAttribute("aria-expanded", "true");
    slider.focus();
    await this.#show();
  }

  async #show() {
    const number = ++this.#shown;
    const { id, at } = this.#moments[slider.value];
    byId("moment-when").textContent = when(at);
    slider.setAttribute("aria-valuetext", `${when(at)}, save ${Number(slider.value) + 1} of ${this.#moments.length}`);
    const { updates } = await read(`${this.#url}${id}/`);
    if (number !== this.#shown) return;
    const doc = new Doc();
    for (const update of updates) applyUpdate(doc, bytes(update));
    this.#past.setContents(doc.getText("text").toDelta());
    panel.dataset.moment = id;
    doc.destroy();
  }

  // The difference, so that others keep their place, and what both have in common stays whose it was.
  #restore() {
    const change = this.#quill.getContents().diff(this.#past.getContents());
    this.close();
    this.#quill.updateContents(change, "user");
    announce("Restored. It is a new edit: the history keeps both.");
  }
}
