// Uses a running server as a client of OAuth 2.0 does that knows nothing of it but its issuer, with the package
// oauth4webapi, which checks every answer against the RFCs:
//
//   LATCHKEY_ISSUER=http://127.0.0.1:8080 LATCHKEY_CLIENT_ID=… LATCHKEY_CLIENT_SECRET=lkc_… LATCHKEY_GATEWAY_ID=… LATCHKEY_GATEWAY_KEY=lkg_… LATCHKEY_OTHER_TOKEN=lka_… node client.mjs
//
// The client's API token must hold account_read and store_cart. A line for each step; the first that fails ends it.
import assert from 'node:assert/strict';
import * as oauth from 'oauth4webapi';

const { LATCHKEY_ISSUER, LATCHKEY_CLIENT_ID, LATCHKEY_CLIENT_SECRET, LATCHKEY_GATEWAY_ID, LATCHKEY_GATEWAY_KEY, LATCHKEY_OTHER_TOKEN } = process.env;
const issuer = new URL(LATCHKEY_ISSUER);
const client = { client_id: LATCHKEY_CLIENT_ID };
const options = { [oauth.allowInsecureRequests]: true, signal: () => AbortSignal.timeout(30_000) };

const step = (name) => console.log(`ok ${name}`);

// A gateway may authenticate with a bearer token as well as a client does, and a token about itself does.
const bearer = (value) => (_as, _client, _body, headers) => headers.set('authorization', `Bearer ${value}`);

const as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { ...options, algorithm: 'oauth2' }));
assert.deepEqual(as.introspection_endpoint_auth_methods_supported, ['client_secret_basic', 'client_secret_post', 'Bearer']);
assert.deepEqual(as.token_endpoint_auth_methods_supported, ['client_secret_basic', 'client_secret_post']);
assert.ok(as.scopes_supported.includes('store_cart'));
step('discovery');

const grant = async (auth, parameters) =>
  oauth.processClientCredentialsResponse(as, client, await oauth.clientCredentialsGrantRequest(as, client, auth, parameters, options));
const introspect = async (auth, token, by = client) =>
  oauth.processIntrospectionResponse(as, by, await oauth.introspectionRequest(as, by, auth, token, options));
const revoke = async (auth, token) =>
  oauth.processRevocationResponse(await oauth.revocationRequest(as, client, auth, token, options));

for (const [name, method] of [['client_secret_basic', oauth.ClientSecretBasic], ['client_secret_post', oauth.ClientSecretPost]]) {
  const auth = method(LATCHKEY_CLIENT_SECRET);
  const whole = await grant(auth, {});
  assert.equal(whole.token_type, 'bearer');
  assert.equal(whole.expires_in, 3600);
  assert.equal(whole.scope, 'account_read store_cart store_cart_read_only');
  const part = await grant(auth, { scope: 'store_cart_read_only' });
  assert.equal(part.scope, 'store_cart_read_only');
  step(`${name}: token`);

  const told = await introspect(bearer(LATCHKEY_GATEWAY_KEY), part.access_token);
  assert.equal(told.active, true);
  assert.equal(told.scope, 'store_cart_read_only');
  assert.equal(told.client_id, LATCHKEY_CLIENT_ID);
  assert.equal(told.iss, as.issuer);
  assert.ok(told.exp - told.iat === 3600 && Math.abs(told.iat - Date.now() / 1000) < 60);
  assert.deepEqual(await introspect(bearer(part.access_token), part.access_token), told);
  step(`${name}: introspection`);

  const gateway = { client_id: LATCHKEY_GATEWAY_ID };
  assert.deepEqual(await introspect(method(LATCHKEY_GATEWAY_KEY), part.access_token, gateway), told);
  assert.deepEqual(await introspect(auth, part.access_token), told);
  assert.deepEqual(await introspect(auth, LATCHKEY_OTHER_TOKEN), { active: false });
  assert.equal((await introspect(method(LATCHKEY_GATEWAY_KEY), LATCHKEY_OTHER_TOKEN, gateway)).active, true);
  step(`${name}: introspection by client authentication`);

  await revoke(auth, part.access_token);
  await revoke(auth, part.access_token);
  await revoke(auth, 'unknown');
  assert.deepEqual(await introspect(bearer(LATCHKEY_GATEWAY_KEY), part.access_token), { active: false });
  assert.equal((await introspect(bearer(LATCHKEY_GATEWAY_KEY), whole.access_token)).active, true);
  step(`${name}: revocation`);

  await assert.rejects(grant(auth, { scope: 'everything' }), (e) => e instanceof oauth.ResponseBodyError && e.error === 'invalid_scope' && e.status === 400);
  step(`${name}: an error in the body`);
}

// An answer with a challenge is an error of its own, with what the challenge says.
await assert.rejects(grant(oauth.ClientSecretBasic('wrong'), {}), (e) => e instanceof oauth.WWWAuthenticateChallengeError && e.cause[0].scheme === 'basic');
await assert.rejects(introspect(bearer('wrong'), 'token'), (e) =>
  e instanceof oauth.WWWAuthenticateChallengeError && e.cause[0].scheme === 'bearer' && e.cause[0].parameters.error === 'invalid_token');
step('challenges');
