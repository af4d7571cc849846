-- +goose Up

-- The id in the instance file that the server keeps locked while it runs, so that
-- a later process with the same file can tell that this one has ended. Empty for
-- a server without one.
ALTER TABLE replicas ADD COLUMN instance text NOT NULL DEFAULT '';
