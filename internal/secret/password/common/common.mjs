// Writes ../common.txt: the passwords of @zxcvbn-ts/language-common (MIT) that
// are long enough to be chosen here, in lower case and sorted, after the
// package's licence. It makes the same of the same package-lock.json everywhere.

import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const from = join(here, "node_modules/@zxcvbn-ts/language-common");
const { name, version, license } = JSON.parse(readFileSync(join(from, "package.json"), "utf8"));
if (license !== "MIT") {
  throw new Error(`${name} ${version} is under ${license}, not MIT`);
}

const minLength = 8; // MinLength in ../password.go
const all = JSON.parse(readFileSync(join(from, "src/passwords.json"), "utf8"))
  .map((text) => text.toLowerCase())
  .filter((text) => text.length >= minLength && /^[\x21-\x7e]+$/.test(text) && !text.startsWith("#"));
const passwords = [...new Set(all)].sort();

const notice = [
  `Common passwords, from ${name} ${version}, written by common/common.mjs.`, "",
  ...readFileSync(join(from, "LICENSE.txt"), "utf8").trim().split(/\r?\n/),
].map((line) => `# ${line}`.trimEnd());
writeFileSync(join(here, "../common.txt"), [...notice, ...passwords, ""].join("\n"));
