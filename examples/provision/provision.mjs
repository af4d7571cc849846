#!/usr/bin/env node
// Adds the users of a CSV file to an account, or removes them.
//
//     provision.mjs provision users.csv [--dry-run]
//     provision.mjs deprovision users.csv [--dry-run]
//
// It needs Node 18 and no packages. LATCHKEY_URL, LATCHKEY_ACCOUNT (a UUID) and
// LATCHKEY_TOKEN come from the environment. The exit status is 0 for
// success, 1 if rows or the request failed, 2 for wrong usage. Running it again
// is safe: what is saved already is UNCHANGED.

import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

const BATCH = 1000; // the maximum for one request

const query = (input, mutation, more) => `mutation($input: ${input}!) { account { result: ${mutation}(input: $input) {
  items { email action field code message ${more} }
  counts { created updated added unchanged removed failed } } } }`;

const QUERIES = {
  provision: query("ProvisionUsersInput", "provisionUsers", ""),
  deprovision: query("DeprovisionUsersInput", "deprovisionUsers", "apiTokensToReview { id name }"),
};

const TOKENS_SCOPE = "account_api_tokens_read"; // the scope that apiTokensToReview requires

// The file's columns, with their names in the API.
const COLUMNS = new Map(Object.entries({
  email: "email", first_name: "firstName", last_name: "lastName", locale: "locale",
  external_id: "externalId", stores: "stores", role: "role",
}));

// Exports and spreadsheets insert an apostrophe before a formula so that it is not evaluated.
const ESCAPE = /(?<=^|[;\t\r\n])'(?='*[=+\-@\t\r＝＋－＠])/g;

// delimiter returns the separator of the titles. Spreadsheets write semicolons
// where the comma separates decimals.
function delimiter(text) {
  const titles = text.split(/\r?\n/, 1)[0].replaceAll(/"[^"]*"/g, "");
  return titles.split(";").length > titles.split(",").length ? ";" : ",";
}

// rows splits CSV (RFC 4180) into cells, with the line where each row begins. A
// quoted cell may contain delimiters, line breaks and doubled quotes. Rows of
// empty cells are omitted.
function* rows(text) {
  const separator = delimiter(text);
  const cell = new RegExp(`(?:"((?:[^"]|"")*)"|([^"${separator}\\r\\n]*))(${separator}|\\r?\\n|$)`, "y");
  let cells = [];
  let line = 1;
  let next = 1;
  while (cell.lastIndex < text.length || cells.length > 0) {
    const at = cell.lastIndex;
    const found = cell.exec(text);
    if (!found) throw new Error(`the quotes are unbalanced at ${JSON.stringify(text.slice(at, at + 20))}`);
    cells.push(found[1]?.replaceAll('""', '"') ?? found[2]);
    next += found[0].split("\n").length - 1;
    if (found[3] === separator) continue;
    if (cells.some((text) => text.trim() !== "")) yield { line, cells };
    cells = [];
    line = next;
  }
}

// readUsers returns the users of the file. Empty cells are omitted. Invalid rows
// are passed to fail.
function readUsers(path, fail) {
  const text = new TextDecoder("utf-8", { fatal: true }).decode(readFileSync(path)); // also removes a byte order mark
  const [{ cells: titles } = { cells: [] }, ...lines] = rows(text);
  const unknown = titles.filter((title) => !COLUMNS.has(title));
  if (unknown.length > 0 || !titles.includes("email")) {
    throw new Error(`the columns are ${[...COLUMNS.keys()]}, email among them; not ${unknown}`);
  }
  return lines.flatMap(({ line, cells }) => {
    if (cells.length !== titles.length) {
      fail({ email: `line ${line}`, code: "INVALID", message: "The row and the first line have different numbers of cells." });
      return [];
    }
    const user = {};
    cells.forEach((cell, i) => {
      const value = cell.trim().replaceAll(ESCAPE, "");
      if (value !== "" || titles[i] === "email") user[COLUMNS.get(titles[i])] = value;
    });
    if (user.stores) user.stores = user.stores.split(";").map((store) => store.trim()).filter(Boolean);
    if (user.role) user.role = user.role.toUpperCase().split(/[\s_]+/).filter(Boolean).join("_"); // Sales Staff is SALES_STAFF
    return [user];
  });
}

