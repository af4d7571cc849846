-- +goose NO TRANSACTION
-- The addresses of existing members, in slices, so that no write waits long for a row.

-- +goose Up
-- +goose StatementBegin
-- works with older programs: it changes only the new column
DO $$
DECLARE
    account uuid := '00000000-0000-0000-0000-000000000000';
    member uuid := '00000000-0000-0000-0000-000000000000';
BEGIN
    LOOP
        WITH slice AS (
            SELECT m.account_id, m.user_id FROM account_users AS m WHERE (m.account_id, m.user_id) > (account, member)
            ORDER BY m.account_id, m.user_id LIMIT 2000
        ), filled AS (
            UPDATE account_users AS m SET email = u.email FROM slice AS s JOIN users AS u ON u.id = s.user_id
            WHERE m.account_id = s.account_id AND m.user_id = s.user_id AND m.email = ''
        )
        SELECT s.account_id, s.user_id INTO account, member FROM slice AS s
            ORDER BY s.account_id DESC, s.user_id DESC LIMIT 1;
        EXIT WHEN NOT FOUND;
        COMMIT;
    END LOOP;
END
$$;
-- +goose StatementEnd
