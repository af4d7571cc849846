-- A browser that switches accounts, or proves again who its user is, gets a new
-- session in the place of the one before. origin_id is the first of them, so that
-- all can be ended by the id of any. Null is a session that replaced none.

-- +goose Up
ALTER TABLE sessions ADD COLUMN origin_id TEXT;
CREATE INDEX sessions_origin ON sessions (origin_id) WHERE origin_id IS NOT NULL AND ended_at IS NULL;
-- Sessions are ended by their ids, in whichever account.
CREATE INDEX sessions_id ON sessions (id);
