-- Addresses are composed again after their case is removed, and domains are compared
-- exactly as they are looked up. The program folds the addresses anew after this
-- migration, since SQL cannot.

-- +goose Up
UPDATE schema_support SET oldest_program = oldest_program;
