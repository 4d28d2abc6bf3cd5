import { at, logIn, screenshot, withBrowser } from "./harness.mjs";
await withBrowser(async (browser) => {
  const faults = [];
    const t0 = Date.now();
    const ann = await logIn(browser, "ann", faults, { width: 1280, height: 900 });
    console.log("login", Date.now() - t0);
    let got = 0;
    ann.on("websocket", (ws) => { console.log("ws", Date.now() - t0); ws.on("framesent", (f) => console.log(Date.now() - t0, ">", f.payload.slice(0, 80))); ws.on("framereceived", (f) => { if (got++ < 6) console.log(Date.now() - t0, "<", String(f.payload).slice(0, 90)); }); });
    await ann.goto(at("market/#KEMT"));
    console.log("goto", Date.now() - t0);
  for (let n = 0; n < 12; n++) {
    await ann.waitForTimeout(1000);
    console.log(Date.now() - t0, got, await ann.evaluate(() => [...document.querySelectorAll(".figures dd")].map((d) => d.textContent).join(" | ") + " " + document.getElementById("state").textContent + " old " + document.querySelectorAll("tr.old").length));
  }
  console.log(faults);
});
