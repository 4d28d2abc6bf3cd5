// The page of a room. The database is the truth: what the page holds comes from Django, what happens
// meanwhile comes over the socket, and after each (re)subscription the page asks Django what it missed.

const room = JSON.parse(document.getElementById("room-data").textContent);
const CONFIRM_MS = 8000; // from the server's "taken" to the message itself, before we say that it failed
const TYPING_EVERY_MS = 2000;
const TYPING_SHOWN_MS = 5000;
const GROUP_MS = 5 * 60 * 1000;

const byId = (id) => document.getElementById(id);
const list = byId("messages");
const scroll = byId("scroll");
const text = byId("text"); // absent for those who only read
const names = new Map(room.members.map((one) => [one.id, one.name]));

// Whatever others said enters the page through textContent only.
function element(tag, className, content) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (content !== undefined) made.textContent = content;
  return made;
}
function avatar(id, name) {
  const made = element("span", "avatar", [...name][0]?.toUpperCase() ?? "?");
  made.style.setProperty("--hue", (Number(id) * 137) % 360 || 0);
  made.setAttribute("aria-hidden", "true");
  return made;
}
function announce(said) {
  byId("announce").replaceChildren(element("span", "", said));
}
const nameOf = (info) => info?.connInfo?.name ?? names.get(info?.user) ?? `user ${info?.user || "?"}`;

/* Messages: one list in the order of the database, then what is still on its way. */
const stored = new Map(); // id -> message
const pending = new Map(); // nonce -> {text, item, timer}

