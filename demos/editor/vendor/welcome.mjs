// What new documents of the demo begin with: npm ci && node welcome.mjs writes the files of ../seed.
import { writeFile } from "node:fs/promises";

import * as Y from "yjs";

const line = (insert, attributes) => [{ insert }, { insert: "\n", ...(attributes && { attributes }) }];
const documents = {
  welcome: [
    ...line("Welcome", { header: 1 }),
    { insert: "This text belongs to everybody whom its owner lets in. " },
    { insert: "Open it in a second window", attributes: { bold: true } },
    { insert: " as another user, and write in both at once.\n" },
    ...line("Things to try", { header: 2 }),
    ...line("Cut the network, write on, and let it come back.", { list: "bullet" }),
    ...line("Share it with cy, who may only read, and change that while cy looks.", { list: "bullet" }),
    ...line("Go back in time: History, above.", { list: "bullet" }),
  ],
  minutes: [
    ...line("Minutes of the studio", { header: 1 }),
    ...line("Present: ann, bob, cy."),
    ...line("The patch bay is to be labelled anew.", { list: "ordered" }),
    ...line("Somebody has to buy cables.", { list: "ordered" }),
  ],
};
for (const [name, text] of Object.entries(documents)) {
  const doc = new Y.Doc();
  doc.clientID = 1; // whoever runs this gets the same bytes
  doc.getText("text").applyDelta(text);
  await writeFile(new URL(`../seed/${name}.yjs`, import.meta.url), Y.encodeStateAsUpdate(doc));
}
