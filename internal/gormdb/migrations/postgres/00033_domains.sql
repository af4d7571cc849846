-- Addresses with İ, and those with a domain that has an invalid label, are compared
-- without joining different ones. The program folds the addresses anew after this
-- migration, since SQL cannot.

-- +goose Up
UPDATE schema_support SET oldest_program = oldest_program;
