// {% jackfield_subscribe channel target %}: HTML that Django rendered, put where the page wants it.

const MARK = "data-jackfield-channel";
const PLACES = new Set(["beforebegin", "afterbegin", "beforeend", "afterend"]);

/** Follows the marks of the page, those that come later (htmx) and those that go. */
export function followFragments(page) {
  const followed = new Map();

  const follow = (mark) => {
    if (followed.has(mark)) return;
    const { jackfieldChannel: name, jackfieldEvent: event = "html" } = mark.dataset;
    try {
      followed.set(mark, page.channel(name).on(event, (data, message) => put(mark, data, message)));
    } catch (error) {
      console.error(error); // a page without a config still gets the module
    }
  };
  const unfollow = (mark) => {
    followed.get(mark)?.();
    followed.delete(mark);
    page.release(mark.dataset.jackfieldChannel);
  };
  const marks = (node) => [...(node.matches?.(`[${MARK}]`) ? [node] : []), ...(node.querySelectorAll?.(`[${MARK}]`) ?? [])];

  marks(document).forEach(follow);
  new MutationObserver((records) => {
    for (const { addedNodes, removedNodes } of records) {
      for (const node of removedNodes) marks(node).filter((mark) => !mark.isConnected).forEach(unfollow);
      for (const node of addedNodes) marks(node).filter((mark) => mark.isConnected).forEach(follow);
    }
  }).observe(document, { childList: true, subtree: true });
}

function put(mark, data, message) {
  // Markup comes from Django alone: what other pages publish is never read as HTML.
  if (message.from) return console.warn(`jackfield: ${message.channel}: HTML from a client is not shown`);
  const { jackfieldTarget: selector, jackfieldSwap: swap = "innerHTML" } = mark.dataset;
  const target = selector ? document.querySelector(selector) : mark;
  if (!target) return console.warn(`jackfield: ${message.channel}: nothing fits the target ${selector}`);
  const html = typeof data === "string" ? data : (data?.html ?? "");
  const before = new CustomEvent("jackfield:before-swap", { bubbles: true, cancelable: true, detail: { target, message, html } });
  if (!target.dispatchEvent(before)) return;
  const parent = target.parentNode;
  if (PLACES.has(swap)) target.insertAdjacentHTML(swap, html);
  else if (swap === "outerHTML") target.outerHTML = html;
  else if (swap === "delete") target.remove();
  else if (swap === "textContent") target.textContent = typeof data === "string" ? data : JSON.stringify(data);
  else if (swap !== "none") target.innerHTML = html;
  const shown = target.isConnected ? target : parent;
  globalThis.htmx?.process?.(shown);
  shown.dispatchEvent(new CustomEvent("jackfield:after-swap", { bubbles: true, detail: { target: shown, message } }));
  shown.dispatchEvent(new CustomEvent(`jackfield:${message.event}`, { bubbles: true, detail: { data, message } }));
}
