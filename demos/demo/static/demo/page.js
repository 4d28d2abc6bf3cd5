// What the pages of all applications share: making elements, saying things, asking before something is gone.

export const byId = (id) => document.getElementById(id);
export const config = (id) => JSON.parse(byId(id).textContent);

// Whatever others said enters a page through textContent only.
export function element(tag, className, ...content) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...content);
  return made;
}

export function button(className, said, onClick) {
  const made = element("button", className, said);
  made.type = "button";
  made.addEventListener("click", onClick);
  return made;
}

// A drawing of the sprite in base.html.
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#${name}`);
  svg.setAttribute("aria-hidden", "true");
  svg.append(use);
  return svg;
}

export function avatar(id, name) {
  const made = element("span", "avatar", [...name][0]?.toUpperCase() ?? "?");
  made.style.setProperty("--hue", (Number(id) * 137) % 360 || 0);
  made.setAttribute("aria-hidden", "true");
  return made;
}

// For screen readers alone.
export function announce(said) {
  byId("announce").replaceChildren(element("span", "", said));
}

// For everybody, until it is closed or could be read for eight seconds.
export function toast(said, { href, label = "Open" } = {}) {
  const made = element("div", "toast", element("span", "", said));
  if (href) {
    const link = element("a", "", label);
    link.href = href;
    made.append(link);
  }
  const close = button("quiet icon", icon("cross"), () => made.remove());
  close.setAttribute("aria-label", "Close");
  made.append(close);
  byId("toasts").append(made);
  const leave = () => setTimeout(() => made.remove(), 8000);
  if (document.hidden) document.addEventListener("visibilitychange", leave, { once: true });
  else leave();
}

// Resolves with true if the user says so.
export function ask(question, verb) {
  const dialog = byId("ask");
  byId("ask-question").textContent = question;
  byId("ask-yes").textContent = verb;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
}

// Runs what the server may refuse; a refusal is shown, in its own words.
export async function tried(work) {
  try {
    return await work();
  } catch (error) {
    toast(error.message);
  }
}
