package gormdb

import (
	"context"
	"slices"

	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"latchkey/internal/auth"
	"latchkey/internal/directory"
)

// provisioningRow is the model of the last request of identity providers to an account.
type provisioningRow struct {
	AccountID uuid.UUID `gorm:"type:uuid;primaryKey"`
	At        instant   `gorm:"not null"`
	TokenID   uuid.UUID `gorm:"type:uuid;not null"`
	Method    string    `gorm:"not null"`
	Resource  string    `gorm:"not null"`
	Subject   string    `gorm:"not null"`
	Status    int64     `gorm:"not null"`

	Account *accountRow `gorm:"foreignKey:AccountID;references:ID"`
}

// TableName tells gorm the table.
func (provisioningRow) TableName() string { return "provisioning" }

// provisioningFailureRow is the model of a failed request of an identity provider.
type provisioningFailureRow struct {
	AccountID uuid.UUID `gorm:"type:uuid;primaryKey"`
	ID        uuid.UUID `gorm:"type:uuid;primaryKey"`
	At        instant   `gorm:"not null"`
	TokenID   uuid.UUID `gorm:"type:uuid;not null"`
	Method    string    `gorm:"not null"`
	Resource  string    `gorm:"not null"`
	Subject   string    `gorm:"not null"`
	Status    int64     `gorm:"not null"`
	Detail    string    `gorm:"not null"`
	RequestID string    `gorm:"not null"`

	Account *accountRow `gorm:"foreignKey:AccountID;references:ID"`
}

// TableName tells gorm the table.
func (provisioningFailureRow) TableName() string { return "provisioning_failures" }

// SaveRequests records the last request of each account, and the failed requests.
func (r directories) SaveRequests(ctx context.Context, requests []directory.Request) error {
	last := map[uuid.UUID]directory.Request{}
	var rows []provisioningRow
	var failures []provisioningFailureRow
	failing := map[uuid.UUID]bool{}
	for _, q := range requests {
		if known, is := last[q.AccountID]; !is || slices.Compare(q.ID[:], known.ID[:]) > 0 {
			last[q.AccountID] = q
		}
		if q.Failed() {
			failing[q.AccountID] = true
			failures = append(failures, provisioningFailureRow{AccountID: q.AccountID, ID: q.ID, At: instant{q.At},
				TokenID: q.TokenID, Method: q.Method, Resource: q.Resource, Subject: q.Subject, Status: int64(q.Status),
				Detail: q.Detail, RequestID: q.RequestID})
		}
	}
	for _, q := range last {
		rows = append(rows, provisioningRow{AccountID: q.AccountID, At: instant{q.At}, TokenID: q.TokenID,
			Method: q.Method, Resource: q.Resource, Subject: q.Subject, Status: int64(q.Status)})
	}
	// Servers that save at the same time change the rows in the same order.
	slices.SortFunc(rows, func(a, b provisioningRow) int { return slices.Compare(a.AccountID[:], b.AccountID[:]) })
	err := r.write(ctx, auth.NoActor("it records what was requested"), held{}, func(tx *gorm.DB) error {
		newer := replace([]string{"account_id"}, "at", "token_id", "method", "resource", "subject", "status")
		newer.Where = clause.Where{Exprs: []clause.Expression{clause.Expr{SQL: "provisioning.at <= excluded.at"}}}
		if len(rows) > 0 {
			if err := tx.Clauses(newer).CreateInBatches(rows, rowsPerInsert).Error; err != nil {
				return err
			}
		}
		if len(failures) == 0 {
			return nil
		}
		err := tx.CreateInBatches(failures, rowsPerInsert).Error
		for id := range failing {
			if err == nil {
				err = deleteOldFailures(tx, id)
			}
		}
		return err
	})
	return failed(ctx, "record the requests of identity providers", err)
}

// deleteOldFailures deletes the failed requests of an account before the newest directory.MaxFailures.
func deleteOldFailures(tx *gorm.DB, accountID uuid.UUID) error {
	return tx.Exec(`DELETE FROM provisioning_failures WHERE account_id = ? AND id NOT IN
		(SELECT id FROM provisioning_failures WHERE account_id = ? ORDER BY id DESC LIMIT ?)`,
		accountID, accountID, directory.MaxFailures).Error
}

// provisioningRequest is a recorded request with the name of its API token.
type provisioningRequest struct {
	Row       provisioningFailureRow `gorm:"embedded"`
	TokenName string
}

func (r provisioningRequest) request() directory.Request {
	return directory.Request{AccountID: r.Row.AccountID, ID: r.Row.ID, At: r.Row.At.Time, TokenID: r.Row.TokenID,
		TokenName: r.TokenName, Method: r.Row.Method, Resource: r.Row.Resource, Subject: r.Row.Subject,
		Status: int(r.Row.Status), Detail: r.Row.Detail, RequestID: r.Row.RequestID}
}

// Requests returns the recorded requests of an account.
func (r directories) Requests(ctx context.Context, accountID uuid.UUID) (last directory.Request,
	failures []directory.Request, err error) {
	read := func(table, order string) ([]provisioningRequest, error) {
		var rows []provisioningRequest
		q := r.engine.reader(ctx).Table(table+" AS r").Select("r.*, coalesce(t.name, '') AS token_name").
			Joins("LEFT JOIN api_tokens AS t ON t.account_id = r.account_id AND t.id = r.token_id").
			Where("r.account_id = ?", accountID)
		err := q.Order(order).Limit(directory.MaxFailures).Scan(&rows).Error
		return rows, failed(ctx, "read the requests of identity providers", err)
	}
	rows, err := read("provisioning", "r.at")
	if err != nil {
		return directory.Request{}, nil, err
	}
	for _, row := range rows {
		last = row.request()
	}
	if rows, err = read("provisioning_failures", "r.id DESC"); err != nil {
		return directory.Request{}, nil, err
	}
	for _, row := range rows {
		failures = append(failures, row.request())
	}
	return last, failures, nil
}
