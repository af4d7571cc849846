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
	"gorm.io/gorm/schema"

	"latchkey/internal/audit"
)

// instant is a time in a row; the zero time is null. PostgreSQL stores it as timestamptz. SQLite has no such type and
// stores microseconds since 1970: a number is exact, sorts correctly, and is smaller than any text that does.
type instant struct{ time.Time }

// GormDataType makes gorm treat an instant as one column.
func (instant) GormDataType() string { return "time" }

// GormDBDataType returns the type of the column, for gorm's migrator.
func (instant) GormDBDataType(db *gorm.DB, _ *schema.Field) string {
	if db.Name() == sqliteDialect.name {
		return "INTEGER"
	}
	return "timestamptz"
}

// GormValue returns the instant as an argument for the database in use.
func (i instant) GormValue(_ context.Context, db *gorm.DB) clause.Expr {
	timestamp := postgresDialect.timestamp
	if db.Name() == sqliteDialect.name {
		timestamp = sqliteDialect.timestamp
	}
	return clause.Expr{SQL: "?", Vars: []any{timestamp(i.Time)}}
}

// Scan reads the value of either database.
func (i *instant) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		i.Time = time.Time{}
	case time.Time:
		i.Time = v.UTC()
	case int64:
		i.Time = time.UnixMicro(v).UTC()
	default:
		return fmt.Errorf("a time cannot be read from %T", src)
	}
	return nil
}

// ScanTimestamptz lets pgx scan without Scan.
func (i *instant) ScanTimestamptz(v pgtype.Timestamptz) error {
	i.Time = time.Time{}
	if v.Valid {
		i.Time = v.Time.UTC()
	}
	return nil
}

// optionalKey is a UUID or null, read from a hand-written statement.
type optionalKey uuid.NullUUID

// Scan reads a value from database/sql.
func (k *optionalKey) Scan(src any) error { return (*uuid.NullUUID)(k).Scan(src) }

// ScanUUID lets pgx scan without a conversion to text.
func (k *optionalKey) ScanUUID(v pgtype.UUID) error {
	k.UUID, k.Valid = v.Bytes, v.Valid
	return nil
}

// key is a UUID read from a hand-written statement; null is the zero UUID.
type key uuid.UUID

// Scan reads a value from database/sql.
func (k *key) Scan(src any) error {
	if src == nil {
		*k = key{}
		return nil
	}
	return (*uuid.UUID)(k).Scan(src)
}

// ScanUUID lets pgx scan without a conversion to text.
func (k *key) ScanUUID(v pgtype.UUID) error {
	*k = v.Bytes
	return nil
}

// optional converts the zero UUID to null.
func optional(id uuid.UUID) uuid.NullUUID { return uuid.NullUUID{UUID: id, Valid: id != uuid.Nil} }

// optionalText converts an empty text to null.
func optionalText(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// joined and split convert a list of words without spaces to and from one column.
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
			return nil, fmt.Errorf("parse a stored address range: %w", err)
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

// detail is an audit.Detail in JSON. Details are a list and not an object because their order matters.
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
		return nil, fmt.Errorf("parse an event's details: %w", err)
	}
	details := make([]audit.Detail, len(list))
	for i, d := range list {
		details[i] = audit.Detail(d)
	}
	return details, nil
}
