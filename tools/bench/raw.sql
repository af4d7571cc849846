\set n random(1, :owners)
WITH owner AS (
    SELECT account_id, store_id, gen_random_uuid() AS id, now() AS at FROM bench_owners WHERE n = :n
), token AS (
    INSERT INTO api_tokens (account_id, id, store_id, name, client_id, client_secret_digest, client_secret_key, scopes,
        allowed_ip_ranges, created_at, created_by_kind, created_by_id, created_by_name)
    SELECT account_id, id, store_id, 'Order sync', replace(gen_random_uuid()::text, '-', ''),
        sha256(uuid_send(gen_random_uuid())), 'benchkey', 'store_v2_orders store_v2_orders_read_only store_v2_products_read_only',
        '', at, 'USER', account_id, 'owner@bench.example'
    FROM owner
), access AS (
    INSERT INTO access_tokens (account_id, api_token_id, id, digest, digest_key, hint, created_at)
    SELECT account_id, id, gen_random_uuid(), sha256(uuid_send(gen_random_uuid())), 'benchkey', 'lks_…abcd', at FROM owner
)
INSERT INTO audit_events (account_id, id, at, actor_kind, actor_id, actor_name, action, target_kind, target_key, target_name,
    ip, request_id, details, version, sequence, data, era, position)
SELECT account_id, gen_random_uuid(), at, 'USER', account_id, 'owner@bench.example', 'api_token.created', 'apiToken', id::text,
    'Order sync', '127.0.0.1', gen_random_uuid()::text, '[{"name": "scopes", "value": "store_v2_orders store_v2_orders_read_only"}]',
    1, 1, '{"id":"bc/account/apiToken/' || id || '","name":"Order sync","level":"STORE","store":{"id":"bc/account/store/' || store_id
        || '","storeHash":"shop1"},"clientId":"0123456789abcdef0123456789abcdef","scopes":["store_v2_orders",'
        || '"store_v2_orders_read_only","store_v2_products_read_only"],"status":"ACTIVE","allowedIpRanges":[],"chargeLimit": null,'
        || '"createdAt":' || to_json(at) || ',"createdBy":{"kind":"USER","id":"bc/account/user/' || account_id
        || '","name":"owner@bench.example"},"expiresAt": null,"lastUsedAt": null,"lastUsedIp": null,"revokedAt": null,'
        || '"revokedBy": null,"revocationReason": null}', 1, pg_current_xact_id()
FROM owner;
