// What the template tag {% jackfield_config %} printed into the page.

/** Reads it; a page without it is told what is missing. */
export function pageConfig(id = "jackfield-config") {
  const element = document.getElementById(id);
  if (!element) throw new Error(`jackfield: the page has no #${id}; put {% jackfield_config %} into its template`);
  return JSON.parse(element.textContent);
}

/** Where the server is: absolute, or relative to the page (`/connection/websocket` behind one proxy). */
export function socketUrl(url) {
  if (!url) throw new Error("jackfield: PUBLIC_URL is not set, so the page does not know where the server is");
  const absolute = new URL(url, location.href);
  absolute.protocol = absolute.protocol.replace(/^http/, "ws");
  return absolute.href;
}
