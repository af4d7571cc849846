-- API tokens that are about to expire, or have expired, are reported in the log
-- (token.Expirations). expiry_stage is 1 once a token was reported as expiring,
-- and for tokens that are issued for a short time, which are not; and 2 once it was
-- reported as expired. Tokens that have expired already are not reported.
--
-- Events of store memberships have their own kind of target, so they need an index
-- of their own to find the users whom API tokens added or gave permissions
-- (audit_events_users).

-- +goose Up
ALTER TABLE api_tokens ADD COLUMN expiry_stage INTEGER NOT NULL DEFAULT 0;
UPDATE api_tokens SET expiry_stage = CASE WHEN expires_at <= unixepoch() * 1000000 THEN 2 ELSE 1 END
    WHERE expires_at <= unixepoch() * 1000000 OR expires_at <= created_at + 604800000000;
CREATE INDEX api_tokens_expiry ON api_tokens (expiry_stage, expires_at)
    WHERE revoked_at IS NULL AND expires_at IS NOT NULL AND expiry_stage < 2;

CREATE INDEX audit_events_store_users ON audit_events (account_id, actor_id, target_key)
    WHERE actor_kind = 'API_TOKEN' AND target_kind = 'storeUser';
