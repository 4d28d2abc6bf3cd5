// The arena: what is heard goes into the world, what is pressed goes out, and up to sixty times a second it is drawn, a tenth
// of a second in the past, where everybody's place is known and nothing has to be guessed.

import { announce, byId, config, element, toast } from "../demo/page.js";
import { Clock } from "./clock.js";
import { Controls } from "./controls.js";
import { FIGURE, HUNTER, SAFE, read } from "./frames.js";
import { Line } from "./line.js";
import { View } from "./view.js";
import { World } from "./world.js";

const PAST_MS = 100;
const STEER_MS = 200; // said again, and the clocks compared
const MARGIN = 90; // units beyond the screen that are heard of, so that nobody steps out of nothing
const LOST_MS = 3000;
const MAP_MS = 200;
const [SLOW_MS, HALF_MS] = [24, 30];
const NEWS_MS = 3000;
const AGES = 50_000; // kept for who measures
const LATELY = 2000; // of them on the page
const page = config("arena-data");
const [clock, world] = [new Clock(), new World()];
const columns = page.size / page.area;
const every = Array.from({ length: columns ** 2 }, (_, n) => `${n % columns}:${Math.floor(n / columns)}`);
const keyOf = ({ x, y }) => `${Math.floor(x / page.area)}:${Math.floor(y / page.area)}`;
const view = new View(byId("arena"), byId("map"), page);
const ages = []; // of what was heard lately, in milliseconds
let mine = 0;
let state = 0; // of my figure
let heard = new Set();
let scores = {};
let frames = 0;
let [asked, drawn] = [0, 0];
let late = 0; // more than thirty: frames come late all the time
let mapped = 0; // when the map was drawn

/* What comes in. */
const tell = {
  frame(bytes) {
    const frame = read(bytes);
    const time = clock.offset === null ? null : clock.whole(frame.time);
    if (time === null) return; // until the first `scores`, less than a second
    frames += 1;
    world.take(frame, time);
    if (frame.kind !== FIGURE) return;
    if (clock.isSet && ages.push(clock.server() - time) > AGES) ages.shift();
    if (frame.id !== mine) return;
    clock.echoed(time, frame.echo);
    became(frame.state);
  },
  event: (name, data) => events[name]?.(data),
  state(name) {
    const said = { live: "Live", connecting: "Connecting…", ended: "Ended" }[name];
    byId("state").dataset.state = name;
    byId("state").textContent = said;
    byId("cut").hidden = name === "live";
    if (name !== "live") ages.length = 0; // what waited behind a dead line says nothing of this one
  },
  signedOut: () => location.assign(page.loginUrl),
};
const events = {
  crowd(players) {
    world.names = new Map(players.map((one) => [one.id, one]));
    mine = players.find((one) => one.user === page.user)?.id ?? 0;
    showScores();
  },
  scores(said) {
    clock.said(said.now);
    scores = said;
    showScores();
  },
  tag({ by, whom, points, at }) {
    if (Math.abs(clock.server() - at) > NEWS_MS) return;
    if (whom === mine) announce(`${nameOf(by)} caught you and took ${points}. You hunt now.`);
    else if (by === mine) announce(`You caught ${nameOf(whom)} and took ${points}. Run!`);
  },
  over({ round, first, best }) {
    showBest(best);
    if (round === page.round) return;
    toast(`The round is over. ${first.map(({ name, score }) => `${name} ${score}`).join(", ")}.`);
    page.round = round;
  },
};
const nameOf = (id) => world.names.get(id)?.name ?? "somebody";

/* What goes out. */
const line = new Line(page.channels, page.tokenUrl, tell);
const controls = new Controls(byId("arena"), (wish) => line.steer(wish));
setInterval(() => line.steer(controls.wish), STEER_MS);

// While I do not know where I am I listen everywhere; then to what is on the screen, and a little more.
function listen() {
  const me = world.newest(mine);
  const lost = !me || clock.server() - me.time > LOST_MS;
  const { left, top, right, bottom } = view.box;
  const isNear = (key) => {
    const [column, row] = key.split(":").map(Number);
    const [x, y] = [column * page.area, row * page.area];
    return x < right + MARGIN && x + page.area > left - MARGIN && y < bottom + MARGIN && y + page.area > top - MARGIN;
  };
  const keys = lost ? every : every.filter(isNear);
  if (keys.length === heard.size && keys.every((key) => heard.has(key))) return;
  heard = new Set(keys);
  line.hear(keys);
  if (!byId("all").checked) world.forget((spark) => heard.has(keyOf(spark)));
}
byId("all").addEventListener("change", ({ target }) => {
  line.hearAll(target.checked);
  ages.length = 0;
  world.forget((spark) => target.checked || heard.has(keyOf(spark)));
});

