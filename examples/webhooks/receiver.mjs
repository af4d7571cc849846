#!/usr/bin/env node
// Receives webhooks of Latchkey and prints their events.
//
//     WEBHOOK_SECRET=whsec_... receiver.mjs [PORT]
//
// It needs Node 18 and no packages, and listens on 127.0.0.1, port 9000 unless
// another is given. WEBHOOK_SECRET may have several secrets, separated by
// spaces. A request whose signature or time is wrong is refused, and an event
// that arrives again is dropped. Latchkey's docs/webhooks.md describes the
// requests.

import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const TOLERANCE = 5 * 60; // seconds by which a request's time may differ from this clock
const MAX_BODY = 64 * 1024; // bytes; Latchkey sends less
const MAX_SEEN = 10_000; // IDs of events that are kept to find duplicates

class Refused extends Error {}

// equal compares two texts in constant time.
function equal(a, b) {
  const [first, second] = [Buffer.from(a), Buffer.from(b)];
  return first.length === second.length && timingSafeEqual(first, second);
}

// verify returns the ID of the event, or throws Refused. The signature covers
// the ID, the time and the bytes of the body, so verify it before the body is
// parsed.
function verify(keys, headers, body, now) {
  const id = headers["webhook-id"] ?? "";
  const timestamp = headers["webhook-timestamp"] ?? "";
  if (id === "" || !/^[0-9]+$/.test(timestamp)) throw new Refused("a header is missing");
  if (Math.abs(now - Number(timestamp)) > TOLERANCE) throw new Refused("the time is too far from this clock");
  const given = (headers["webhook-signature"] ?? "").split(" ");
  for (const key of keys) {
    const expected = "v1," + createHmac("sha256", key).update(`${id}.${timestamp}.`).update(body).digest("base64");
    if (given.some((one) => equal(one, expected))) return id;
  }
  throw new Refused("no signature is valid");
}

// seen has the IDs of the events that were handled. A program that acts on
// events keeps them in its database instead, and adds the ID in the same
// transaction as its own change.
const seen = new Set();

function remember(id) {
  seen.add(id);
  if (seen.size > MAX_SEEN) seen.delete(seen.values().next().value);
}

// show prints an event on one line.
function show(event) {
  process.stdout.write(`verified ${event.type} sequence ${event.sequence} id ${event.id} ` +
    `data ${JSON.stringify(event.data ?? null)}\n`);
}

// read returns the body of a request, or undefined if it is too large.
async function read(request) {
  const parts = [];
  let size = 0;
  for await (const part of request) {
    size += part.length;
    if (size > MAX_BODY) return undefined;
    parts.push(part);
  }
  return Buffer.concat(parts);
}

// receive returns the status of the answer to a request.
async function receive(keys, request) {
  if (request.method !== "POST") return 405;
  const body = await read(request);
  if (body === undefined) return 413;
  const id = verify(keys, request.headers, body, Date.now() / 1000);
  if (!seen.has(id)) {
    show(JSON.parse(body));
    remember(id);
  }
  return 204;
}

// keyOf returns the key of a secret, or undefined for any other text. Buffer.from
// skips what is not base64, so the form is checked first.
function keyOf(secret) {
  const encoded = /^whsec_((?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4}))$/.exec(secret);
  return encoded ? Buffer.from(encoded[1], "base64") : undefined;
}

const keys = (process.env.WEBHOOK_SECRET ?? "").split(" ").filter((one) => one !== "").map(keyOf);
if (keys.length === 0 || keys.includes(undefined)) {
  console.error("set WEBHOOK_SECRET to the webhook's secret, whsec_ and base64");
  process.exit(1);
}

const server = createServer(async (request, response) => {
  let status = 400;
  try {
    status = await receive(keys, request);
  } catch (error) {
    console.error(`refused: ${error.message}`);
  }
  response.writeHead(status, status === 413 ? { Connection: "close" } : {}).end();
});

server.listen(Number(process.argv[2] ?? 9000), "127.0.0.1", () => {
  console.error(`listening on http://127.0.0.1:${server.address().port}`);
});
