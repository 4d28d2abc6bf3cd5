// Makes ../static/editor/vendor: one module, one sheet, and the licences of all that is in them.
//
//   npm ci && node build.mjs

import { readFile, writeFile, mkdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const at = (path) => fileURLToPath(new URL(path, import.meta.url));
const FOLDER = at("../static/editor/vendor");

await mkdir(FOLDER, { recursive: true });
const { metafile } = await build({
  entryPoints: [at("entry.js")],
  outfile: `${FOLDER}/editor-bundle.js`,
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  metafile: true,
  legalComments: "none", // all of them are in LICENSES.txt
});
await writeFile(`${FOLDER}/quill.core.css`, (await readFile(at("node_modules/quill/dist/quill.core.css"), "utf8")).replace(/\n?\/\*# sourceMappingURL.*\*\//, ""));

const packages = new Set(Object.keys(metafile.inputs).map((path) => path.match(/node_modules\/((?:@[^/]+\/)?[^/]+)/)?.[1]).filter(Boolean));
const parts = [];
for (const name of [...packages].sort()) {
  const { version, license, repository } = JSON.parse(await readFile(at(`node_modules/${name}/package.json`), "utf8"));
  let text = "";
  for (const file of ["LICENSE", "LICENSE.md", "LICENSE.txt", "license"]) text ||= await readFile(at(`node_modules/${name}/${file}`), "utf8").catch(() => "");
  if (!text && license !== "MIT") throw new Error(`${name} (${license}) has no licence text`);
  text ||= `MIT, in the words of the packages above and below; this one has no copy of them: ${repository.url}`;
  parts.push(`${name} ${version} (${license})\n\n${text.trim()}`);
}
await writeFile(`${FOLDER}/LICENSES.txt`, `${parts.join(`\n\n${"-".repeat(80)}\n\n`)}\n`);
console.log([...packages].sort().join(" "));
