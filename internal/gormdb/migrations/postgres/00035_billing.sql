-- Automated billing (docs/billing.md). account_id is the merchant's account, which
-- is charged, and partner_id the account whose app charges. Amounts are integers in
-- minor units of the currency, such as cents.

-- +goose Up
CREATE TABLE checkouts (
    account_id      uuid        NOT NULL REFERENCES accounts (id),
    id              uuid        NOT NULL UNIQUE,
    partner_id      uuid        NOT NULL REFERENCES accounts (id),
    state           text        NOT NULL,
    created_at      timestamptz NOT NULL,
    created_by_kind text        NOT NULL,
    created_by_id   uuid,
    created_by_name text        NOT NULL,
    expires_at      timestamptz NOT NULL,
    -- The moment of the preview that the change was shown with, if there was one.
    as_of           timestamptz,
    approved_at     timestamptz,
    approved_by     uuid,
    declined_at     timestamptz,
    declined_by     uuid,
    -- The key and the digest of the request that created the checkout; null without a
    -- key, and once the key may be used again.
    idempotency_key text,
    request_digest  bytea,
    PRIMARY KEY (account_id, id)
);
CREATE INDEX checkouts_partner ON checkouts (partner_id, id);
CREATE UNIQUE INDEX checkouts_key ON checkouts (partner_id, idempotency_key) WHERE idempotency_key IS NOT NULL;

CREATE TABLE checkout_items (
    account_id       uuid   NOT NULL,
    checkout_id      uuid   NOT NULL,
    ordinal          bigint NOT NULL,
    app_id           bigint NOT NULL REFERENCES apps (id),
    store_id         uuid   NOT NULL,
    level            text   NOT NULL,
    description      text   NOT NULL,
    redirect_url     text   NOT NULL,
    billing_interval text   NOT NULL,
    price            bigint NOT NULL,
    currency         text   NOT NULL,
    -- The usage cap; null without one.
    cap              bigint,
    trial_days       bigint NOT NULL,
    -- The subscription that the item changes, or that its approval created.
    subscription_id  uuid,
    changes          boolean NOT NULL,
    PRIMARY KEY (account_id, checkout_id, ordinal),
    FOREIGN KEY (account_id, checkout_id) REFERENCES checkouts (account_id, id)
);

CREATE TABLE subscriptions (
    account_id    uuid        NOT NULL REFERENCES accounts (id),
    id            uuid        NOT NULL UNIQUE,
    partner_id    uuid        NOT NULL REFERENCES accounts (id),
    store_id      uuid        NOT NULL,
    app_id        bigint      NOT NULL REFERENCES apps (id),
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    -- The first paid day at midnight.
    activated_at  timestamptz NOT NULL,
    trial_ends_at timestamptz,
    -- When the subscription ends or ended, and the last day of it at midnight.
    cancel_at     timestamptz,
    cancelled_at  timestamptz,
    -- Whether the subscription was cancelled immediately, so that the rest of its last
    -- period is credited.
    credits_rest  boolean     NOT NULL DEFAULT false,
    -- Set once the end is recorded in the event log.
    ended_at      timestamptz,
    suspended_at  timestamptz,
    -- Counts the changes.
    version       bigint      NOT NULL,
    -- Everything that fell due up to billed_until has its charge, and nothing more
    -- falls due before next_due_at; null if nothing does any more.
    billed_until  timestamptz NOT NULL,
    next_due_at   timestamptz,
    PRIMARY KEY (account_id, id)
);
CREATE INDEX subscriptions_partner ON subscriptions (partner_id, id);
CREATE INDEX subscriptions_updated ON subscriptions (partner_id, updated_at);
CREATE INDEX subscriptions_due ON subscriptions (next_due_at, id) WHERE next_due_at IS NOT NULL;

-- What was agreed from one moment on. Rows are never changed.
CREATE TABLE subscription_terms (
    account_id       uuid        NOT NULL,
    subscription_id  uuid        NOT NULL,
    seq              bigint      NOT NULL,
    from_at          timestamptz NOT NULL,
    level            text        NOT NULL,
    billing_interval text        NOT NULL,
    price            bigint      NOT NULL,
    currency         text        NOT NULL,
    cap              bigint,
    -- The item that the store's owner approved.
    checkout_id      uuid        NOT NULL,
    item             bigint      NOT NULL,
    approved_by      uuid        NOT NULL,
    PRIMARY KEY (account_id, subscription_id, seq),
    FOREIGN KEY (account_id, subscription_id) REFERENCES subscriptions (account_id, id),
    FOREIGN KEY (account_id, checkout_id, item) REFERENCES checkout_items (account_id, checkout_id, ordinal)
);

-- The times in which a subscription was suspended: [from_at, until_at).
CREATE TABLE subscription_suspensions (
    account_id      uuid        NOT NULL,
    subscription_id uuid        NOT NULL,
    seq             bigint      NOT NULL,
    from_at         timestamptz NOT NULL,
    until_at        timestamptz,
    PRIMARY KEY (account_id, subscription_id, seq),
    FOREIGN KEY (account_id, subscription_id) REFERENCES subscriptions (account_id, id)
);

CREATE TABLE invoices (
    account_id uuid        NOT NULL REFERENCES accounts (id),
    id         uuid        NOT NULL UNIQUE,
    -- Such as 2026-02.
    month      text        NOT NULL,
    -- Counts the account's invoices.
    number     bigint      NOT NULL,
    currency   text        NOT NULL,
    total      bigint      NOT NULL,
    issued_at  timestamptz NOT NULL,
    PRIMARY KEY (account_id, id),
    UNIQUE (account_id, month, currency),
    UNIQUE (account_id, number)
);

-- The only rows that are money. Amounts are signed.
CREATE TABLE charges (
    account_id      uuid        NOT NULL REFERENCES accounts (id),
    id              uuid        NOT NULL UNIQUE,
    -- Null, with subscription_id and term, for what is carried from one invoice to the
    -- next.
    partner_id      uuid,
    subscription_id uuid,
    term            bigint,
    kind            text        NOT NULL,
    amount          bigint      NOT NULL,
    currency        text        NOT NULL,
    -- The period that the charge is for: [period_start, period_end).
    period_start    timestamptz,
    period_end      timestamptz,
    -- Decides the month of the invoice.
    due_at          timestamptz NOT NULL,
    created_at      timestamptz NOT NULL,
    -- What the charge is for, so that it exists only once (internal/billing/due.go).
    source_key      text        NOT NULL,
    status          text        NOT NULL,
    invoice_id      uuid,
    credit_of       uuid,
    description     text        NOT NULL,
    -- Of the request that created the charge; null for charges that fell due.
    request_digest  bytea,
    api_token_id    uuid,
    PRIMARY KEY (account_id, id),
    UNIQUE (account_id, source_key),
    FOREIGN KEY (account_id, subscription_id) REFERENCES subscriptions (account_id, id),
    FOREIGN KEY (account_id, invoice_id) REFERENCES invoices (account_id, id)
);
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
    account_id uuid NOT NULL PRIMARY KEY REFERENCES accounts (id)
);

-- The test clock, which billing goes by where it is set.
CREATE TABLE billing_clock (
    id  bigint      NOT NULL PRIMARY KEY CHECK (id = 1),
    now timestamptz NOT NULL
);

-- The one billing run at a time. Another may begin once until_at has passed.
CREATE TABLE billing_lease (
    id       bigint      NOT NULL PRIMARY KEY CHECK (id = 1),
    holder   uuid        NOT NULL,
    until_at timestamptz NOT NULL
);
