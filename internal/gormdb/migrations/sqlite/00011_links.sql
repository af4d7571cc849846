-- One-time links: who opens one proves who they are, once. A link is gone when
-- it is used or ended, so that what is there and not expired works.

-- +goose Up
CREATE TABLE links (
    id         TEXT    NOT NULL PRIMARY KEY,
    purpose    TEXT    NOT NULL,
    -- Whose it is, which account invited them, and who was shown it, if it was
    -- not the operator; null where it has none.
    user_id    TEXT    REFERENCES users,
    account_id TEXT    REFERENCES accounts,
    shown_to   TEXT    REFERENCES users,
    -- The server that offers to set the first account up; empty otherwise.
    server     TEXT    NOT NULL,
    digest     BLOB    NOT NULL UNIQUE,
    digest_key TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX links_person ON links (user_id);
CREATE INDEX links_expired ON links (expires_at);

-- The account whose people may know a person's password, because they chose it
-- or could: the person signs in to that account alone until they proved that
-- the address is theirs. All passwords so far were chosen so, when the person
-- was created, which took them into their first account.
ALTER TABLE users ADD COLUMN vouched_by TEXT REFERENCES accounts;
UPDATE users SET vouched_by = (SELECT m.account_id FROM account_users AS m WHERE m.user_id = users.id ORDER BY m.created_at, m.account_id LIMIT 1)
    WHERE password_hash IS NOT NULL;
