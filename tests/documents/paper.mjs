// A document as a long article leaves it: 260,000 edits of one character, typed where the cursor is, corrected, and moved about.
// It is made from a seed: the traces of editing that are published come with no package.

import * as Y from "yjs";

import { chance } from "./player.mjs";

export const EDITS = 260_000;

/** The updates of all edits, `together` of them merged into one, as saves would have it. */
export function paper(edits = EDITS, together = 1000, seed = 7) {
  const random = chance(seed);
  const doc = new Y.Doc();
  doc.clientID = 1;
  const text = doc.getText("text");
  const parts = [];
  let some = [];
  doc.on("update", (update) => {
    some.push(update);
    if (some.length < together) return;
    parts.push(Y.mergeUpdates(some));
    some = [];
  });
  let at = 0;
  for (let i = 0; i < edits; i++) {
    if (random() < 0.01) at = Math.floor(random() * (text.length + 1)); // the cursor is put elsewhere
    if (random() < 0.3 && at > 0) text.delete(--at, 1);
    else text.insert(at++, String.fromCharCode(97 + Math.floor(random() * 26)));
  }
  if (some.length) parts.push(Y.mergeUpdates(some));
  return { parts, doc };
}
