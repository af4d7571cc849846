package gormdb

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"latchkey/internal/auth"
	"latchkey/internal/token"
)

// holders are who knows the secret of each token, by the token's id: people,
// or other tokens, whose bearers saw it.
type holders map[uuid.UUID]map[uuid.UUID]bool

// add adds who knows a token's secret, and reports whether any of them is new.
func (h holders) add(tokenID uuid.UUID, who map[uuid.UUID]bool) (grew bool) {
	if h[tokenID] == nil {
		h[tokenID] = map[uuid.UUID]bool{}
	}
	for id := range who {
		grew = grew || !h[tokenID][id]
		h[tokenID][id] = true
	}
	return grew
}

// tokens returns the ids of the tokens, in order.
func (h holders) tokens() []uuid.UUID {
	return slices.SortedFunc(maps.Keys(h), func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) })
}

// issuedBy finds the tokens that tokens created, whose client secret their
// bearers know for good, and those that they rotated, whose access token they
// know for as long as it works.
const issuedBy = `SELECT created_by_id AS issuer, id FROM api_tokens
		WHERE account_id = @account AND created_by_kind = 'API_TOKEN' AND created_by_id IN @issuers
	UNION SELECT seen_by_token, api_token_id FROM access_tokens
		WHERE account_id = @account AND seen_by_token IN @issuers AND ended_at IS NULL AND (expires_at IS NULL OR expires_at > @now)`

// addIssued adds the tokens that the tokens in h issued, and those that these
// issued, at every depth: who knows a token's secret could use it to issue and
// so knows theirs.
func (h holders) addIssued(tx *gorm.DB, accountID uuid.UUID, now time.Time) error {
	issuers := h.tokens()
	for len(issuers) > 0 {
		reached := map[uuid.UUID]bool{}
		for chunk := range slices.Chunk(issuers, peoplePerStatement) {
			var rows []struct{ Issuer, ID uuid.UUID }
			args := map[string]any{"account": accountID, "issuers": chunk, "now": instant{now}}
			if err := tx.Raw(issuedBy, args).Scan(&rows).Error; err != nil {
				return err
			}
			for _, r := range rows {
				if h.add(r.ID, h[r.Issuer]) {
					reached[r.ID] = true
				}
			}
		}
		issuers = slices.Collect(maps.Keys(reached))
	}
	return nil
}

// issuedFrom returns the ids of the tokens that tokens issued, at every depth,
// without the tokens themselves, in order.
func issuedFrom(tx *gorm.DB, accountID uuid.UUID, ids []uuid.UUID, now time.Time) ([]uuid.UUID, error) {
	h := holders{}
	for _, id := range ids {
		h.add(id, map[uuid.UUID]bool{id: true})
	}
	if err := h.addIssued(tx, accountID, now); err != nil {
		return nil, err
	}
	for _, id := range ids {
		delete(h, id)
	}
	return h.tokens(), nil
}

// IssuedBy returns the tokens that tokens of the account issued.
func (t tokens) IssuedBy(ctx context.Context, accountID uuid.UUID, ids []uuid.UUID, now time.Time) ([]token.Token, error) {
	tx := t.engine.reader(ctx)
	reached, err := issuedFrom(tx, accountID, ids, now)
	if err != nil {
		return nil, failed(ctx, "find the API tokens that API tokens issued", err)
	}
	var issued []token.Token
	for chunk := range slices.Chunk(reached, peoplePerStatement) {
		found, err := tokensByID(tx, accountID, chunk)
		if err != nil {
			return nil, failed(ctx, "read API tokens", err)
		}
		issued = append(issued, found...)
	}
	return issued, nil
}

// revokeWithIssued ends tokens and all that they issued. None of them issues
// meanwhile, since that waits for the lock on the issuer; so once a reading
// finds no token that is not locked, there is none.
func (t tokens) revokeWithIssued(ctx context.Context, by auth.Actor, e token.Ending) (ended token.Ended, err error) {
	err = t.write(ctx, by, held{tokensOf: e.AccountID, tokens: e.IDs, urgent: true}, func(tx *gorm.DB) error {
		asked, err := tokensByID(tx, e.AccountID, e.IDs)
		if err != nil {
			return err
		}
		found := make([]uuid.UUID, len(asked))
		for i, one := range asked {
			found[i] = one.ID
		}
		if ended.Unknown = missing(e.IDs, found); len(ended.Unknown) > 0 {
			return nil
		}
		issued, err := lockIssued(tx, e)
		if err != nil {
			return err
		}
		if _, err := endLive(tx, e, e.IDs); err != nil {
			return err
		}
		if ended.Issued, err = endLive(tx, e, issued); err != nil {
			return err
		}
		return t.engine.announce(tx, e.AccountID)
	})
	return ended, err
}

// lockIssued locks the tokens that those of the Ending issued against who acts
// by them, and returns them.
func lockIssued(tx *gorm.DB, e token.Ending) ([]uuid.UUID, error) {
	l := locker{tx: tx}
	for locked := 0; ; {
		issued, err := issuedFrom(tx, e.AccountID, e.IDs, e.Revocation.At)
		if err != nil || len(issued) == locked {
			return issued, err
		}
		if tx.Name() != sqliteDialect.name {
			l.lockTokens(e.AccountID, issued)
		}
		if l.err != nil {
			return nil, l.err
		}
		locked = len(issued)
	}
}
