-- Sessions are listed and ended by person. Those of people who had ceased to
-- own anything in the account did not work but were not ended: they would have
-- begun anew had these people come to own something there again.

-- +goose Up
CREATE INDEX sessions_live ON sessions (user_id, account_id) WHERE ended_at IS NULL;
UPDATE sessions SET ended_at = CAST(unixepoch('subsec') * 1000000 AS INTEGER) WHERE ended_at IS NULL
    AND NOT EXISTS (SELECT 1 FROM accounts AS a WHERE a.id = sessions.account_id AND a.owner_id = sessions.user_id)
    AND NOT EXISTS (SELECT 1 FROM stores AS s WHERE s.account_id = sessions.account_id AND s.owner_id = sessions.user_id);
