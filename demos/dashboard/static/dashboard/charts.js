// The figures, the charts and the table, drawn anew at most once a frame; the last minute once a second and with each window.

import { byId, config, element } from "../demo/page.js";
import { add } from "./minute.js";

const MINUTES = 60;
const ROWS = 12;
const STAGES = ["new", "paid", "shipped"];
const SVG = "http://www.w3.org/2000/svg";
const money = new Intl.NumberFormat([], { minimumFractionDigits: 2, maximumFractionDigits: 2 });
export const cents = ({ total }) => Math.round(Number(total) * 100);
const said = (cents) => money.format(cents / 100);

/** `orders`: those of the last hour. */
export function draw(orders) {
  const revenue = orders.reduce((sum, order) => sum + cents(order), 0);
  const open = orders.filter(({ status }) => status !== "shipped").length;
  byId("count").textContent = orders.length;
  byId("revenue").textContent = said(revenue);
  byId("average").textContent = orders.length ? said(revenue / orders.length) : "–";
  byId("open").textContent = open;
  minutes(orders);
  stages(orders);
  rows(orders);
}

function minutes(orders) {
  const now = Date.now();
  const sums = new Array(MINUTES).fill(0);
  for (const order of orders) {
    const age = Math.floor((now - Date.parse(order.at)) / 60e3);
    if (age < MINUTES) sums[MINUTES - 1 - Math.max(age, 0)] += cents(order);
  }
  const most = bars("minutes", sums);
  byId("minutes").setAttribute("aria-label", `Revenue by minute: now ${said(sums.at(-1))}, at most ${said(most)} in a minute of the last hour`);
}

// Bars for the values, the newest on the right. Returns the highest.
function bars(id, values) {
  const most = Math.max(1, ...values);
  const width = 600 / values.length;
  byId(id).replaceChildren(...values.map((value, n) => {
    const bar = document.createElementNS(SVG, "rect");
    const height = (value / most) * 155;
    const shape = { x: n * width + 1, y: 160 - height, width: width - 2, height, class: n === values.length - 1 ? "now" : "" };
    for (const [name, value] of Object.entries(shape)) bar.setAttribute(name, value);
    return bar;
  }));
  return most;
}

/** `minute`: what server and database told of the last sixty seconds; `region`: which one is looked at, or "all". */
export function drawMinute(minute, region) {
  const seconds = minute.seconds("shop");
  const now = seconds.at(-1);
  byId("now-orders").textContent = now?.orders ?? 0;
  byId("now-revenue").textContent = money.format(now?.revenue ?? 0);
  byId("now-p95").textContent = now?.orders ? money.format(now.p95) : "–";
  const counts = seconds.map((window) => window?.orders ?? 0);
  const most = bars("seconds", counts);
  const all = counts.reduce((sum, count) => sum + count, 0);
  byId("quiet").hidden = all > 0;
  byId("seconds").setAttribute("aria-label", `Orders by second: ${all} in the last minute, at most ${most} in a second`);
  const { orders, revenue } = minute.since;
  byId("since-orders").textContent = orders;
  byId("since-revenue").textContent = money.format(revenue);
  regions(minute.seconds("regions"), region);
}

function regions(seconds, chosen) {
  const rows = config("board-data").regions.map(([name, title]) => {
    return { name, title, ...seconds.reduce((sum, window) => add(sum, window?.groups[name]), { orders: 0, revenue: 0 }) };
  });
  const most = Math.max(1, ...rows.map(({ orders }) => orders));
  byId("regions").replaceChildren(...rows.map(({ name, title, orders, revenue }) => {
    const part = element("span", "part");
    part.style.inlineSize = `${(100 * orders) / most}%`;
    const row = element("li", "", element("span", "", title), element("b", "", String(orders)), element("span", "track", part), element("small", "", money.format(revenue)));
    row.classList.toggle("other", chosen !== "all" && chosen !== name);
    row.dataset.region = name;
    return row;
  }));
}

function stages(orders) {
  byId("stages").replaceChildren(...STAGES.map((status) => {
    const count = orders.filter((order) => order.status === status).length;
    const part = element("span", `part ${status}`);
    part.style.inlineSize = `${orders.length ? (100 * count) / orders.length : 0}%`;
    return element("li", "", element("span", "", status), element("b", "", String(count)), element("span", "track", part));
  }));
}

const shown = new Map(); // id -> its row as it was drawn, so that what has changed lights up
function rows(orders) {
  const newest = orders.toSorted((one, other) => other.id - one.id).slice(0, ROWS);
  const isFirst = shown.size === 0;
  const made = newest.map((order) => {
    const key = `${order.status} ${order.total}`;
    const before = shown.get(order.id);
    if (before?.key === key) return before.row;
    const row = element("tr", isFirst ? "" : "changed");
    const time = new Date(order.at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
    const id = element("th", "", `#${order.id}`);
    id.scope = "row";
    row.append(id, element("td", "", time), element("td", "", order.region), element("td", "number", said(cents(order))), element("td", "", element("span", `badge ${order.status}`, order.status)));
    row.dataset.order = order.id;
    shown.set(order.id, { key, row });
    return row;
  });
  // Whatever stays is left alone: what is put in anew lights up anew.
  for (const row of [...byId("rows").children]) if (!made.includes(row)) row.remove();
  made.forEach((row, n) => byId("rows").children[n] === row || byId("rows").insertBefore(row, byId("rows").children[n] ?? null));
  for (const id of shown.keys()) if (!newest.some((order) => order.id === id)) shown.delete(id);
}
