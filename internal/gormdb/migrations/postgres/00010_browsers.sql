-- What sessions in browsers keep besides: how and when the person last proved
-- who they are, and where from. A session that the operator started has none.

-- +goose Up
ALTER TABLE sessions ADD COLUMN method text NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN authenticated_at timestamptz;
ALTER TABLE sessions ADD COLUMN ip text NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN user_agent text NOT NULL DEFAULT '';
