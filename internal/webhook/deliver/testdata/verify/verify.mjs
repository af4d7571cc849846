// Verifies requests with the npm packages standardwebhooks and svix. This version of svix has an implementation of its
// own. REQUESTS is a JSON list of {secret, headers, body}. Each library must accept each request, and refuse it with
// another body, another ID, an old timestamp or without one of its headers.
import assert from "node:assert/strict";
import { Webhook as Standard } from "standardwebhooks";
import { Webhook as Svix } from "svix";

const requests = JSON.parse(process.env.REQUESTS);
for (const [name, Webhook] of Object.entries({ standardwebhooks: Standard, svix: Svix })) {
  for (const { secret, headers, body } of requests) {
    const webhook = new Webhook(secret);
    assert.deepEqual(webhook.verify(body, headers), JSON.parse(body));
    assert.throws(() => webhook.verify(body + " ", headers), "a changed body");
    assert.throws(() => webhook.verify(body, { ...headers, "webhook-id": "other" }), "another ID");
    const old = String(Number(headers["webhook-timestamp"]) - 3600);
    assert.throws(() => webhook.verify(body, { ...headers, "webhook-timestamp": old }), "an old timestamp");
    for (const header of Object.keys(headers)) {
      const { [header]: _, ...rest } = headers;
      assert.throws(() => webhook.verify(body, rest), `no ${header}`);
    }
  }
  console.log(`${name}: verified ${requests.length}`);
}
