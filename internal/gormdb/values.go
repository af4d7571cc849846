package gormdb

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"latchkey/internal/audit"
)

// instant is a moment in a row; the zero time is null. PostgreSQL keeps it as
// timestamptz. SQLite, which has no such type, keeps microseconds since 1970:
// a number is exact, sorts, and is smaller than any text that does.
type instant struct{ time.Time }

// GormDataType tells gorm that an instant is one column.
func (instant) GormDataType() string { return "time" }

// GormValue is the instant as an argument of the database at hand.
func (i instant) GormValue(_ context.Context, db *gorm.DB) clause.Expr {
	moment := postgresDialect.moment
	if db.Name() == sqliteDialect.name {
		moment = sqliteDialect.moment
	}
	return clause.Expr{SQL: "?", Vars: []any{moment(i.Time)}}
}

// Scan reads what either database holds.
func (i *instant) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		i.Time = time.Time{}
	case time.Time:
		i.Time = v.UTC()
	case int64:
		i.Time = time.UnixMicro(v).UTC()
	default:
		return fmt.Errorf("a moment cannot be read from %T", src)
	}
	return nil
}

// ScanTimestamptz spares pgx the detour over Scan.
func (i *instant) ScanTimestamptz(v pgtype.Timestamptz) error {
	i.Time = time.Time{}
	if v.Valid {
		i.Time = v.Time.UTC()
	}
	return nil
}

// key is a UUID read from a hand-written statement; null is the zero UUID.
type key uuid.UUID

// Scan reads what database/sql hands over.
func (k *key) Scan(src any) error { return (*uuid.UUID)(k).Scan(src) }

// ScanUUID spares pgx the detour over text.
func (k *key) ScanUUID(v pgtype.UUID) error {
	*k = v.Bytes
	return nil
}

// optional is a UUID whose zero value is null.
func optional(id uuid.UUID) uuid.NullUUID { return uuid.NullUUID{UUID: id, Valid: id != uuid.Nil} }

// optionalText is a text whose zero value is null.
func optionalText(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// joined and split keep a list of words, none of which holds a space, in one
// column.
func joined[T ~string](words []T) string {
	texts := make([]string, len(words))
	for i, w := range words {
		texts[i] = string(w)
	}
	return strings.Join(texts, " ")
}

func split[T ~string](column string) []T {
	fields := strings.Fields(column)
	words := make([]T, len(fields))
	for i, f := range fields {
		words[i] = T(f)
	}
	return words
}

func joinedRanges(ranges []netip.Prefix) string {
	texts := make([]string, len(ranges))
	for i, r := range ranges {
		texts[i] = r.String()
	}
	return strings.Join(texts, " ")
}

func splitRanges(column string) ([]netip.Prefix, error) {
	var ranges []netip.Prefix
	for _, text := range strings.Fields(column) {
		r, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("an address range as kept: %w", err)
		}
		ranges = append(ranges, r)
	}
	return ranges, nil
}

func parseAddr(column string) (netip.Addr, error) {
	if column == "" {
		return netip.Addr{}, nil
	}
	return netip.ParseAddr(column)
}

// detail is an audit.Detail as it stands in JSON. Details are a list and not
// an object: their order is part of the record.
type detail struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

func encodeDetails(details []audit.Detail) (string, error) {
	list := make([]detail, len(details))
	for i, d := range details {
		list[i] = detail(d)
	}
	text, err := json.Marshal(list)
	return string(text), err
}

func decodeDetails(column string) ([]audit.Detail, error) {
	var list []detail
	if err := json.Unmarshal([]byte(column), &list); err != nil {
		return nil, fmt.Errorf("an event's details as kept: %w", err)
	}
	details := make([]audit.Detail, len(list))
	for i, d := range list {
		details[i] = audit.Detail(d)
	}
	return details, nil
}