const timeOf = (at) => new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
const dayOf = (at) => {
  const day = new Date(at).toDateString();
  if (day === new Date().toDateString()) return "Today";
  if (day === new Date(Date.now() - 86400e3).toDateString()) return "Yesterday";
  return new Date(at).toLocaleDateString([], { weekday: "long", day: "numeric", month: "long" });
};
function draw(message) {
  const item = element("li", message.author.id === room.me.id ? "message mine" : "message");
  const by = element("div", "by");
  const time = element("time", "", timeOf(message.at));
  time.dateTime = message.at;
  by.append(element("b", "", message.author.name), time);
  item.append(avatar(message.author.id, message.author.name), by, element("div", "bubble", message.text), element("div", "fate"));
  item.message = message;
  return item;
}
// Puts a message where its id belongs, which is nearly always the end.
function place(item) {
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
// Marks days, and the first of several messages of one author.
function group() {
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
const atEnd = () => scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 80;
function toEnd() {
  scroll.scrollTop = scroll.scrollHeight;
  byId("newer").hidden = true;
}
function add(messages, { loud = false, keep = false } = {}) {
  const followed = atEnd();
  let heard = false;
  for (const message of messages) {
    if (stored.has(message.id)) continue;
    stored.set(message.id, message);
    names.set(message.author.id, message.author.name);
    const mine = message.author.id === room.me.id;
    if (mine && pending.has(message.nonce)) settle(message.nonce);
    place(draw(message));
    if (!mine) {
      heard = true;
      stopTyping(message.author.id);
      if (loud) announce(`${message.author.name}: ${message.text}`);
    }
  }
  group();
  if (keep) return;
  if (followed) toEnd();
  else if (heard) byId("newer").hidden = false;
}
byId("newer").addEventListener("click", toEnd);
scroll.addEventListener("scroll", () => atEnd() && (byId("newer").hidden = true), { passive: true });
const newestId = () => Math.max(0, ...stored.keys());
const oldestId = () => Math.min(...stored.keys());

async function ask(query) {
  const response = await fetch(`${room.messagesUrl}?${query}`);
  if (response.status === 403) return signedOut();
  if (!response.ok) throw new Error(`the messages could not be read (${response.status})`);
  return response.json();
}
async function catchUp() {
  for (let more = true; more; ) {
    const answer = await ask(`after=${newestId()}`);
    add(answer.messages, { loud: answer.messages.length < 5 });
    more = answer.more;
  }
}
byId("earlier").hidden = !room.more;
byId("earlier").addEventListener("click", async () => {
  const height = scroll.scrollHeight;
  const answer = await ask(`before=${oldestId()}`);
  add(answer.messages, { keep: true });
  byId("earlier").hidden = !answer.more;
  scroll.scrollTop += scroll.scrollHeight - height;
});

/* Saying something: shown at once, told apart by its nonce until the room hears it. */
function nonce() {
  const bytes = crypto.getRandomValues(new Uint8Array(16)); // randomUUID wants https
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
function say(words) {
  const key = nonce();
  const item = draw({ author: room.me, text: words, at: new Date().toISOString() });
  list.append(item);
  group();
  toEnd();
  pending.set(key, { text: words, item, timer: 0 });
  attempt(key);
}
async function attempt(key) {
  const waiting = pending.get(key);
  if (!waiting) return;
  clearTimeout(waiting.timer);
  fate(waiting, "sending", "Sending…");
  try {
    await subscription.publish({ event: "say", data: { text: waiting.text, nonce: key } });
    waiting.timer = setTimeout(() => failed(key, "Not confirmed."), CONFIRM_MS);
  } catch (error) {
    failed(key, subscription.state === "subscribed" ? `Not sent: ${error.message}.` : "Not sent: no connection.");
  }
}
function fate(waiting, name, said) {
  waiting.item.dataset.fate = name;
  waiting.item.querySelector(".fate").replaceChildren(said);
}
function failed(key, why, again = true) {
  const waiting = pending.get(key);
  if (!waiting) return;
  clearTimeout(waiting.timer);
  waiting.refused = !again;
  fate(waiting, "failed", why);
  const place = waiting.item.querySelector(".fate");
  if (again) {
    const retry = element("button", "", "Try again");
    retry.type = "button";
    retry.addEventListener("click", () => attempt(key));
    place.append(retry);
  }
  const drop = element("button", "", "Discard");
  drop.type = "button";
  drop.addEventListener("click", () => {
    settle(key);
    group();
    text?.focus();
  });
  place.append(drop);
  announce(`${why} ${waiting.text.slice(0, 100)}`);
  toEnd();
}
function settle(key) {
  const waiting = pending.get(key);
  clearTimeout(waiting.timer);
  waiting.item.remove();
  pending.delete(key);
}
// A nonce is stored once, so sending again is safe even if the first got through.
function sendAgain() {
  for (const [key, waiting] of pending) if (!waiting.refused) attempt(key);
}

/* Who is here: each user once, however many pages they have open. */
const clients = new Map(); // client -> ClientInfo
const seen = new Map(room.members.map((one) => [one.id, one.seen])); // user -> when, for members and guests
let sinceAsked = null; // joins and leaves that came while presence was asked

function moved(kind, info) {
  if (kind === "join") clients.set(info.client, info);
  else clients.delete(info.client);
  sinceAsked?.push([kind, info]);
  names.set(info.user, nameOf(info));
  if (kind === "leave") {
    if (info.user) seen.set(info.user, new Date().toISOString());
    if (![...clients.values()].some((one) => one.user === info.user)) stopTyping(info.user);
  }
  drawPeople();
}
async function askPresence() {
  sinceAsked = [];
  const answer = await subscription.presence();
  const missed = sinceAsked;
  sinceAsked = null;
  clients.clear();
  for (const info of Object.values(answer.clients)) moved("join", info);
  for (const [kind, info] of missed) moved(kind, info);
  drawPeople();
}
function seenText(at) {
  if (!at) return "not seen yet";
  const minutes = Math.floor((Date.now() - new Date(at)) / 60e3);
  if (minutes < 1) return "seen just now";
  if (minutes < 60) return `seen ${minutes} min ago`;
  return minutes < 1440 ? `seen ${Math.floor(minutes / 60)} h ago` : `seen ${new Date(at).toLocaleDateString()}`;
}
function drawPeople() {
  const here = new Map([...clients.values()].filter((info) => info.user).map((info) => [info.user, nameOf(info)]));
  const away = [...seen.keys()].filter((id) => !here.has(id)).map((id) => [id, names.get(id)]);
  const byName = (one, other) => one[1].localeCompare(other[1]);
  const rows = [
    ...[...here].sort(byName).map(([id, name]) => [id, name, id === room.me.id ? "here (you)" : "here"]),
    ...away.sort(byName).map(([id, name]) => [id, name, seenText(seen.get(id))]),
  ];
  byId("people-list").replaceChildren(...rows.map(([id, name, said]) => {
    const item = element("li", here.has(id) ? "here" : "");
    item.dataset.user = id;
    const words = element("span");
    words.append(element("span", "", name), element("small", "", said));
    item.append(avatar(id, name), words);
    return item;
  }));
  byId("here-count").textContent = here.size;
}
setInterval(drawPeople, 60e3);
byId("people-toggle").addEventListener("click", () => showPeople(!byId("people").classList.contains("open")));
function showPeople(open) {
  byId("people").classList.toggle("open", open);
  byId("people-toggle").setAttribute("aria-expanded", String(open));
}
document.addEventListener("keydown", ({ key }) => key === "Escape" && showPeople(false));
byId("scroll").addEventListener("pointerdown", () => showPeople(false));

/* Who is typing: from browser to browser, never stored. */
const typers = new Map(); // user -> {name, timer}
let toldTyping = 0;

function tellTyping(on) {
  if (!on && !toldTyping) return;
  if (on && Date.now() - toldTyping < TYPING_EVERY_MS) return;
  toldTyping = on ? Date.now() : 0;
  if (typing.state === "subscribed") typing.publish({ typing: on }).catch(() => {});
}
function stopTyping(user) {
  clearTimeout(typers.get(user)?.timer);
  if (typers.delete(user)) drawTyping();
}
function drawTyping() {
  const who = [...typers.values()].map(({ name }) => name);
  const said = who.length > 3 ? "Several people are typing…" : who.length > 1 ? `${who.slice(0, -1).join(", ")} and ${who.at(-1)} are typing…` : `${who[0]} is typing…`;
  byId("typing").textContent = who.length ? said : "";
}

/* The connection. */
function state(name, said) {
  byId("state").dataset.state = name;
  byId("state").textContent = said;
}
function signedOut() {
  state("ended", "Signed out");
  location.assign(room.loginUrl);
  throw new Centrifuge.UnauthorizedError("signed out");
}
const client = new Centrifuge(room.socketUrl, {
  name: "demo",
  getToken: async () => {
    const response = await fetch(room.tokenUrl);
    if (response.status === 403) signedOut();
    if (!response.ok) throw new Error(`no token (${response.status})`);
    return (await response.json()).token;
  },
});
const subscription = client.newSubscription(room.channel, { joinLeave: true });
const typing = client.newSubscription(room.typing);

let everLive = false;
function drawState() {
  if (client.state === "disconnected") return;
  const live = client.state === "connected" && subscription.state === "subscribed";
  if (live) state("live", "Live");
  else state("connecting", everLive ? "Reconnecting…" : "Connecting…");
  everLive ||= live;
}
client.on("connecting", drawState);
client.on("connected", drawState);
client.on("disconnected", ({ code, reason }) => state("ended", `Ended: ${reason} (${code})`));
client.on("message", ({ data }) => {
  if (data?.event === "refused" && pending.has(data.data?.nonce)) failed(data.data.nonce, data.data.fault, false);
});
subscription.on("subscribing", drawState);
subscription.on("unsubscribed", ({ code, reason }) => state("ended", `Not in the room: ${reason} (${code})`));
subscription.on("subscribed", async () => {
  drawState();
  sendAgain();
  const results = await Promise.allSettled([catchUp(), askPresence()]);
  for (const { reason } of results) if (reason) console.warn(reason);
});
subscription.on("publication", ({ data }) => {
  if (data?.event === "message") add([data.data], { loud: true });
  if (data?.event === "renamed") renamed(data.data);
});
subscription.on("join", ({ info }) => moved("join", info));
subscription.on("leave", ({ info }) => moved("leave", info));
typing.on("publication", ({ data, info }) => {
  if (!info?.user || info.user === room.me.id) return;
  clearTimeout(typers.get(info.user)?.timer);
  if (!data?.typing) return stopTyping(info.user);
  const timer = setTimeout(() => stopTyping(info.user), TYPING_SHOWN_MS);
  typers.set(info.user, { name: nameOf(info), timer });
  drawTyping();
});

/* The composer. */
function fit() {
  text.style.height = "auto";
  text.style.height = `${Math.min(text.scrollHeight + 2, 144)}px`;
  const left = room.textLimit - [...text.value].length;
  byId("left").textContent = left < 200 ? (left < 0 ? `${-left} too many` : `${left} left`) : "";
  byId("send").disabled = left < 0;
}
text?.addEventListener("input", () => {
  fit();
  tellTyping(text.value.trim() !== "");
});
text?.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  byId("composer").requestSubmit();
});
if (text) {
  byId("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    const words = text.value.trim();
    if (!words || byId("send").disabled) return;
    text.value = "";
    fit();
    toldTyping = 0; // the message itself ends the typing
    say(words);
    text.focus();
  });
}

/* Renaming, by a call that the worker answers. */
function renamed({ title, by }) {
  if (byId("title").textContent === title) return;
  byId("title").textContent = title;
  document.title = `${title} · Jackfield chat`;
  const followed = atEnd();
  list.append(element("li", "notice", `${by} named the room “${title}”.`));
  announce(`${by} named the room ${title}`);
  if (followed) toEnd();
}
const dialog = byId("rename-dialog");
byId("rename")?.addEventListener("click", () => {
  byId("new-title").value = byId("title").textContent;
  byId("rename-error").textContent = "";
  dialog.showModal();
  byId("new-title").select();
});
byId("rename-cancel").addEventListener("click", () => dialog.close());
byId("rename-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await client.rpc("rooms.rename", { pk: room.room, title: byId("new-title").value });
    dialog.close();
  } catch (error) {
    byId("rename-error").textContent = error.message;
  }
});

/* Begin. */
add(room.messages);
toEnd();
drawPeople();
subscription.subscribe();
typing.subscribe();
client.connect();
if (text && matchMedia("(hover: hover)").matches) text.focus();
