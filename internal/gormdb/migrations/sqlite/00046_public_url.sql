-- The URL at which clients reach the servers of this database, as the server that started
-- last says. Commands print it in links and API paths.

-- +goose Up
CREATE TABLE public_url (
    id  INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    url TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
