// Somebody wrote @name: told on every page that the user has open. Where there is none, Django keeps a notice.

import { jackfield } from "../django_jackfield/jackfield.js";
import { toast } from "../demo/page.js";

jackfield.on("mention", ({ author, text, room, title }) => {
  const isHere = document.visibilityState === "visible" && location.pathname === room;
  if (!isHere) toast(`${author.name} mentioned you in ${title}: ${text.slice(0, 80)}`, { href: room });
});
