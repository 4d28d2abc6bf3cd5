// Who is in the room and who is here: each user once, however many pages they have open.

import { ask, avatar, button, byId, element, tried } from "../demo/page.js";

const panel = byId("people");

function seenText(at) {
  if (!at) return "not seen yet";
  const minutes = Math.floor((Date.now() - new Date(at)) / 60e3);
  if (minutes < 1) return "seen just now";
  if (minutes < 60) return `seen ${minutes} min ago`;
  return minutes < 1440 ? `seen ${Math.floor(minutes / 60)} h ago` : `seen ${new Date(at).toLocaleDateString()}`;
}

export class People {
  #clients = new Map(); // client -> user
  #members = new Map(); // user -> {id, name, state, moderator, read, seen}
  #sinceAsked = null; // joins and leaves that came while presence was asked
  #me;
  #moderate;

  /** `moderate(user, state)` asks Django; it is offered to moderators. */
  constructor({ me, members, moderate }) {
    this.#me = me;
    this.#moderate = moderate;
    for (const one of members) this.#members.set(one.id, one);
    setInterval(() => this.draw(), 60e3);
  }

  get members() {
    return [...this.#members.values()].filter(({ state }) => state !== "removed");
  }
  get mine() {
    return this.#members.get(this.#me.id);
  }
  nameOf(user) {
    return this.#members.get(user)?.name ?? `user ${user || "?"}`;
  }
  isHere(user) {
    return [...this.#clients.values()].includes(user);
  }

  /** What Django said of a member; what it left out stays. */
  is(member) {
    this.#members.set(member.id, { ...this.#members.get(member.id), ...member });
    this.draw();
  }

  /** How far a member has read. It never goes back, in whatever order it is heard. */
  hasRead({ id, read }) {
    const member = this.#members.get(id);
    if (member) member.read = Math.max(member.read, read);
  }

  moved(kind, { client, user, channelInfo }) {
    if (kind === "join") this.#clients.set(client, user);
    else this.#clients.delete(client);
    this.#sinceAsked?.push([kind, { client, user, channelInfo }]);
    if (!this.#members.has(user)) this.#members.set(user, { id: user, name: channelInfo?.name ?? user, state: "member", read: 0 });
    if (kind === "leave") this.#members.get(user).seen = new Date().toISOString();
    this.draw();
  }

  /** Asks the server who is here; what moved meanwhile is newer than its answer. */
  async ask(room) {
    this.#sinceAsked = [];
    const here = await room.presence();
    const missed = this.#sinceAsked;
    this.#sinceAsked = null;
    this.#clients.clear();
    for (const one of here) this.moved("join", one);
    for (const [kind, one] of missed) this.moved(kind, one);
    this.draw();
  }

  nobodyIsHere() {
    this.#clients.clear();
    this.draw();
  }

  draw() {
    const byName = (one, other) => one.name.localeCompare(other.name);
    const rank = ({ id, state }) => (state === "removed" ? 2 : this.isHere(id) ? 0 : 1);
    const shown = [...this.#members.values()].filter(({ state }) => state !== "removed" || this.mine?.moderator);
    shown.sort((one, other) => rank(one) - rank(other) || byName(one, other));
    byId("people-list").replaceChildren(...shown.map((member) => this.#row(member)));
    byId("here-count").textContent = shown.filter((one) => rank(one) === 0).length;
  }

  #row(member) {
    const { id, name, state, moderator, seen } = member;
    const said = [state === "removed" ? "removed" : this.isHere(id) ? "here" : seenText(seen)];
    if (id === this.#me.id) said.push("you");
    if (moderator) said.push("moderator");
    if (state === "muted") said.push("muted");
    const item = element("li", this.isHere(id) ? "here" : "", avatar(id, name));
    item.append(element("span", "", element("span", "", name), element("small", "", said.join(" · "))));
    item.dataset.user = id;
    if (this.mine?.moderator && !moderator) item.append(element("span", "powers", ...this.#powers(member)));
    return item;
  }

  #powers({ id, name, state }) {
    const to = (next) => () => tried(() => this.#moderate(id, next));
    const named = (said, made) => (made.setAttribute("aria-label", `${said} ${name}`), made);
    if (state === "removed") return [named("Let back in", button("small", "Let back in", to("member")))];
    const mute = state === "muted" ? named("Unmute", button("small", "Unmute", to("member"))) : named("Mute", button("small", "Mute", to("muted")));
    const remove = async () => (await ask(`Remove ${name} from the room?`, "Remove")) && to("removed")();
    return [mute, named("Remove", button("small", "Remove", remove))];
  }
}

/* On a phone the list is a drawer. */
function open(wanted) {
  panel.classList.toggle("open", wanted);
  byId("people-toggle").setAttribute("aria-expanded", String(wanted));
}
byId("people-toggle").addEventListener("click", () => open(!panel.classList.contains("open")));
document.addEventListener("keydown", ({ key }) => key === "Escape" && open(false));
byId("scroll").addEventListener("pointerdown", () => open(false));
