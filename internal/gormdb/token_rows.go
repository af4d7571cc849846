package gormdb

import (
	"fmt"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"latchkey/internal/audit"
	"latchkey/internal/page"
	"latchkey/internal/scope"
	"latchkey/internal/token"
)

type tokenRow struct {
	AccountID        uuid.UUID
	ID               uuid.UUID
	StoreID          uuid.NullUUID
	StoreHash        string `gorm:"->"` // of stores
	Name             string
	ClientID         string
	Scopes           string
	AllowedIPRanges  string
	CreatedAt        instant
	CreatedByKind    string
	CreatedByID      uuid.NullUUID
	CreatedByName    string
	ExpiresAt        instant
	LastUsedAt       instant
	LastUsedIP       *string
	RevokedAt        instant
	RevokedByKind    *string
	RevokedByID      uuid.NullUUID
	RevokedByName    *string
	RevocationReason *string
}

// tokenColumns are the columns of a tokenRow that a token is made of: those of
// api_tokens AS t and of stores AS s. The digest of its secret is not read.
const tokenColumns = `t.account_id, t.id, t.store_id, s.hash AS store_hash, t.name, t.client_id, t.scopes, t.allowed_ip_ranges,
	t.created_at, t.created_by_kind, t.created_by_id, t.created_by_name, t.expires_at, t.last_used_at, t.last_used_ip,
	t.revoked_at, t.revoked_by_kind, t.revoked_by_id, t.revoked_by_name, t.revocation_reason`

// TableName tells gorm the table.
func (tokenRow) TableName() string { return "api_tokens" }

func (r tokenRow) token() (token.Token, error) {
	ranges, err := splitRanges(r.AllowedIPRanges)
	if err != nil {
		return token.Token{}, err
	}
	lastIP, err := parseAddr(textOf(r.LastUsedIP))
	if err != nil {
		return token.Token{}, fmt.Errorf("an address as kept: %w", err)
	}
	t := token.Token{
		ID: r.ID, AccountID: r.AccountID, StoreID: r.StoreID.UUID, StoreHash: r.StoreHash, Name: r.Name, ClientID: r.ClientID,
		Scopes: scope.ParseSet(r.Scopes), AllowedIPRanges: ranges, CreatedAt: r.CreatedAt.Time,
		CreatedBy: audit.Actor{Kind: audit.ActorKind(r.CreatedByKind), ID: r.CreatedByID.UUID, Name: r.CreatedByName},
		ExpiresAt: r.ExpiresAt.Time, LastUsedAt: r.LastUsedAt.Time, LastUsedIP: lastIP,
	}
	if !r.RevokedAt.IsZero() {
		by := audit.Actor{Kind: audit.ActorKind(textOf(r.RevokedByKind)), ID: r.RevokedByID.UUID, Name: textOf(r.RevokedByName)}
		t.Revocation = &token.Revocation{At: r.RevokedAt.Time, By: by, Reason: textOf(r.RevocationReason)}
	}
	return t, nil
}

func (r tokenRow) item() (page.Item[token.Token], error) {
	t, err := r.token()
	return page.Item[token.Token]{Node: t, Key: r.ID}, err
}

// textOf is a text that may be null.
func textOf(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

type accessRow struct {
	AccountID  uuid.UUID
	APITokenID uuid.UUID
	ID         uuid.UUID
	Digest     []byte
	DigestKey  string
	Hint       string
	CreatedAt  instant
	ExpiresAt  instant
	EndedAt    instant
	SeenBy     uuid.NullUUID
	// SeenByToken is the API token that rotated and so saw the secret.
	SeenByToken uuid.NullUUID
	LastUsedAt  instant
	LastUsedIP  *string
}

// accessColumns are those that an access token is made of. The digest is not
// read.
var accessColumns = []string{"api_token_id", "id", "hint", "created_at", "expires_at", "last_used_at", "last_used_ip"}

// TableName tells gorm the table.
func (accessRow) TableName() string { return "access_tokens" }

func newAccessRow(accountID uuid.UUID, d token.AccessDraft) accessRow {
	return accessRow{
		AccountID: accountID, APITokenID: d.Record.APITokenID, ID: d.Record.ID,
		Digest: d.Digest.Digest[:], DigestKey: string(d.Digest.Key), Hint: d.Record.Hint,
		CreatedAt: instant{d.Record.CreatedAt}, ExpiresAt: instant{d.Record.ExpiresAt}, SeenBy: optional(d.SeenBy),
		SeenByToken: optional(d.SeenByToken),
	}
}

func (r accessRow) accessToken() (token.AccessToken, error) {
	lastIP, err := parseAddr(textOf(r.LastUsedIP))
	if err != nil {
		return token.AccessToken{}, fmt.Errorf("an address as kept: %w", err)
	}
	return token.AccessToken{
		ID: r.ID, APITokenID: r.APITokenID, Hint: r.Hint, CreatedAt: r.CreatedAt.Time, ExpiresAt: r.ExpiresAt.Time,
		LastUsedAt: r.LastUsedAt.Time, LastUsedIP: lastIP,
	}, nil
}

// endAccess ends those of the access tokens that q finds and that were not
// ended before, and returns how many those are. It asks for no date: what has
// expired by this server's clock may not have by another's. expires_at, which
// never becomes later, is set for servers of an earlier version, which go by it
// alone.
func endAccess(q *gorm.DB, at time.Time) (int64, error) {
	end := instant{at}
	ended := q.Model(&accessRow{}).Where("ended_at IS NULL").Updates(map[string]any{
		"ended_at": end, "expires_at": gorm.Expr("CASE WHEN expires_at < ? THEN expires_at ELSE ? END", end, end),
	})
	return ended.RowsAffected, ended.Error
}