/* What is shown. A machine that cannot keep up draws half as often, and has time to hear. */
function draw(at) {
  requestAnimationFrame(draw);
  late = Math.max(0, Math.min(60, late + (at - asked > SLOW_MS ? 2 : -1)));
  asked = at;
  if (late > 30 && at - drawn < HALF_MS) return;
  drawn = at;
  const time = clock.server() - PAST_MS;
  const figures = world.at(time);
  const me = figures.find((figure) => figure.id === mine);
  if (me) view.lookAt(me);
  listen();
  view.draw(figures, world.sparks.values(), mine, controls.finger);
  if (time - mapped > MAP_MS || time < mapped) {
    mapped = time;
    view.drawMap(figures, (column, row) => byId("all").checked || heard.has(`${column}:${row}`), mine);
  }
}

function became(now) {
  const [was, is] = [state & HUNTER, now & HUNTER];
  state = now;
  const said = is ? "You hunt: catch a runner" : now & SAFE ? "Nobody can touch you yet" : "Collect sparks, keep away from hunters";
  if (byId("role").textContent !== said) byId("role").textContent = said;
  byId("role").dataset.hunter = Boolean(is);
  if (is && !was) announce("You hunt now.");
}

function showScores() {
  const rows = [...world.names.values()].map(({ id, name }) => ({ id, name, score: scores.scores?.[id] ?? 0 }));
  rows.sort((one, other) => other.score - one.score || one.name.localeCompare(other.name));
  const place = rows.findIndex(({ id }) => id === mine);
  byId("scores").replaceChildren(...rows.map(({ id, name, score }) => standing(id === mine ? `${name} (you)` : name, score, id === mine ? "mine" : "")));
  byId("count").textContent = rows.length;
  byId("score").textContent = place < 0 ? "–" : rows[place].score;
  byId("full").hidden = !scores.scores || place >= 0 || rows.length < page.limit;
  const left = Math.max(0, Math.round(((scores.ends ?? 0) - clock.server()) / 1000));
  byId("left").textContent = scores.ends ? `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}` : "–";
}

const standing = (name, score, look = "") => element("li", look, element("span", "", name), element("b", "", String(score)));

function showBest(best) {
  byId("best").replaceChildren(...best.map(({ name, score }) => standing(name, score)));
  byId("no-best").hidden = best.length > 0;
}

const percentile = (values, part) => [...values].sort((one, other) => one - other)[Math.floor(values.length * part)];
let [countedAt, counted] = [performance.now(), 0];
setInterval(() => {
  const seconds = (performance.now() - countedAt) / 1000;
  byId("bytes").textContent = `${((line.bytes - counted) / 1000 / seconds).toFixed(1)} kB/s`;
  byId("frames").textContent = `${Math.round(frames / seconds)} frames/s`;
  [countedAt, counted, frames] = [performance.now(), line.bytes, 0];
  byId("way").textContent = clock.roundTrip === null ? "–" : `${clock.roundTrip} ms`;
  byId("age").textContent = ages.length ? `${Math.round(percentile(ages.slice(-LATELY), 0.99))} ms` : "–";
  byId("offset").textContent = clock.offset === null ? "–" : `${Math.round(clock.offset)} ms`;
}, 1000);

/* For who does not see it: where things are, in words. */
const WINDS = ["right", "below right", "below", "below left", "left", "above left", "above", "above right"];
function lookAround() {
  const me = world.newest(mine);
  if (!me) return announce("You are not in the arena.");
  const nearest = (what, things) => {
    const found = things.map(({ x, y }) => ({ distance: Math.hypot(x - me.x, y - me.y), turn: Math.atan2(y - me.y, x - me.x) })).sort((one, other) => one.distance - other.distance)[0];
    return found ? `${what} ${Math.round(found.distance)} ${WINDS[Math.round((found.turn / Math.PI) * 4 + 8) % 8]}` : `no ${what} near`;
  };
  const others = world.at(clock.server() - PAST_MS).filter(({ id }) => id !== mine);
  const isHunter = ({ state }) => Boolean(state & HUNTER);
  const said = me.state & HUNTER ? [nearest("runner", others.filter((one) => !isHunter(one)))] : [nearest("spark", [...world.sparks.values()]), nearest("hunter", others.filter(isHunter))];
  announce(`${said.join(", ")}. You have ${byId("score").textContent}.`);
}
byId("look").addEventListener("click", lookAround);
addEventListener("keydown", (event) => event.code === "KeyE" && !event.repeat && !event.ctrlKey && !event.metaKey && lookAround());

// What a test and a measurement ask.
globalThis.arena = {
  id: () => mine,
  me: () => world.newest(mine),
  seen: () => world.at(clock.server() - PAST_MS),
  sparks: () => [...world.sparks.values()],
  anew: () => { ages.length = 0; },
  figures: () => ({ bytes: line.bytes, ages: [...ages], offset: clock.offset, roundTrip: clock.roundTrip, heard: [...heard] }),
};

showBest(page.best);
requestAnimationFrame(draw);
