-- When a session was last used, a little late: servers gather uses and keep them
-- in batches. Null is a session that has not been used.

-- +goose Up
ALTER TABLE sessions ADD COLUMN last_used_at timestamptz;
