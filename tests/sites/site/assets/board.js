// The board: orders as they come, and a count of the connections that this page has opened.
import { jackfield } from "./django_jackfield/jackfield.js";

window.connects = 0;
window.seen = [];
jackfield.on("connected", () => (window.connects += 1));

const orders = jackfield.channel("orders:today");
orders.on("subscribed", () => (window.ready = true));
orders.on("ordered", ({ what, by }) => {
  window.seen.push(what);
  const line = document.createElement("li");
  line.textContent = `${by}: ${what}`;
  document.getElementById("orders").append(line);
});

document.getElementById("order").addEventListener("submit", async (event) => {
  event.preventDefault();
  const answer = await fetch("/orders/", { method: "POST", body: new FormData(event.target) });
  window.answered = answer.status;
});
