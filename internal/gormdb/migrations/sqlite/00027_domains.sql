-- Domains of addresses are compared as the domain name system compares them. The
-- program folds the addresses anew after this migration, since SQL cannot.

-- +goose Up
UPDATE schema_support SET oldest_program = oldest_program;
