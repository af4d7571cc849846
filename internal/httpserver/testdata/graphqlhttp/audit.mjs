// Audits a running server against the GraphQL over HTTP specification, with the checks of the package graphql-http:
//
//   LATCHKEY_AUDIT_URL=http://127.0.0.1:8080/accounts/…/graphql LATCHKEY_AUDIT_TOKEN=lka_… node audit.mjs
//
// It prints a line for each audit, "ok" or "not ok", requirement, id and what was asked, and below a failed one why. The
// exit status is 0 when every MUST and every SHOULD is ok, 1 when one is not, 2 when no audit could be made. What a
// server MAY do is reported only.
import { serverAudits } from 'graphql-http';

const url = process.env.LATCHKEY_AUDIT_URL;
const token = process.env.LATCHKEY_AUDIT_TOKEN;
if (!url || !token) {
  console.error('audit.mjs needs LATCHKEY_AUDIT_URL and LATCHKEY_AUDIT_TOKEN');
  process.exit(2);
}

// The specification leaves authentication to the server; every audited request carries ours.
const fetchFn = (resource, init = {}) => {
  const headers = new Headers(init.headers);
  headers.set('X-Auth-Token', token);
  return fetch(resource, { ...init, headers, redirect: 'error', signal: AbortSignal.timeout(30_000) });
};

// How many audits there are of each kind, so that a release which drops some is noticed, not taken for success.
const expected = { MUST: 13, SHOULD: 23 };
const counts = {};

for (const audit of serverAudits({ url, fetchFn })) {
  const requirement = audit.name.split(' ', 1)[0];
  let result;
  try {
    result = await audit.fn();
  } catch (error) {
    // Thrown on what is no verdict: a connection refused, a time-out.
    console.error(`no answer from the server in ${audit.id} ${audit.name}: ${error.cause ?? error}`);
    process.exit(2);
  }
  const ok = result.status === 'ok';
  console.log(`${ok ? 'ok' : 'not ok'} ${audit.id} ${audit.name}`);
  if (!ok) console.log(`  ${result.reason}`);
  const count = (counts[requirement] ??= { ok: 0, all: 0 });
  count.all += 1;
  if (ok) count.ok += 1;
}

for (const [requirement, count] of Object.entries(counts)) {
  console.log(`${requirement}: ${count.ok} of ${count.all}`);
}
const passed = Object.entries(expected).every(
  ([requirement, all]) => counts[requirement]?.ok === all && counts[requirement].all === all,
);
process.exit(passed ? 0 : 1);
