// Bundles GraphiQL into ../static/graphiql: a script, a stylesheet, and the
// licences of all packages in them. It makes the same of the same files and
// package-lock.json everywhere.

import { build } from "esbuild";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const out = join(here, "../static/graphiql");
const read = (...path) => readFileSync(join(here, ...path), "utf8").replaceAll("\r\n", "\n");

// GraphiQL's fonts are 350 kB of its stylesheet, and the panel has its own.
const withoutFonts = {
  name: "without-fonts",
  setup: (own) => own.onLoad({ filter: /graphiql[\\/]dist[\\/]style\.css$/ }, ({ path }) => (
    { contents: readFileSync(path, "utf8").replace(/@font-face\s*\{[^}]*\}/g, ""), loader: "css" }
  )),
};

// What GraphiQL calls otherwise than the panel would. A text that is no longer in it is an error.
const words = {
  "<untitled>": "Untitled",
  "Clear storage": "Saved queries",
  "Remove all locally stored data and start fresh.": "Deletes the tabs and the history that this window keeps.",
  "Clear data": "Delete",
  "Cleared data": "Deleted",
};
const missing = new Set(Object.keys(words));
const named = {
  name: "named",
  setup: (own) => own.onLoad({ filter: /(@graphiql[\\/]react|[\\/]graphiql)[\\/]dist[\\/]index\.mjs$/ }, ({ path }) => {
    let contents = readFileSync(path, "utf8");
    for (const [from, to] of Object.entries(words)) {
      if (contents.includes(`"${from}"`)) missing.delete(from);
      contents = contents.replaceAll(`"${from}"`, `"${to}"`);
    }
    return { contents, loader: "js" };
  }),
};

const { metafile } = await build({
  absWorkingDir: here,
  entryPoints: ["graphiql.js"],
  outdir: out,
  bundle: true,
  minify: true,
  metafile: true,
  charset: "utf8",
  format: "esm",
  target: "es2022",
  legalComments: "none", // licences.txt has them
  define: { "process.env.NODE_ENV": '"production"' },
  alias: { "react-style-singleton": "./styles.js" },
  plugins: [withoutFonts, named],
});

if (missing.size > 0) throw new Error(`GraphiQL does not say ${[...missing].join(", ")}`);

// licence is what a package in a folder is under.
function licence(folder) {
  const { name, version, license, author, repository } = JSON.parse(read(folder, "package.json"));
  const file = readdirSync(join(here, folder)).sort().find((each) => /^(licen[cs]e|copying)/i.test(each));
  if (file) return `${name} ${version} (${license})\n\n${read(folder, file).trim()}\n`;
  if (license !== "MIT") throw new Error(`${name} has no text of its licence, ${license}`);
  const by = [author?.name ?? author, repository?.url ?? repository].filter(Boolean).join(", ") || "its authors";
  return `${name} ${version} (${license})\n\nCopyright (c) ${by}. The package has no text of its licence; it is this:\n\n${read("mit.txt")}`;
}

const folders = new Set(Object.keys(metafile.inputs).flatMap((path) => path.match(/^.*node_modules\/(?:@[^/]+\/)?[^/]+/) ?? []));
const line = `\n${"-".repeat(80)}\n\n`;
writeFileSync(join(out, "licences.txt"), [...folders].sort().map(licence).join(line));
