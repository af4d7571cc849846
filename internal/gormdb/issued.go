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

// clockSkew is how much the clocks of the servers that share a database may differ (docs/replicas.md).
const clockSkew = time.Minute

// period is the time in which a holder could use a token, because a secret that the holder received worked.
type period struct {
	from time.Time
	// until is zero if the secret works without an end.
	until time.Time
	// ended is set if the secret was revoked: it no longer works, by every clock.
	ended bool
}

// contains reports whether the secret may have worked at t. Servers write these times by their own clocks, so what
// happened within clockSkew of the period counts: a token too many is reviewed, rather than one too few.
func (p period) contains(t time.Time) bool {
	return !t.Before(p.from.Add(-clockSkew)) && (p.until.IsZero() || !t.After(p.until.Add(clockSkew)))
}

func (p period) covers(q period) bool {
	return !q.from.Before(p.from) && (p.until.IsZero() || !q.until.IsZero() && !q.until.After(p.until)) &&
		(q.ended || !p.ended)
}

func (p period) isOpen(now time.Time) bool {
	return !p.ended && (p.until.IsZero() || p.until.After(now))
}

// holders maps the ID of each token to the IDs of its holders, which are users or other tokens, and each holder to the
// periods in which it could use the token. A token is a holder on behalf of its bearers.
type holders map[uuid.UUID]map[uuid.UUID][]period

// add adds a period, and reports whether it is not covered by a known one.
func (h holders) add(tokenID, holder uuid.UUID, p period) bool {
	known := h[tokenID][holder]
	if slices.ContainsFunc(known, func(k period) bool { return k.covers(p) }) {
		return false
	}
	if h[tokenID] == nil {
		h[tokenID] = map[uuid.UUID][]period{}
	}
	h[tokenID][holder] = append(known, p)
	return true
}

// of returns the holders that can use the token after now.
func (h holders) of(tokenID uuid.UUID, now time.Time) []uuid.UUID {
	var all []uuid.UUID
	for holder, periods := range h[tokenID] {
		if slices.ContainsFunc(periods, func(p period) bool { return p.isOpen(now) }) {
			all = append(all, holder)
		}
	}
	return all
}

// tokens returns the IDs of the tokens that a holder can use after now, in order.
func (h holders) tokens(now time.Time) []uuid.UUID {
	ids := slices.DeleteFunc(slices.Collect(maps.Keys(h)),
		func(id uuid.UUID) bool { return len(h.of(id, now)) == 0 })
	slices.SortFunc(ids, func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) })
	return ids
}

// secretRow is a secret that was created: the token that it is of, who received it, and when it works.
type secretRow struct {
	Holder, ID       uuid.UUID
	FromTime, EndsAt instant
	Ended            bool
}

func (r secretRow) period() period { return period{r.FromTime.Time, r.EndsAt.Time, r.Ended} }

// issuedBy finds the secrets that tokens received: those of the tokens that they created, whose client secret works
// without an end, and those of the tokens that they rotated. It includes what no longer works: other tokens could be
// issued with it before.
const issuedBy = `SELECT created_by_id AS holder, id, created_at AS from_time, NULL AS ends_at, 1 = 0 AS ended FROM api_tokens
		WHERE account_id = @account AND created_by_kind = 'API_TOKEN' AND created_by_id IN @issuers
	UNION ALL SELECT seen_by_token, api_token_id, created_at, COALESCE(ended_at, expires_at), ended_at IS NOT NULL FROM access_tokens
		WHERE account_id = @account AND seen_by_token IN @issuers`

// addIssued adds the tokens that the tokens in h issued while their holders could use them, at every depth: the
// holders received their secrets.
func (h holders) addIssued(tx *gorm.DB, accountID uuid.UUID) error {
	issuers := slices.Collect(maps.Keys(h))
	for len(issuers) > 0 {
		reached := map[uuid.UUID]bool{}
		for chunk := range slices.Chunk(issuers, usersPerStatement) {
			var rows []secretRow
			args := map[string]any{"account": accountID, "issuers": chunk}
			if err := tx.Raw(issuedBy, args).Scan(&rows).Error; err != nil {
				return err
			}
			for _, r := range rows {
				for holder, periods := range h[r.Holder] {
					could := func(p period) bool { return p.contains(r.FromTime.Time) }
					if slices.ContainsFunc(periods, could) && h.add(r.ID, holder, r.period()) {
						reached[r.ID] = true
					}
				}
			}
		}
		issuers = slices.Collect(maps.Keys(reached))
	}
	return nil
}

// issuedFrom returns the IDs of the tokens that the bearers of tokens can use because these issued them, at every
// depth, in order and without the tokens themselves.
func issuedFrom(tx *gorm.DB, accountID uuid.UUID, ids []uuid.UUID, now time.Time) ([]uuid.UUID, error) {
	h := holders{}
	for _, id := range ids {
		h.add(id, id, period{})
	}
	if err := h.addIssued(tx, accountID); err != nil {
		return nil, err
	}
	for _, id := range ids {
		delete(h, id)
	}
	return h.tokens(now), nil
}

// IssuedBy returns the tokens that tokens of the account issued.
func (t tokens) IssuedBy(ctx context.Context, accountID uuid.UUID, ids []uuid.UUID, now time.Time) ([]token.Token,
	error) {
	tx := t.engine.reader(ctx)
	reached, err := issuedFrom(tx, accountID, ids, now)
	if err != nil {
		return nil, failed(ctx, "find the API tokens that API tokens issued", err)
	}
	var issued []token.Token
	for chunk := range slices.Chunk(reached, usersPerStatement) {
		found, err := tokensByID(tx, accountID, chunk)
		if err != nil {
			return nil, failed(ctx, "read API tokens", err)
		}
		issued = append(issued, found...)
	}
	return issued, nil
}

// revokeWithIssued revokes tokens and all tokens that they issued. None of them can issue another meanwhile, because
// issuing waits for the lock on the issuer. So once a read finds only locked tokens, it has found all.
func (t tokens) revokeWithIssued(ctx context.Context, by auth.Actor,
	e token.RevocationDraft) (ended token.RevocationOutcome, err error) {
	h := held{tokensOf: e.AccountID, tokens: e.IDs, allTokens: true, urgent: true}
	err = t.write(ctx, by, h, func(tx *gorm.DB) error {
		requested, err := tokensByID(tx, e.AccountID, e.IDs)
		if err != nil {
			return err
		}
		found := make([]uuid.UUID, len(requested))
		for i, one := range requested {
			found[i] = one.ID
		}
		if ended.Unknown = missing(e.IDs, found); len(ended.Unknown) > 0 {
			return nil
		}
		issued, err := lockIssued(tx, e)
		if err != nil {
			return err
		}
		if _, err := revokeLive(tx, e, e.IDs); err != nil {
			return err
		}
		if ended.Issued, err = revokeLive(tx, e, issued); err != nil {
			return err
		}
		return t.engine.announce(tx, e.AccountID)
	})
	return ended, err
}

// lockIssued locks the tokens that the tokens of e issued, also against requests that use them, and returns them.
func lockIssued(tx *gorm.DB, e token.RevocationDraft) ([]uuid.UUID, error) {
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
