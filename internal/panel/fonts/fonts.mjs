// Copies the typeface Inter into ../static/fonts: the variable font with weights
// 100 to 900, split into Latin and extended Latin, and its licence. It makes the
// same of the same package-lock.json everywhere.

import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const from = join(here, "node_modules/@fontsource-variable/inter");
const out = join(here, "../static/fonts");
const { name, version, license } = JSON.parse(readFileSync(join(from, "package.json"), "utf8"));
if (license !== "OFL-1.1") throw new Error(`${name} ${version} is under ${license}, not OFL-1.1`);

mkdirSync(out, { recursive: true });
for (const subset of ["latin", "latin-ext"]) {
  copyFileSync(join(from, `files/inter-${subset}-wght-normal.woff2`), join(out, `inter-${subset}.woff2`));
}
const text = readFileSync(join(from, "LICENSE"), "utf8").replaceAll("\r\n", "\n").trim();
writeFileSync(join(out, "licence.txt"), `${name} ${version} (${license})\n\n${text}\n`);
