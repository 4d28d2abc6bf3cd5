// The board: the last hour over HTTP, and from then on what the model tells. An order is known by its newest change,
// so what comes twice, or by both ways, is shown once.

import { byId, config, tried } from "../demo/page.js";
import { draw, drawMinute } from "./charts.js";
import { EventFeed, SocketFeed } from "./feed.js";
import { Minute, wishes } from "./minute.js";

const FAILURES = 2; // of a first WebSocket, before EventSource is tried
const CUSTOMER_MS = 250;
const page = config("board-data");
const orders = new Map(); // id -> order
const region = () => byId("region").value;
let feed = null;
let minute = null;
let frame = 0;
let failures = 0;
let hadSocket = false;

/* Orders. */
function take(order) {
  const known = orders.get(order.id);
  if (!known || known.updated <= order.updated) orders.set(order.id, order);
}
function changed() {
  frame ||= requestAnimationFrame(() => {
    frame = 0;
    const since = Date.now() - page.windowSeconds * 1000;
    for (const [id, { at }] of orders) if (Date.parse(at) < since) orders.delete(id);
    draw([...orders.values()].filter((order) => region() === "all" || order.region === region()));
  });
}
async function catchUp() {
  const newest = [...orders.values()].reduce((last, { updated }) => (updated > last ? updated : last), "");
  const response = await fetch(`${page.ordersUrl}?since=${encodeURIComponent(newest)}`);
  if (!response.ok) throw new Error(`the orders could not be read (${response.status})`);
  (await response.json()).orders.forEach(take);
  changed();
}
setInterval(changed, 10e3); // an hour goes on without orders

/* The last minute. */
const nameOf = { [page.sales.shop]: "shop", [page.sales.regions]: "regions" };
async function askSeconds({ after = "", through }) {
  const query = new URLSearchParams({ region: region() === "all" ? "" : region(), after, through: Number.isFinite(through) ? through : "" });
  const response = await fetch(`${page.secondsUrl}?${query}`);
  if (!response.ok) throw new Error(`the last minute could not be read (${response.status})`);
  return { ...(await response.json()), here: Date.now() };
}
const showMinute = () => drawMinute(minute, region());
setInterval(showMinute, 1000); // and so does a minute

/* The feed. */
const tell = {
  order(event, order) {
    if (event === "deleted") orders.delete(order.id);
    else take(order);
    changed();
  },
  open() {
    hadSocket ||= feed instanceof SocketFeed;
    return tried(catchUp);
  },
  window: (channel, window) => tried(() => minute.take(nameOf[channel], window)),
  counting: () => tried(() => minute.read()),
  state(name, said) {
    byId("state").dataset.state = name;
    byId("state").textContent = said;
  },
  failed() {
    if (hadSocket || ++failures < FAILURES || byId("blocked").checked) return;
    byId("blocked").checked = true; // nothing comes through: a proxy that knows no WebSocket, perhaps
    follow();
  },
  signedOut: () => location.assign(page.loginUrl),
};
function begin() {
  minute = new Minute(askSeconds, showMinute);
  showMinute();
}
function follow() {
  feed?.close();
  const [name, figures] = [page.channels[region()], wishes(page.sales, region())];
  if (byId("blocked").checked) feed = new EventFeed(name, figures, tell, page.tokenUrl);
  else feed = new SocketFeed(name, figures, tell);
}
byId("blocked").addEventListener("change", follow);
byId("region").addEventListener("change", () => {
  orders.clear(); // what other regions did meanwhile is not known
  changed();
  begin();
  follow();
});

/* Customers: each is a POST to an ordinary view. */
let customers = 0;
byId("customers").addEventListener("change", ({ target }) => {
  clearInterval(customers);
  if (target.checked) customers = setInterval(buy, CUSTOMER_MS);
});
function buy() {
  const token = document.querySelector("[name=csrfmiddlewaretoken]").value;
  fetch(page.ordersUrl, { method: "POST", headers: { "X-CSRFToken": token } }).catch(() => {});
}
byId("controls").addEventListener("submit", (event) => event.preventDefault());

changed();
begin();
follow();
