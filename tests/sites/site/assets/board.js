// The board: orders as they come, and a count of the connections that this page has opened.
window.connects = 0;
window.seen = [];

async function token() {
  const answer = await fetch("/jackfield/token/", { credentials: "same-origin" });
  return answer.json();
}

token().then(({ token: first, url }) => {
  const client = new Centrifuge(url, { token: first, getToken: async () => (await token()).token });
  client.on("connected", () => (window.connects += 1));
  const orders = client.newSubscription("orders:today");
  orders.on("subscribed", () => (window.ready = true));
  orders.on("publication", ({ data }) => {
    if (data.event !== "ordered") return;
    window.seen.push(data.data.what);
    const line = document.createElement("li");
    line.textContent = `${data.data.by}: ${data.data.what}`;
    document.getElementById("orders").append(line);
  });
  orders.subscribe();
  client.connect();
});

document.getElementById("order").addEventListener("submit", async (event) => {
  event.preventDefault();
  const answer = await fetch("/orders/", { method: "POST", body: new FormData(event.target) });
  window.answered = answer.status;
});
