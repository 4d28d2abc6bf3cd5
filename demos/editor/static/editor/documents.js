// The list of documents: it opens a connection for what is said to the user, and is made anew when one is shared.

import { jackfield } from "../django_jackfield/jackfield.js";
import { byId, element } from "../demo/page.js";
import { hearPersonal } from "../demo/personal.js";

hearPersonal();
jackfield.on("document", async () => {
  const response = await fetch(location.href, { cache: "no-store" });
  if (!response.ok) return;
  const next = new DOMParser().parseFromString(await response.text(), "text/html").querySelector(".documents");
  document.querySelector(".documents").replaceWith(next);
  byId("announce").replaceChildren(element("span", "", "The list of documents has changed."));
});
