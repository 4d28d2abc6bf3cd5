// The page of a room. The database is the truth: what the page holds comes from Django, and what happens meanwhile comes
// over the socket. After a drop the server sends what was missed; where it cannot any more, Django is asked.

import { JackfieldError, jackfield } from "../django_jackfield/jackfield.js";
import { ask, byId, config, tried } from "../demo/page.js";
import { hearPersonal } from "../demo/personal.js";
import { Composer, Typers } from "./composer.js";
import { Messages, atEnd, toEnd, tool } from "./messages.js";
import { People } from "./people.js";
import { Sending } from "./sending.js";

const { room: pk, me, ...page } = config("room-data");
const room = jackfield.channel(page.channel);
const typing = jackfield.channel(page.typing);
const people = new People({ me, members: page.members, moderate: (user, state) => jackfield.call("rooms.moderate", { pk, user, state }) });
const messages = new Messages({ me, version: page.version, more: page.more, tools });
const sending = new Sending(room, messages, me);
const typers = new Typers();
const composer = new Composer(page.textLimit, {
  say: (words) => sending.say(words),
  edit: (message, text) => tried(() => jackfield.call("messages.edit", { pk: message.id, text })),
  last: () => messages.lastOfMine,
  typing: (isTyping) => typing.state === "subscribed" && typing.publish("typing", isTyping).catch(() => {}),
});

/* Messages: new, edited and deleted ones are the same event, with a version each. */
function tools(message) {
  if (!message.id || message.deleted) return [];
  const { id, author, text } = message;
  const what = text.slice(0, 40);
  const remove = async () => (await ask("Delete this message for everybody?", "Delete")) && tried(() => jackfield.call("messages.delete", { pk: id }));
  const edit = tool("pencil", `Edit: ${what}`, () => composer.edit(message));
  const bin = tool("bin", `Delete: ${what}`, remove);
  return author.id === me.id ? [edit, bin] : people.mine?.moderator ? [bin] : [];
}
function show(list, options) {
  for (const one of messages.show(list, options)) {
    if (one.author.id === me.id) sending.settle(one.nonce);
    else typers.stopped(one.author.id);
  }
  messages.marks(people.members);
  markRead();
}
room.on("message", (message) => show([message], { loud: true }));

async function read(query) {
  const response = await fetch(`${page.messagesUrl}?${query}`);
  if (!response.ok) throw new Error(`the messages could not be read (${response.status})`);
  return response.json();
}
async function catchUp() {
  for (let after = messages.version, more = true; more; ) {
    const answer = await read(`after=${after}`);
    show(answer.messages, { loud: answer.messages.length < 5 });
    answer.members.forEach((member) => people.is(member));
    renamed(answer);
    more = answer.more;
    after = more ? answer.messages.at(-1).version : answer.version;
    messages.upTo(after);
  }
  rights();
  messages.marks(people.members);
}
byId("earlier").hidden = !page.more;
byId("earlier").addEventListener("click", () => tried(async () => {
  const height = byId("scroll").scrollHeight;
  const answer = await read(`before=${messages.oldest}`);
  messages.more = answer.more;
  show(answer.messages, { keep: true, earlier: true });
  byId("earlier").hidden = !answer.more;
  byId("scroll").scrollTop += byId("scroll").scrollHeight - height;
}));

/* How far everybody has read. */
let toldRead = people.mine?.read ?? 0;
let readTimer = 0;
function markRead() {
  if (readTimer || document.visibilityState !== "visible" || !atEnd()) return;
  if (messages.newest <= toldRead || room.state !== "subscribed") return;
  toldRead = messages.newest;
  room.send("read", toldRead).catch(() => (toldRead = 0));
  readTimer = setTimeout(() => { // at most once a second, and once more after it
    readTimer = 0;
    markRead();
  }, 1000);
}
document.addEventListener("visibilitychange", markRead);
byId("scroll").addEventListener("scroll", markRead, { passive: true });
room.on("read", (mark) => {
  people.hasRead(mark);
  messages.marks(people.members);
});

/* Who is here, who types, who may do what. */
room.on("join", (member) => people.moved("join", member));
room.on("leave", (member) => {
  people.moved("leave", member);
  if (!people.isHere(member.user)) typers.stopped(member.user);
});
room.on("member", (member) => {
  people.is(member);
  rights();
});
typing.on("typing", (isTyping, { from }) => {
  if (from && from.user !== me.id) typers.heard(from.user, from.channelInfo?.name ?? people.nameOf(from.user), isTyping);
});
typing.on("unsubscribed", () => {});
function rights() {
  const isMuted = people.mine?.state === "muted";
  composer.allow(!isMuted, "You are muted in this room.");
}

/* The connection. */
let everLive = false;
function state() {
  if (!byId("ended").hidden) return;
  const live = jackfield.state === "connected" && room.state === "subscribed";
  everLive ||= live;
  byId("state").dataset.state = live ? "live" : "connecting";
  byId("state").textContent = live ? "Live" : everLive ? "Reconnecting…" : "Connecting…";
}
function ended(said) {
  byId("composer").hidden = true;
  byId("ended").hidden = false;
  byId("ended").textContent = said;
  byId("state").dataset.state = "ended";
  byId("state").textContent = "Ended";
  people.nobodyIsHere();
}
room.on("subscribed", ({ again }) => {
  state();
  sending.again();
  if (!again || !messages.isWhole) tried(catchUp);
  tried(() => people.ask(room));
  markRead();
});
room.on("gap", () => tried(catchUp));
room.on("unsubscribed", () => ended("A moderator has removed you from this room."));
jackfield.on("state", state);
jackfield.on("disconnected", ({ code, reason }) => ended(`The connection has ended: ${reason} (${code}).`));
jackfield.on("signedout", () => location.assign(page.loginUrl));
jackfield.on("refused", (refusal) => sending.refused(refusal));

/* Renaming, by a call that the worker answers. */
function renamed({ title, by }) {
  if (byId("title").textContent === title) return;
  byId("title").textContent = title;
  document.title = `${title} · Jackfield`;
  if (by) messages.notice(`${by} named the room “${title}”.`);
}
room.on("renamed", renamed);
const dialog = byId("rename-dialog");
byId("rename").addEventListener("click", () => {
  byId("new-title").value = byId("title").textContent;
  byId("rename-error").textContent = "";
  dialog.showModal();
  byId("new-title").select();
});
byId("rename-cancel").addEventListener("click", () => dialog.close());
byId("rename-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await jackfield.call("rooms.rename", { pk, title: byId("new-title").value });
    dialog.close();
  } catch (error) {
    if (!(error instanceof JackfieldError)) throw error;
    byId("rename-error").textContent = error.message;
  }
});

/* Begin. */
show(page.messages, { earlier: true });
toEnd();
people.draw();
rights();
hearPersonal();
if (matchMedia("(hover: hover)").matches) composer.focus();
