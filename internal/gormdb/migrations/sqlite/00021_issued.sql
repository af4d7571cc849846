-- What API tokens did that outlives them: the tokens that they created or
-- rotated, and the users whom they added or gave permissions.

-- +goose Up
-- The API token that rotated and so saw the secret; null where it is none.
ALTER TABLE access_tokens ADD COLUMN seen_by_token TEXT;
UPDATE access_tokens SET seen_by_token = (SELECT e.actor_id FROM audit_events AS e
    WHERE e.account_id = access_tokens.account_id AND e.target_key = access_tokens.api_token_id AND e.action = 'api_token.rotated'
    AND e.actor_kind = 'API_TOKEN' AND EXISTS (SELECT 1 FROM json_each(e.details) AS d
        WHERE d.value ->> 'name' = 'hint' AND d.value ->> 'value' = access_tokens.hint));
CREATE INDEX access_tokens_seen_by_token ON access_tokens (account_id, seen_by_token) WHERE seen_by_token IS NOT NULL;

CREATE INDEX api_tokens_issued ON api_tokens (account_id, created_by_id) WHERE created_by_kind = 'API_TOKEN';
CREATE INDEX audit_events_users ON audit_events (account_id, actor_id, target_key)
    WHERE actor_kind = 'API_TOKEN' AND target_kind = 'user';
