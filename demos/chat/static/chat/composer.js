// The field one writes in: length, typing, editing, and what cannot be sent.

import { byId } from "../demo/page.js";

const TYPING_EVERY_MS = 2000;
const NOTE_MS = 15_000;
const form = byId("composer");
const text = byId("text");

export class Composer {
  #limit;
  #toldTyping = 0;
  #editing = null;
  #noteTimer = 0;
  #on;

  /** `on`: say(words), edit(message, words), last() for the arrow up, typing(on). */
  constructor(limit, on) {
    this.#limit = limit;
    this.#on = on;
    text.addEventListener("input", () => this.#changed());
    text.addEventListener("keydown", (event) => this.#key(event));
    form.addEventListener("submit", (event) => this.#submit(event));
    byId("edit-cancel").addEventListener("click", () => this.#stopEditing());
    this.#refuseFiles(byId("talk"));
  }

  /** Text that was not sent, for another try; a refusal is said beside it. */
  focus() {
    text.focus();
  }

  /** Whether one may write; if not, what is said instead. */
  allow(isAllowed, why = "") {
    text.disabled = !isAllowed;
    byId("send").disabled = !isAllowed;
    text.placeholder = isAllowed ? "Message" : why;
  }

  edit(message) {
    this.#editing = message;
    byId("editing").hidden = false;
    text.value = message.text;
    this.#fit();
    text.focus();
  }

  #stopEditing() {
    this.#editing = null;
    byId("editing").hidden = true;
    text.value = "";
    this.#fit();
    text.focus();
  }

  #changed() {
    byId("note").hidden = true;
    this.#fit();
    this.#tellTyping(text.value.trim() !== "" && !this.#editing);
  }

  #fit() {
    text.style.height = "auto";
    text.style.height = `${Math.min(text.scrollHeight + 2, 144)}px`;
    const left = this.#limit - [...text.value].length;
    byId("left").textContent = left < 200 ? (left < 0 ? `${-left} too many` : `${left} left`) : "";
    byId("send").disabled = left < 0 || text.disabled;
  }

  #key(event) {
    if (event.key === "ArrowUp" && text.value === "") {
      const last = this.#on.last();
      if (last) this.edit(last);
      event.preventDefault();
    } else if (event.key === "Escape" && this.#editing) this.#stopEditing();
    else if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      form.requestSubmit();
    }
  }

  #submit(event) {
    event.preventDefault();
    const words = text.value.trim();
    if (!words || byId("send").disabled) return;
    const edited = this.#editing;
    this.#toldTyping = 0; // the message itself ends the typing
    this.#stopEditing();
    if (edited) this.#on.edit(edited, words);
    else this.#on.say(words);
  }

  #tellTyping(isTyping) {
    if (isTyping === this.#toldTyping > 0 && Date.now() - this.#toldTyping < TYPING_EVERY_MS) return;
    if (!isTyping && !this.#toldTyping) return;
    this.#toldTyping = isTyping ? Date.now() : 0;
    this.#on.typing(isTyping);
  }

  // A file that is dropped would open in the place of the page, one that is pasted would vanish without a word.
  #refuseFiles(area) {
    const holdsFiles = (transfer) => [...(transfer?.types ?? [])].includes("Files");
    area.addEventListener("dragover", (event) => {
      if (!holdsFiles(event.dataTransfer)) return;
      event.preventDefault();
      event.dataTransfer.dropEffect = "none";
      this.#refuse();
    });
    area.addEventListener("drop", (event) => {
      if (!holdsFiles(event.dataTransfer)) return;
      event.preventDefault();
      this.#refuse(event.dataTransfer.files);
    });
    text.addEventListener("paste", (event) => {
      if (!event.clipboardData?.files.length) return;
      event.preventDefault();
      this.#refuse(event.clipboardData.files);
    });
  }

  #refuse(files = []) {
    const what = files.length === 1 ? `“${files[0].name}” was not sent` : files.length ? `${files.length} files were not sent` : "Files are not taken here";
    byId("note").textContent = `${what}: this chat takes text only. Put the file somewhere and send a link to it.`;
    byId("note").hidden = false;
    clearTimeout(this.#noteTimer);
    this.#noteTimer = setTimeout(() => (byId("note").hidden = true), NOTE_MS);
  }
}

/** Who is typing: from browser to browser, never stored. */
export class Typers {
  #shown = new Map(); // user -> {name, timer}

  heard(user, name, isTyping) {
    this.stopped(user);
    if (!isTyping) return;
    this.#shown.set(user, { name, timer: setTimeout(() => this.stopped(user), 5000) });
    this.#draw();
  }

  stopped(user) {
    clearTimeout(this.#shown.get(user)?.timer);
    if (this.#shown.delete(user)) this.#draw();
  }

  #draw() {
    const who = [...this.#shown.values()].map(({ name }) => name);
    const many = who.length > 1 ? `${who.slice(0, -1).join(", ")} and ${who.at(-1)} are typing…` : `${who[0]} is typing…`;
    byId("typing").textContent = who.length > 3 ? "Several people are typing…" : who.length ? many : "";
  }
}
