-- Automated billing (docs/billing.md). account_id is the merchant's account, which
-- is charged, and partner_id the account whose app charges. Amounts are integers in
-- minor units of the currency, such as cents.

-- +goose Up
CREATE TABLE checkouts (
    account_id      TEXT     NOT NULL REFERENCES accounts (id),
    id              TEXT     NOT NULL UNIQUE,
    partner_id      TEXT     NOT NULL REFERENCES accounts (id),
    state           TEXT     NOT NULL,
    created_at      INTEGER  NOT NULL,
    created_by_kind TEXT     NOT NULL,
    created_by_id   TEXT,
    created_by_name TEXT     NOT NULL,
    expires_at      INTEGER  NOT NULL,
    -- The moment of the preview that the change was shown with, if there was one.
    as_of           INTEGER,
    approved_at     INTEGER,
    approved_by     TEXT,
    declined_at     INTEGER,
    declined_by     TEXT,
    -- The key and the digest of the request that created the checkout; null without a
    -- key, and once the key may be used again.
    idempotency_key TEXT,
    request_digest  BLOB,
    PRIMARY KEY (account_id, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX checkouts_partner ON checkouts (partner_id, id);
CREATE UNIQUE INDEX checkouts_key ON checkouts (partner_id, idempotency_key) WHERE idempotency_key IS NOT NULL;

CREATE TABLE checkout_items (
    account_id       TEXT     NOT NULL,
    checkout_id      TEXT     NOT NULL,
    ordinal          INTEGER  NOT NULL,
    app_id           INTEGER  NOT NULL REFERENCES apps (id),
    store_id         TEXT     NOT NULL,
    level            TEXT     NOT NULL,
    description      TEXT     NOT NULL,
    redirect_url     TEXT     NOT NULL,
    billing_interval TEXT     NOT NULL,
    price            INTEGER  NOT NULL,
    currency         TEXT     NOT NULL,
    -- The usage cap; null without one.
    cap              INTEGER,
    trial_days       INTEGER  NOT NULL,
    -- The subscription that the item changes, or that its approval created.
    subscription_id  TEXT,
    changes          INTEGER  NOT NULL,
    PRIMARY KEY (account_id, checkout_id, ordinal),
    FOREIGN KEY (account_id, checkout_id) REFERENCES checkouts (account_id, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE subscriptions (
    account_id    TEXT     NOT NULL REFERENCES accounts (id),
    id            TEXT     NOT NULL UNIQUE,
    partner_id    TEXT     NOT NULL REFERENCES accounts (id),
    store_id      TEXT     NOT NULL,
    app_id        INTEGER  NOT NULL REFERENCES apps (id),
    created_at    INTEGER  NOT NULL,
    updated_at    INTEGER  NOT NULL,
    -- The first paid day at midnight.
    activated_at  INTEGER  NOT NULL,
    trial_ends_at INTEGER,
    -- When the subscription ends or ended, and the last day of it at midnight.
    cancel_at     INTEGER,
    cancelled_at  INTEGER,
    -- Whether the subscription was cancelled immediately, so that the rest of its last
    -- period is credited.
    credits_rest  INTEGER  NOT NULL DEFAULT 0,
    -- Set once the end is recorded in the event log.
    ended_at      INTEGER,
    suspended_at  INTEGER,
    -- Counts the changes.
    version       INTEGER  NOT NULL,
    -- Everything that fell due up to billed_until has its charge, and nothing more
    -- falls due before next_due_at; null if nothing does any more.
    billed_until  INTEGER  NOT NULL,
    next_due_at   INTEGER,
    PRIMARY KEY (account_id, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX subscriptions_partner ON subscriptions (partner_id, id);
CREATE INDEX subscriptions_updated ON subscriptions (partner_id, updated_at);
CREATE INDEX subscriptions_due ON subscriptions (next_due_at, id) WHERE next_due_at IS NOT NULL;

-- What was agreed from one moment on. Rows are never changed.
CREATE TABLE subscription_terms (
    account_id       TEXT     NOT NULL,
    subscription_id  TEXT     NOT NULL,
    seq              INTEGER  NOT NULL,
    from_at          INTEGER  NOT NULL,
    level            TEXT     NOT NULL,
    billing_interval TEXT     NOT NULL,
    price            INTEGER  NOT NULL,
    currency         TEXT     NOT NULL,
    cap              INTEGER,
    -- The item that the store's owner approved.
    checkout_id      TEXT     NOT NULL,
    item             INTEGER  NOT NULL,
    approved_by      TEXT     NOT NULL,
    PRIMARY KEY (account_id, subscription_id, seq),
    FOREIGN KEY (account_id, subscription_id) REFERENCES subscriptions (account_id, id),
    FOREIGN KEY (account_id, checkout_id, item) REFERENCES checkout_items (account_id, checkout_id, ordinal)
) STRICT, WITHOUT ROWID;

-- The times in which a subscription was suspended: [from_at, until_at).
CREATE TABLE subscription_suspensions (
    account_id      TEXT     NOT NULL,
    subscription_id TEXT     NOT NULL,
    seq             INTEGER  NOT NULL,
    from_at         INTEGER  NOT NULL,
    until_at        INTEGER,
    PRIMARY KEY (account_id, subscription_id, seq),
    FOREIGN KEY (account_id, subscription_id) REFERENCES subscriptions (account_id, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE invoices (
    account_id TEXT    NOT NULL REFERENCES accounts (id),
    id         TEXT    NOT NULL UNIQUE,
    -- Such as 2026-02.
    month      TEXT    NOT NULL,
    -- Counts the account's invoices.
    number     INTEGER NOT NULL,
    currency   TEXT    NOT NULL,
    total      INTEGER NOT NULL,
    issued_at  INTEGER NOT NULL,
    PRIMARY KEY (account_id, id),
    UNIQUE (account_id, month, currency),
    UNIQUE (account_id, number)
) STRICT, WITHOUT ROWID;

-- The only rows that are money. Amounts are signed.
CREATE TABLE charges (
    account_id      TEXT     NOT NULL REFERENCES accounts (id),
    id              TEXT     NOT NULL UNIQUE,
    -- Null, with subscription_id and term, for what is carried from one invoice to the
    -- next.
    partner_id      TEXT,
    subscription_id TEXT,
    term            INTEGER,
    kind            TEXT     NOT NULL,
    amount          INTEGER  NOT NULL,
    currency        TEXT     NOT NULL,
    -- The period that the charge is for: [period_start, period_end).
    period_start    INTEGER,
    period_end      INTEGER,
    -- Decides the month of the invoice.
    due_at          INTEGER  NOT NULL,
    created_at      INTEGER  NOT NULL,
    -- What the charge is for, so that it exists only once (internal/billing/due.go).
    source_key      TEXT     NOT NULL,
    status          TEXT     NOT NULL,
    invoice_id      TEXT,
    credit_of       TEXT,
    description     TEXT     NOT NULL,
    -- Of the request that created the charge; null for charges that fell due.
    request_digest  BLOB,
    api_token_id    TEXT,
    PRIMARY KEY (account_id, id),
    UNIQUE (account_id, source_key),
    FOREIGN KEY (account_id, subscription_id) REFERENCES subscriptions (account_id, id),
    FOREIGN KEY (account_id, invoice_id) REFERENCES invoices (account_id, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX charges_partner ON charges (partner_id, id);
CREATE INDEX charges_subscription ON charges (account_id, subscription_id, period_start);
CREATE INDEX charges_pending ON charges (due_at, account_id) WHERE status = 'PENDING';
-- Also of the charges of a merchant that no invoice has yet.
CREATE INDEX charges_invoice ON charges (account_id, invoice_id, due_at, id);
CREATE INDEX charges_credits ON charges (account_id, credit_of) WHERE credit_of IS NOT NULL;
CREATE INDEX charges_token ON charges (api_token_id, due_at) WHERE api_token_id IS NOT NULL;

-- Money is counted for one merchant at a time: writes share the row, and the writer
-- that issues an invoice excludes them.
CREATE TABLE billing_merchants (
    account_id TEXT NOT NULL PRIMARY KEY REFERENCES accounts (id)
) STRICT, WITHOUT ROWID;

-- The test clock, which billing goes by where it is set.
CREATE TABLE billing_clock (
    id  INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    now INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The one billing run at a time. Another may begin once until_at has passed.
CREATE TABLE billing_lease (
    id       INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    holder   TEXT    NOT NULL,
    until_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
