-- The sum of the usage charges of a period that are not deleted, in minor units. It
-- is kept with them, so that no request sums all charges of a period.

-- +goose Up
CREATE TABLE usage_totals (
    account_id      uuid NOT NULL,
    subscription_id uuid NOT NULL,
    period_start    timestamptz NOT NULL,
    amount          bigint NOT NULL,
    PRIMARY KEY (account_id, subscription_id, period_start),
    FOREIGN KEY (account_id, subscription_id) REFERENCES subscriptions (account_id, id)
);
INSERT INTO usage_totals (account_id, subscription_id, period_start, amount)
    SELECT account_id, subscription_id, period_start, sum(amount) FROM charges
    WHERE kind = 'USAGE' AND status <> 'DELETED' GROUP BY account_id, subscription_id, period_start;