// reason returns the text of an error, with its field and the scopes it requires.
function reason({ message, extensions: { field, requiredScopes: scopes = [] } = {} }) {
  return [field, message].filter(Boolean).join(": ") + (scopes.length > 0 ? ` It needs ${scopes.join(" and ")}.` : "");
}

// post sends a query, with retries while the server is busy or unreachable, and returns its data.
async function post(query, variables) {
  const url = `${process.env.LATCHKEY_URL.replace(/\/+$/, "")}/accounts/${process.env.LATCHKEY_ACCOUNT}/graphql`;
  const request = {
    method: "POST",
    redirect: "error", // the token is only for this server
    headers: { "Content-Type": "application/json", "X-Auth-Token": process.env.LATCHKEY_TOKEN },
    body: JSON.stringify({ query, variables }),
  };
  for (let attempt = 0; ; attempt++) {
    let pause = 2 ** attempt;
    try {
      const response = await fetch(url, { ...request, signal: AbortSignal.timeout(60_000) });
      if (![429, 502, 503, 504].includes(response.status) || attempt === 5) {
        // Errors have the same form for every status.
        const answer = await response.json().catch(() => ({}));
        if (!answer.errors && answer.data) return answer.data;
        const errors = answer.errors ?? [];
        const scopes = errors.flatMap((e) => e.extensions?.requiredScopes ?? []); // those that the token lacks
        throw Object.assign(new Error(errors.map(reason).join("; ") || `HTTP ${response.status}`), { final: true, scopes });
      }
      pause = Math.min(Number(response.headers.get("Retry-After")) || pause, 60);
    } catch (error) {
      if (error.final || attempt === 5) throw error;
    }
    await sleep(pause * 1000);
  }
}

// send sends a batch. If the token may not list API tokens, it sends it without them.
async function send(mode, users, dryRun) {
  try {
    return (await post(QUERIES[mode], { input: { users, dryRun } })).account.result;
  } catch (error) {
    if (!error.scopes?.includes(TOKENS_SCOPE) || !QUERIES[mode].includes("apiTokensToReview")) throw error;
  }
  console.error(`the API tokens to review are not listed: the token lacks the scope ${TOKENS_SCOPE}`);
  QUERIES[mode] = QUERIES[mode].replace("apiTokensToReview { id name }", "");
  return send(mode, users, dryRun);
}

async function main(args) {
  const dryRun = args.includes("--dry-run");
  const [mode, path, ...rest] = args.filter((arg) => arg !== "--dry-run");
  const missing = ["LATCHKEY_URL", "LATCHKEY_ACCOUNT", "LATCHKEY_TOKEN"].filter((name) => !process.env[name]);
  if (!QUERIES[mode] || !path || rest.length > 0 || missing.length > 0) {
    console.error(missing.length > 0 ? `set ${missing}` : "usage: provision.mjs provision|deprovision users.csv [--dry-run]");
    return 2;
  }
  const counts = { created: 0, updated: 0, added: 0, unchanged: 0, removed: 0, failed: 0 };
  const failed = ({ email, field, message, code }) => console.error(`${[email, field, message].filter(Boolean).join(": ")} (${code})`);
  try {
    const all = readUsers(path, (row) => {
      counts.failed++;
      failed(row);
    });
    for (let i = 0; i < all.length; i += BATCH) {
      const batch = all.slice(i, i + BATCH);
      const users = mode === "deprovision" ? batch.map(({ email }) => ({ email })) : batch;
      const result = await send(mode, users, dryRun);
      for (const [action, number] of Object.entries(result.counts)) counts[action] += number;
      for (const item of result.items) {
        if (item.action === "FAILED") failed(item);
        else if (dryRun && item.action !== "UNCHANGED") console.log(item.action, item.email);
        for (const token of item.apiTokensToReview ?? []) console.log(`review ${token.id} "${token.name}", which ${item.email} knows`);
      }
    }
  } catch (error) {
    console.error(`provision.mjs: ${error.message}${error.cause ? `: ${error.cause.message}` : ""}`);
    return 1;
  } finally {
    // Print the counts, even after an error.
    const done = Object.values(counts).some(Boolean);
    console.log(done ? Object.entries(counts).map(([action, number]) => `${number} ${action}`).join(", ") : "nothing done");
  }
  return counts.failed > 0 ? 1 : 0;
}

process.exitCode = await main(process.argv.slice(2));
