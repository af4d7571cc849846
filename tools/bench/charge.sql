\set n random(1, :subscriptions)
\set token random(1, 100)
WITH subscription AS (
    SELECT account_id, id AS subscription_id, partner_id, activated_at, next_due_at, gen_random_uuid() AS id, now() AS at,
        ('01910000-0000-7000-8000-' || lpad(to_hex(CAST(:token AS int)), 12, '0'))::uuid AS token_id
    FROM subscriptions WHERE id = ('01900000-0000-7000-8000-' || lpad(to_hex(CAST(:n AS int)), 12, '0'))::uuid
), charge AS (
    INSERT INTO charges (account_id, id, partner_id, subscription_id, term, kind, amount, currency, period_start, period_end,
        due_at, created_at, source_key, status, description, request_digest, api_token_id)
    SELECT account_id, id, partner_id, subscription_id, 0, 'USAGE', 125, 'USD', activated_at, next_due_at, at, at,
        'u/' || subscription_id || '/' || id, 'PENDING', '1,000 messages', sha256(uuid_send(id)), token_id
    FROM subscription
), total AS (
    INSERT INTO usage_totals (account_id, subscription_id, period_start, amount)
    SELECT account_id, subscription_id, activated_at, 125 FROM subscription
    ON CONFLICT (account_id, subscription_id, period_start) DO UPDATE SET amount = usage_totals.amount + excluded.amount
)
INSERT INTO audit_events (account_id, id, at, actor_kind, actor_id, actor_name, action, target_kind, target_key, target_name,
    ip, request_id, details, version, sequence, data, era, position)
SELECT partner_id, gen_random_uuid(), at, 'API_TOKEN', token_id, 'Billing', 'charge.created', 'charge', id::text,
    '1,000 messages', '127.0.0.1', gen_random_uuid()::text, '[]', 1, 1,
    '{"id":"bc/account/charge/' || id || '","subscriptionId":"bc/account/subscription/' || subscription_id
        || '","description":"1,000 messages","amount":{"currencyCode":"USD","value": 1.25},"kind":"USAGE","status":"PENDING"'
        || ',"periodStart":' || to_json(activated_at) || ',"periodEnd":' || to_json(next_due_at) || ',"createdAt":' || to_json(at)
        || ',"invoiceId": null, "creditOf": null}', 1, pg_current_xact_id()
FROM subscription;
