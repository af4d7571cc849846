-- The sum of the usage charges of a period that are not deleted, in minor units. It
-- is kept with them, so that no request sums all charges of a period.

-- +goose Up
CREATE TABLE usage_totals (
    account_id      TEXT NOT NULL,
    subscription_id TEXT NOT NULL,
    period_start    INTEGER NOT NULL,
    amount          INTEGER NOT NULL,
    PRIMARY KEY (account_id, subscription_id, period_start),
    FOREIGN KEY (account_id, subscription_id) REFERENCES subscriptions (account_id, id)
);
INSERT INTO usage_totals (account_id, subscription_id, period_start, amount)
    SELECT account_id, subscription_id, period_start, sum(amount) FROM charges
    WHERE kind = 'USAGE' AND status <> 'DELETED' GROUP BY account_id, subscription_id, period_start;
