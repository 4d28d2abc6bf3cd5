// The buttons above the text. One stop of the Tab key; arrows move within, Alt+F10 leads here from the text.

import { byId } from "../demo/page.js";

const bar = byId("toolbar");
const buttons = [...bar.querySelectorAll("button")];
const dialog = byId("link-dialog");
const ADDRESS = /^(https?:|mailto:|\/)/i;

export class Toolbar {
  #quill;
  #undo;

  /** `undo()` gives the UndoManager of the document that is open. */
  constructor(quill, undo) {
    this.#quill = quill;
    this.#undo = undo;
    for (const one of buttons) one.addEventListener("click", () => this.#do(one.dataset));
    quill.on("editor-change", () => this.#show());
    quill.root.addEventListener("keydown", (event) => this.#key(event), true);
    bar.addEventListener("keydown", (event) => this.#move(event));
    byId("link-cancel").addEventListener("click", () => dialog.close());
    byId("link-form").addEventListener("submit", (event) => this.#link(event));
    this.#stop(buttons[0]);
  }

  allow(isAllowed) {
    bar.hidden = !isAllowed;
  }

  #do({ format, value, act }) {
    const quill = this.#quill;
    if (act) return this.#undo()?.[act]();
    quill.focus();
    if (format === "link") return this.#askForLink();
    const has = quill.getFormat()[format];
    const wanted = value ? (String(has) === value ? false : /^\d$/.test(value) ? Number(value) : value) : !has;
    quill.format(format, wanted, "user");
    this.#show();
  }

  #show() {
    const range = this.#quill.getSelection();
    const formats = range ? this.#quill.getFormat(range) : {};
    for (const one of buttons) {
      const { format, value } = one.dataset;
      if (!format) continue;
      const has = value ? String(formats[format]) === value : Boolean(formats[format]);
      one.setAttribute("aria-pressed", String(has));
    }
  }

  #askForLink() {
    const range = this.#quill.getSelection(true);
    byId("link-url").value = this.#quill.getFormat(range).link ?? "";
    byId("link-error").textContent = "";
    dialog.range = range;
    dialog.showModal();
    byId("link-url").select();
  }

  #link(event) {
    event.preventDefault();
    const url = byId("link-url").value.trim();
    if (url && !ADDRESS.test(url)) {
      byId("link-error").textContent = "An address begins with https://, mailto: or /.";
      return;
    }
    dialog.close();
    const { index, length } = dialog.range;
    if (!length && url) this.#quill.insertText(index, url, "link", url, "user");
    else this.#quill.formatText(index, length, "link", url || false, "user");
    this.#quill.focus();
  }

  #key(event) {
    const { key, altKey, ctrlKey, metaKey, shiftKey } = event;
    const isUndo = (ctrlKey || metaKey) && key.toLowerCase() === "z";
    const isRedo = (isUndo && shiftKey) || (ctrlKey && key.toLowerCase() === "y");
    if (isUndo || isRedo) this.#undo()?.[isRedo ? "redo" : "undo"]();
    else if (altKey && key === "F10") buttons.find((one) => one.tabIndex === 0).focus();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #move(event) {
    const at = buttons.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: buttons.length - 1 }[event.key];
    if (event.key === "Escape") this.#quill.focus();
    if (to === undefined) return;
    event.preventDefault();
    const next = buttons[(to + buttons.length) % buttons.length];
    this.#stop(next);
    next.focus();
  }

  #stop(wanted) {
    for (const one of buttons) one.tabIndex = one === wanted ? 0 : -1;
  }
}
