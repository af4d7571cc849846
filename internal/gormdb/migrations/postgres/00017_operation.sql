-- +goose Up

-- Which programs work with this schema: those whose newest migration is
-- oldest_program or a later one (docs/upgrading.md). A migration that contracts
-- raises it.
CREATE TABLE schema_support (
    id             bigint NOT NULL PRIMARY KEY CHECK (id = 1),
    oldest_program bigint NOT NULL
);
INSERT INTO schema_support (id, oldest_program) VALUES (1, 15);

-- The row that readiness checks update to find out whether writing works.
CREATE TABLE write_checks (
    id         bigint      NOT NULL PRIMARY KEY CHECK (id = 1),
    checked_at timestamptz NOT NULL
) WITH (fillfactor = 50);
INSERT INTO write_checks (id, checked_at) VALUES (1, now());

-- The keys that a replica has, separated by spaces; it issues under the first.
-- Empty for a replica that does not say.
ALTER TABLE replicas ADD COLUMN key_ids text NOT NULL DEFAULT '';
