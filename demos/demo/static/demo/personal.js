// What is said to the user rather than to a channel, on every page that opens a connection: who is connected anywhere counts
// as told, so each such page has to show it. For who is nowhere connected the chat keeps a notice.

import { jackfield } from "../django_jackfield/jackfield.js";
import { toast } from "./page.js";

/** A personal message, by whatever way it came. */
export function personal({ event, data }) {
  if (event !== "mention") return;
  const { author, text, room, title } = data;
  const isHere = document.visibilityState === "visible" && location.pathname === room;
  if (!isHere) toast(`${author.name} mentioned you in ${title}: ${text.slice(0, 80)}`, { href: room });
}

/** Hears them over the page's WebSocket, which this opens. */
export const hearPersonal = () => jackfield.on("mention", (data) => personal({ event: "mention", data }));
