package gormdb

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"latchkey/internal/auth"
	"latchkey/internal/token"
)

func (s *sqlite) insertToken(ctx context.Context, by auth.Actor, d token.Draft) (outcome insertion, err error) {
	rows, err := newIssuedRows(d)
	if err != nil {
		return 0, err
	}
	err = write(ctx, s, by, held{tokensOf: d.Token.AccountID}, func(tx *gorm.DB) error {
		outcome, err = s.insertIn(ctx, tx.Statement.ConnPool.(*writing), d, &rows)
		return err
	})
	return outcome, err
}

// The statements that issue a token. Rows are inserted with VALUES: for rows from a SELECT, SQLite would keep a
// statement journal to undo each statement.
var (
	countAccountTokens = countLive("$1", "$2", "")
	countStoreTokens   = countLive("$1", "$2", "$3")

	insertTokenRow  = insertRow(tokenColumns)
	insertAccessRow = insertRow(accessColumns)
)

func insertRow[R any](c columns[R]) string {
	values, _ := c.values(1)
	return c.insertInto() + "VALUES (" + values + ")"
}

// insertIn inserts the rows of a draft. Unless it returns inserted, it has written nothing.
func (s *sqlite) insertIn(ctx context.Context, tx *writing, d token.Draft, rows *issuedRows) (insertion,
	error) {
	to := sqliteDialect
	count, owner := countAccountTokens, []any{to.id(d.Token.AccountID), to.timestamp(d.Token.CreatedAt)}
	if d.Token.StoreID != uuid.Nil {
		count, owner = countStoreTokens, append(owner, to.id(d.Token.StoreID))
	}
	var live int
	s.onStatement(count)
	if err := tx.QueryRowContext(ctx, count, owner...).Scan(&live); err != nil || live >= d.MaxLive {
		return limitReached, err
	}
	err := tx.run(ctx, insertTokenRow, tokenColumns.arguments(nil, to, &rows.token))
	if sqliteCode(err) == sqliteForeignKey {
		return ownerMissing, nil
	}
	if err == nil {
		err = tx.run(ctx, insertAccessRow, accessColumns.arguments(nil, to, &rows.access))
	}
	if err == nil {
		err = tx.appendEvents(ctx, []eventRow{rows.event})
	}
	return inserted, err
}

func (s *sqlite) revokeTokens(ctx context.Context, by auth.Actor, e token.RevocationDraft) (unknown []uuid.UUID,
	err error) {
	err = write(ctx, s, by, held{tokensOf: e.AccountID, urgent: true}, func(tx *gorm.DB) error {
		requested, err := tokensByID(tx, e.AccountID, e.IDs)
		if err != nil {
			return err
		}
		var found []uuid.UUID
		var live []token.Token
		for _, t := range requested {
			if e.OnlyStores != nil && !slices.Contains(e.OnlyStores, t.StoreID) {
				continue
			}
			found = append(found, t.ID)
			if t.Revocation == nil {
				live = append(live, t)
			}
		}
		if unknown = missing(e.IDs, found); len(unknown) > 0 || len(live) == 0 {
			return nil
		}
		return revokeEach(tx, e, live)
	})
	return unknown, err
}

// noting is the actor of last uses, which are saved after the requests.
var noting = auth.NoActor("last uses are saved")

// saveUses passes each batch as one argument: the driver searches all arguments for each parameter, which would be
// slow for thousands.
func (s *sqlite) saveUses(ctx context.Context, ofTokens, ofAccess []use) error {
	tokens, err := usesAsJSON(ofTokens)
	if err != nil {
		return err
	}
	accesses, err := usesAsJSON(ofAccess)
	if err != nil {
		return err
	}
	return write(ctx, s, noting, held{}, func(tx *gorm.DB) error {
		if err := tx.Exec(`UPDATE api_tokens AS t SET last_used_at = u.at, last_used_ip = u.ip `+fromUses+
			`WHERE t.account_id = u.account_id AND t.id = u.token_id AND (t.last_used_at IS NULL OR t.last_used_at < u.at)`, tokens).Error; err != nil {
			return err
		}
		return tx.Exec(`UPDATE access_tokens AS x SET last_used_at = u.at, last_used_ip = u.ip `+fromUses+
			`WHERE x.account_id = u.account_id AND x.api_token_id = u.token_id AND x.id = u.access_id
				AND (x.last_used_at IS NULL OR x.last_used_at < u.at)`, accesses).Error
	})
}

const fromUses = `FROM (SELECT value ->> 'AccountID' AS account_id, value ->> 'TokenID' AS token_id, value ->> 'AccessID' AS access_id,
		value ->> 'At' AS at, value ->> 'IP' AS ip FROM json_each(?)) AS u `

func usesAsJSON(list []use) (string, error) {
	type row struct {
		AccountID, TokenID, AccessID uuid.UUID
		At                           int64
		IP                           *string
	}
	rows := make([]row, len(list))
	for i, u := range list {
		rows[i] = row{u.accountID, u.tokenID, u.accessID, u.at.UnixMicro(), u.ip}
	}
	batch, err := json.Marshal(rows)
	return string(batch), err
}
