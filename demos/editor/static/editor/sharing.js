// Who may do what. The owner decides in the dialog, Django acts on open sockets, and every page hears of it.

import { avatar, byId, element, tried } from "../demo/page.js";

const SAID = { own: "owner", write: "may write", read: "may read" };
const dialog = byId("share-dialog");

export class Sharing {
  #post;
  #me;

  /** `post(fields)` tells Django, and shows what it answers. */
  constructor(me, post) {
    this.#me = me;
    this.#post = post;
    byId("share").addEventListener("click", () => dialog.showModal());
    byId("share-close").addEventListener("click", () => dialog.close());
    byId("share-form").addEventListener("submit", (event) => this.#add(event));
  }

  draw({ right, people }) {
    const isOwner = right === "own";
    for (const id of ["share-form", "share-add"]) byId(id).hidden = !isOwner;
    byId("share-people").replaceChildren(...people.map((one) => this.#row(one, isOwner && one.right !== "own")));
  }

  #row({ id, name, right }, isOurs) {
    const item = element("li", "", avatar(id, name), element("span", "", id === this.#me.id ? `${name} (you)` : name));
    item.dataset.user = id;
    if (!isOurs) {
      item.append(element("small", "", SAID[right]));
      return item;
    }
    const choice = element("select", "", ...[["write", "may write"], ["read", "may read"], ["", "remove"]].map(([value, label]) => new Option(label, value)));
    choice.value = right;
    choice.setAttribute("aria-label", `What ${name} may do`);
    choice.addEventListener("change", () => tried(() => this.#post({ name, right: choice.value })));
    item.append(choice);
    return item;
  }

  async #add(event) {
    event.preventDefault();
    byId("share-error").textContent = "";
    try {
      await this.#post({ name: byId("share-name").value, right: byId("share-right").value });
      byId("share-name").value = "";
    } catch (error) {
      byId("share-error").textContent = error.message;
    }
  }
}
