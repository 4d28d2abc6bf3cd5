// The market: the page says which rows are on the screen, and hears of no others. What it is told is drawn ten times a second.

import { jackfield } from "../django_jackfield/jackfield.js";
import { announce, byId, config, toast, tried } from "../demo/page.js";
import { hearPersonal } from "../demo/personal.js";
import { Book } from "./book.js";
import { FeedClock } from "./clock.js";
import { Rows } from "./rows.js";

const INTEREST_MS = 50; // a scroll of many rows is said once
const FIGURES_MS = 500;
const WINDOW_MS = 2000; // what "late by" and "updates" look back over
const page = config("market-data");
const isSlow = new URLSearchParams(location.search).get("line") === "slow";

/* The line: the slow one is another port, behind which the same server takes in what it is sent. */
if (isSlow) jackfield.configure({ ...config("jackfield-config"), url: page.slowUrl });
byId("slow").checked = isSlow;
byId("slow").addEventListener("change", ({ target }) => {
  const url = new URL(location.href);
  url.search = target.checked ? "?line=slow" : "";
  location.replace(url);
});

const clock = new FeedClock(page.clockUrl);
const book = new Book(page.channels.depth);
const rows = new Rows(page.companies, { seen: wish, chosen: choose });
const quotes = jackfield.channel(page.channels.quotes);
const trend = jackfield.channel(page.channels.trend);

/* Which rows are seen. */
let timer = 0;
function wish() {
  timer ||= setTimeout(() => {
    timer = 0;
    const keys = rows.follow();
    for (const channel of [quotes, trend]) name(channel, keys);
  }, INTEREST_MS);
}
function name(channel, keys) {
  if (channel.state !== "subscribed") return; // it is said when it is
  jackfield.call("jackfield.interest", { channel: channel.name, keys })
    .catch((error) => channel.state === "subscribed" && toast(error.message));
}
for (const channel of [quotes, trend]) {
  channel.on("subscribed", () => {
    rows.unfollow();
    name(channel, rows.follow());
    state();
  });
}

/* What is heard. */
let heard = []; // [when, how late] of each update of the last seconds
quotes.on("message", (quote) => {
  const now = performance.now();
  const late = clock.age(quote.at);
  // A value that is there when a row comes into sight is as old as its last trade; that is not the line's fault.
  heard.push([now, rows.quote(quote) ? late : 0]);
});
trend.on("message", (past) => rows.trend(past));
jackfield.channel(page.channels.feed).on("second", ({ rate, ticks }) => {
  byId("ticks").textContent = ticks.toLocaleString();
  byId("rate").value = rate;
});

/* The figures. */
const seconds = (ms) => (ms / 1000).toFixed(ms < 9950 ? 2 : 0);
function figures() {
  const since = performance.now() - WINDOW_MS;
  heard = heard.filter(([when]) => when > since);
  byId("updates").textContent = Math.round((heard.length * 1000) / WINDOW_MS).toLocaleString();
  if (!clock.isSet) return;
  byId("late").textContent = heard.length ? seconds(heard.reduce((most, [, late]) => Math.max(most, late), 0)) : "–";
  const oldest = rows.aged((at) => clock.age(at));
  byId("oldest").textContent = oldest === null ? "–" : seconds(oldest);
  byId("oldest").closest(".card").classList.toggle("old", oldest > 2000);
}
setInterval(figures, FIGURES_MS);

/* The symbol of which the orders are shown stands in the address, so that it is there after a reload. */
function choose(company) {
  if (location.hash) byId("book").scrollIntoView({ block: "nearest" }); // on a phone it is further down
  history.replaceState(null, "", `#${company.symbol}`);
  book.show(company);
}

function state() {
  const live = jackfield.state === "connected" && quotes.state === "subscribed";
  byId("state").dataset.state = live ? "live" : "connecting";
  byId("state").textContent = live ? (isSlow ? "Live over the slow line" : "Live") : "Connecting…";
  if (live) clock.ask();
}
jackfield.on("state", state);
jackfield.on("signedout", () => location.assign(page.loginUrl));
hearPersonal();

/* The controls. */
function filter() {
  const found = rows.filter(byId("find").value, byId("sector").value);
  byId("none").hidden = found > 0;
  announce(`${found} symbols`);
}
for (const [id, event] of [["find", "input"], ["sector", "change"]]) byId(id).addEventListener(event, filter);
byId("rate").addEventListener("change", ({ target }) => tried(async () => {
  const token = document.querySelector("[name=csrfmiddlewaretoken]").value;
  const body = new URLSearchParams({ rate: target.value });
  const response = await fetch(page.paceUrl, { method: "POST", headers: { "X-CSRFToken": token }, body });
  if (!response.ok) throw new Error(`the feed was not told (${response.status})`);
}));
byId("controls").addEventListener("submit", (event) => event.preventDefault());

const chosen = location.hash.slice(1);
history.replaceState(null, "", location.pathname + location.search);
rows.choose(rows.has(chosen) ? chosen : page.companies[0][0]);
