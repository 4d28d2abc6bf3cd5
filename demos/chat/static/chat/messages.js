// The list of messages, in the order of the database. A message is shown as the newest version of it that was heard.

import { announce, avatar, button, byId, element, icon } from "../demo/page.js";

const GROUP_MS = 5 * 60 * 1000;
const PARTS = /(https?:\/\/[^\s<>"]+)|(?<!\w)(@[\w.+-]*\w)/g;
const list = byId("messages");
const scroll = byId("scroll");

const timeOf = (at) => new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
const dayOf = (at) => {
  const day = new Date(at).toDateString();
  if (day === new Date().toDateString()) return "Today";
  if (day === new Date(Date.now() - 86400e3).toDateString()) return "Yesterday";
  return new Date(at).toLocaleDateString([], { weekday: "long", day: "numeric", month: "long" });
};

// Text with links and names marked; everything is text all the same.
function* rich(text) {
  let end = 0;
  for (const match of text.matchAll(PARTS)) {
    yield text.slice(end, match.index);
    end = match.index + match[0].length;
    if (match[1]) {
      const link = element("a", "", match[1]);
      Object.assign(link, { href: match[1], target: "_blank", rel: "noopener noreferrer" });
      yield link;
    } else yield element("mark", "", match[2]);
  }
  yield text.slice(end);
}

export const atEnd = () => scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 80;
export function toEnd() {
  scroll.scrollTop = scroll.scrollHeight;
  byId("newer").hidden = true;
}
byId("newer").addEventListener("click", toEnd);
let follows = true; // the end, also when what stands below it grows
scroll.addEventListener("scroll", () => {
  follows = atEnd();
  if (follows) byId("newer").hidden = true;
}, { passive: true });
const resized = new ResizeObserver(() => follows && toEnd());
for (const one of [scroll, list]) resized.observe(one); // a line below the last message counts as the end, too

export class Messages {
  #stored = new Map(); // id -> message
  #items = new Map(); // id -> its element
  #ahead = new Set(); // versions that came before a smaller one
  #me;
  #tools;

  /** `version`: that of the room when the page was made. `tools(message)`: buttons of a message. */
  constructor({ me, version, more, tools }) {
    this.#me = me;
    this.#tools = tools;
    this.version = version;
    this.more = more;
  }

  get newest() {
    return Math.max(0, ...this.#stored.keys());
  }
  get oldest() {
    return Math.min(...this.#stored.keys());
  }
  get isWhole() {
    return this.#ahead.size === 0;
  }

  /** The user's last message that can be edited. */
  get lastOfMine() {
    return [...this.#stored.values()].filter((one) => one.author.id === this.#me.id && !one.deleted).sort((one, other) => one.id - other.id).at(-1);
  }

  /** Shows messages, new or changed ones. Returns those that are new. */
  show(messages, { loud = false, keep = false, earlier = false } = {}) {
    const followed = atEnd();
    const fresh = [];
    for (const message of messages) {
      this.#count(message.version);
      const known = this.#stored.get(message.id);
      if (known && known.version >= message.version) continue;
      if (!known && !earlier && this.more && message.id < this.oldest) continue; // it comes with the earlier ones
      this.#stored.set(message.id, message);
      const item = this.draw(message);
      if (known) this.#items.get(message.id).replaceWith(item);
      else this.#place(item);
      this.#items.set(message.id, item);
      if (!known) fresh.push(message);
      if (loud && message.author.id !== this.#me.id) announce(this.#spoken(message, known));
    }
    this.group();
    if (keep) return fresh;
    if (followed) toEnd();
    else if (fresh.some(({ author }) => author.id !== this.#me.id)) byId("newer").hidden = false;
    return fresh;
  }

  /** Everything up to this version is here. */
  upTo(version) {
    this.version = Math.max(this.version, version);
    for (const one of this.#ahead) if (one <= version) this.#ahead.delete(one);
    this.#count(this.version);
  }

  #count(version) {
    if (version > this.version) this.#ahead.add(version);
    while (this.#ahead.delete(this.version + 1)) this.version += 1;
  }

  #spoken({ author, text, deleted }, known) {
    if (deleted) return `${author.name} deleted a message`;
    return known ? `${author.name} edited: ${text}` : `${author.name}: ${text}`;
  }

  draw(message) {
    const { author, at, text, edited, deleted } = message;
    const item = element("li", author.id === this.#me.id ? "message mine" : "message");
    const time = element("time", "", timeOf(at));
    time.dateTime = at;
    const by = element("div", "by", element("b", "", author.name), time);
    const bubble = element("div", "bubble", ...(deleted ? ["Message deleted"] : rich(text)));
    if (edited && !deleted) bubble.append(element("small", "edited", " edited"));
    item.classList.toggle("deleted", Boolean(deleted));
    item.append(avatar(author.id, author.name), by, bubble, element("div", "tools", ...this.#tools(message)), element("div", "fate"));
    item.message = message;
    return item;
  }

  // Puts a message where its id belongs, which is nearly always the end.
  #place(item) {
    const { id } = item.message;
    let before = null;
    for (let other = list.lastElementChild; other; other = other.previousElementSibling) {
      if (!other.message) continue;
      if (other.message.id !== undefined && other.message.id < id) break;
      before = other;
    }
    if (before?.previousElementSibling?.classList.contains("day")) before = before.previousElementSibling;
    list.insertBefore(item, before);
  }

  /** A message that is still on its way stands below all others. */
  append(item) {
    list.append(item);
    this.group();
    toEnd();
  }

  /** A line of the room's own. */
  notice(said) {
    const followed = atEnd();
    list.append(element("li", "notice", said));
    announce(said);
    if (followed) toEnd();
  }

  // Marks days, and the first of several messages of one author.
  group() {
    for (const day of list.querySelectorAll(".day")) day.remove();
    let last = null;
    for (const item of [...list.children]) {
      if (!item.message) {
        if (last) last.author = null; // a notice begins a new group, not a new day
        continue;
      }
      const { author, at } = item.message;
      const day = new Date(at).toDateString();
      if (day !== last?.day) list.insertBefore(element("li", "day", dayOf(at)), item);
      item.classList.toggle("first", author.id !== last?.author || day !== last.day || new Date(at) - last.at > GROUP_MS);
      last = { author: author.id, at: new Date(at), day };
    }
    byId("empty").hidden = list.children.length > 0;
  }

  /** Below the last message of somebody else that each of the others has read: who it is. */
  marks(readers) {
    const names = new Map();
    for (const { id, name, read } of readers) {
      if (id === this.#me.id) continue;
      const last = Math.max(0, ...[...this.#stored.values()].filter((one) => one.id <= read && one.author.id !== id).map((one) => one.id));
      if (last) names.set(last, [...(names.get(last) ?? []), name]);
    }
    for (const seen of list.querySelectorAll(".seen")) seen.remove();
    for (const [id, who] of names) {
      const said = who.length > 4 ? `Seen by ${who.length}` : `Seen by ${who.join(", ")}`;
      this.#items.get(id).append(element("div", "seen", said));
    }
  }
}

/** The small buttons of a message. */
export function tool(drawing, said, onClick) {
  const made = button("quiet icon", icon(drawing), onClick);
  made.setAttribute("aria-label", said);
  made.title = said;
  return made;
}
