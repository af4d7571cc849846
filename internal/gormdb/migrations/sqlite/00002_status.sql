-- Accounts and stores can be suspended: none of their credentials works then.

-- +goose Up
ALTER TABLE accounts ADD COLUMN status text NOT NULL DEFAULT 'active';
ALTER TABLE stores ADD COLUMN status text NOT NULL DEFAULT 'active';
