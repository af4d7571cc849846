-- +goose Up

-- Which programs work with this schema: those whose newest migration is
-- oldest_program or a later one (docs/upgrading.md). A migration that contracts
-- raises it.
CREATE TABLE schema_support (
    id             INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    oldest_program INTEGER NOT NULL
) STRICT;
INSERT INTO schema_support (id, oldest_program) VALUES (1, 15);

-- The row that readiness checks update to find out whether writing works.
CREATE TABLE write_checks (
    id         INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    checked_at INTEGER NOT NULL
) STRICT;
INSERT INTO write_checks (id, checked_at) VALUES (1, 0);
