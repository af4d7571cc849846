// Runs Lighthouse on pages of the control panel, in its mobile profile: a slow
// phone with a slow network. It starts bin/latchkey with the demo, uses the
// session of its owner, and fails if a page scores less than it should. With the name of
// a Markdown file, it also writes the scores into it.
//
//	node tools/lighthouse/audit.mjs [docs/benchmarks.md]

import lighthouse, { generateReport } from "lighthouse";
import puppeteer from "puppeteer-core";
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
const reports = join(root, "tmp/lighthouse");
const rounds = Number(process.env.ROUNDS ?? 3);

// The lowest scores, and for the explorer the latest first contentful paint in
// milliseconds. Its bundle is GraphiQL, so it may load for longer than a page.
const scores = { performance: 95, accessibility: 100, "best-practices": 100 };
const explorer = { ...scores, performance: 80 };
const latestPaint = 2000;

const folder = mkdtempSync(join(tmpdir(), "latchkey-lighthouse-"));
const latchkey = join(root, "bin/latchkey");
const database = ["--database", `sqlite:${join(folder, "demo.db")}`];
const server = spawn(latchkey,
  ["serve", "--demo", "--output", "json", "--addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0", "--rate-limits", "off",
    ...database],
  { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
let browser;
try {
  const demo = await started();
  browser = await puppeteer.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
      "--disable-component-update", "--disable-sync", "--no-proxy-server"],
  });
  const results = await audit(demo);
  report(results);
  process.exitCode = results.some(({ misses }) => misses.length > 0) ? 1 : 0;
} finally {
  await browser?.close();
  server.kill();
  rmSync(folder, { recursive: true, force: true });
}

// started waits for the server and returns what it prints: its URL, the
// account, and a session of its owner.
async function started() {
  const said = [];
  server.stderr.on("data", (text) => said.push(text));
  let printed = "";
  for await (const text of server.stdout) {
    printed += text;
    if (printed.endsWith("}\n")) {
      return JSON.parse(printed);
    }
  }
  throw new Error(`bin/latchkey did not start:\n${said.join("")}`);
}

async function audit({ url, accountId, sessionToken }) {
  const account = `${url}/accounts/${accountId}`;
  for (const name of ["Order export", "Audit archive", "HR provisioning"]) {
    execFileSync(latchkey, ["token", "create", "--account", accountId, "--name", name, "--scope", "account_read",
      "--expires-in", "90d", ...database], { cwd: folder, stdio: ["ignore", "pipe", "inherit"] });
  }
  const signedOut = await measured("Sign-in", `${url}/signin`, scores);
  const page = await browser.newPage();
  await browser.setCookie({ name: "__Host-latchkey", value: sessionToken, domain: new URL(url).hostname, path: "/",
    secure: true, httpOnly: true });
  await page.goto(`${account}/tokens`);
  const row = await page.waitForSelector("main th[scope=row] a");
  const token = await row.evaluate((link) => link.href);
  await page.close();
  return [
    signedOut,
    await measured("Token list", `${account}/tokens`, scores),
    await measured("Create form", `${account}/tokens/new`, scores),
    await measured("Token detail", token, scores),
    await measured("API explorer", `${account}/graphiql`, explorer, latestPaint),
  ];
}

// measured audits a page several times and keeps the round with the median
// performance.
async function measured(name, url, wanted, paint) {
  const all = [];
  for (let round = 0; round < rounds; round++) {
    const page = await browser.newPage();
    const { lhr } = await lighthouse(url, { onlyCategories: Object.keys(scores), disableStorageReset: true,
      logLevel: "error" }, undefined, page);
    await page.close();
    if (lhr.runtimeError || lhr.finalDisplayedUrl !== url) {
      throw new Error(`${name}: got ${lhr.runtimeError?.message ?? lhr.finalDisplayedUrl}, want an audit of ${url}`);
    }
    all.push(lhr);
  }
  all.sort((a, b) => a.categories.performance.score - b.categories.performance.score);
  const lhr = all[Math.floor(all.length / 2)];
  mkdirSync(reports, { recursive: true });
  writeFileSync(join(reports, `${name.toLowerCase().replaceAll(" ", "-")}.html`), generateReport(lhr, "html"));
  const got = Object.fromEntries(Object.keys(scores).map((key) => [key, Math.round(lhr.categories[key].score * 100)]));
  const ms = (key) => Math.round(lhr.audits[key].numericValue);
  const misses = Object.entries(wanted).filter(([key, least]) => got[key] < least)
    .map(([key, least]) => `${key}: got ${got[key]}, want at least ${least}`);
  if (ms("first-contentful-paint") >= (paint ?? Infinity)) {
    misses.push(`first contentful paint: got ${ms("first-contentful-paint")} ms, want less than ${paint} ms`);
  }
  for (const audit of Object.values(lhr.audits)) {
    const of = ["accessibility", "best-practices"].find((key) => (
      lhr.categories[key].auditRefs.some(({ id, weight }) => id === audit.id && weight > 0)));
    if (of && audit.score !== null && audit.score < 1) {
      misses.push(`${of}: ${audit.title} (${audit.id})`);
    }
  }
  return { name, got, paint: ms("first-contentful-paint"), largest: ms("largest-contentful-paint"),
    blocked: ms("total-blocking-time"), misses, lhr };
}

function report(results) {
  const seconds = (ms) => `${(ms / 1000).toFixed(1)} s`;
  const rows = results.map(({ name, got, paint, largest, blocked }) => (
    `| ${name} | ${got.performance} | ${got.accessibility} | ${got["best-practices"]} | ${seconds(paint)} |`
    + ` ${seconds(largest)} | ${blocked} ms |`));
  const table = ["| page | performance | accessibility | best practices | first paint | largest paint | blocked |",
    "|---|---|---|---|---|---|---|", ...rows].join("\n");
  console.log(table);
  for (const { name, misses } of results) {
    misses.forEach((miss) => console.log(`${name}: ${miss}`));
  }
  console.log(`Reports: ${reports}`);
  const [into] = process.argv.slice(2);
  if (into) {
    const { lhr } = results[0];
    const how = `Measured on ${lhr.fetchTime.slice(0, 10)} with Lighthouse ${lhr.lighthouseVersion} and Chromium `
      + `${/Chrome\/(\d+)/.exec(lhr.environment.hostUserAgent)[1]} on ${cpus().length} cores, median of ${rounds} rounds.`;
    const [begin, end] = ["<!-- lighthouse -->", "<!-- /lighthouse -->"];
    const text = readFileSync(into, "utf8");
    if (!text.includes(begin) || !text.includes(end)) {
      throw new Error(`${into}: got no lines ${begin} and ${end}, want both`);
    }
    writeFileSync(into, text.slice(0, text.indexOf(begin) + begin.length) + `\n${how}\n\n${table}\n`
      + text.slice(text.indexOf(end)));
  }
}
