package gormdb

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/oauth"
	"latchkey/internal/paging"
	"latchkey/internal/token"
)

// tokens implements token.Repository.
type tokens struct{ *DB }

var _ token.Repository = tokens{}

// Tokens returns the repository of API tokens.
func (db *DB) Tokens() token.Repository { return tokens{db} }

// tokenWriter is the part of the work on tokens that each database does differently to be fast.
type tokenWriter interface {
	// insertToken inserts the draft if its owner exists and has fewer than MaxLive live tokens, and reports the
	// outcome.
	insertToken(ctx context.Context, by auth.Actor, d token.Draft) (insertion, error)
	// revokeTokens does the work of token.Repository.Revoke.
	revokeTokens(ctx context.Context, by auth.Actor, e token.RevocationDraft) (unknown []uuid.UUID, err error)
	// saveUses saves one batch of uses: at most one of each API token, and at most one of each access token. Both
	// lists are ordered by their keys. The second list has no entry for a use without an access token.
	saveUses(ctx context.Context, ofTokens, ofAccess []use) error
	// insertGrant inserts a granted access token and its event if the API token is not revoked and is below its
	// limit, and deletes some expired ones.
	insertGrant(ctx context.Context, by auth.Actor, d oauth.Draft) (insertion, error)
	// saveLegacyUses saves one batch of uses of legacy API accounts, at most one of each.
	saveLegacyUses(ctx context.Context, list []use) error
	// saveSessionUses saves one batch of uses of sessions, at most one of each.
	saveSessionUses(ctx context.Context, list []use) error
}

// insertion is the outcome of inserting a draft.
type insertion int

const (
	inserted insertion = iota
	ownerMissing
	limitReached
	// actorRefused: mayStill returns the reason.
	actorRefused
)

// Insert inserts a draft within its owner's limit.
func (t tokens) Insert(ctx context.Context, by auth.Actor, d token.Draft) error {
	outcome, err := t.engine.insertToken(ctx, by, d)
	t.stale(by, err)
	switch {
	case err != nil:
		return failed(ctx, "insert API token", err)
	case outcome == actorRefused:
		return t.refused(ctx, by)
	case outcome == ownerMissing:
		return noOwner(d.Token)
	case outcome == limitReached:
		return fault.Errorf(fault.LimitReached,
			"This %s has %d live API tokens, the most it may have. Revoke one that is not used.", placeOf(d.Token),
			d.MaxLive)
	}
	return nil
}

func noOwner(t token.Token) error {
	if t.StoreID == uuid.Nil {
		return noAccount()
	}
	return fault.Errorf(fault.NotFound, "There is no such store in this account.")
}

func placeOf(t token.Token) string {
	if t.StoreID == uuid.Nil {
		return "account"
	}
	return "store"
}

// Revoke revokes all the tokens or none.
func (t tokens) Revoke(ctx context.Context, by auth.Actor, e token.RevocationDraft) (token.RevocationOutcome, error) {
	var ended token.RevocationOutcome
	var err error
	if e.Issued {
		ended, err = t.revokeWithIssued(ctx, by, e)
	} else {
		ended.Unknown, err = t.engine.revokeTokens(ctx, by, e)
	}
	if errors.Is(err, errActorRefused) {
		err = t.refused(ctx, by)
	}
	if len(ended.Unknown) == 0 {
		// Another replica may have revoked the tokens before, and this one may not have received that change yet.
		// Therefore this is reported even if nothing was left to change.
		t.publish(err, concernedBy(e))
	}
	return ended, failed(ctx, "revoke API tokens", err)
}

// concernedBy returns the id to remove from caches when tokens are revoked. For one token that is the token, so that
// the account's other credentials stay cached. For several it is their account.
func concernedBy(e token.RevocationDraft) uuid.UUID {
	if len(e.IDs) == 1 && !e.Issued {
		return e.IDs[0]
	}
	return e.AccountID
}

// Change calls decide with a locked token and applies the change that it returns.
func (t tokens) Change(ctx context.Context, by auth.Actor, accountID, id uuid.UUID,
	decide func(token.Token, []token.AccessToken) (token.Change, error)) error {
	err := t.write(ctx, by, held{tokensOf: accountID, tokens: []uuid.UUID{id}, urgent: true}, func(tx *gorm.DB) error {
		locked, existing, err := tokenToChange(tx, accountID, id)
		if err != nil {
			return err
		}
		change, err := decide(locked, existing)
		if err != nil {
			return err
		}
		if err := keepChange(tx, locked, change); err != nil {
			return err
		}
		return t.engine.announce(tx, accountID)
	})
	t.publish(err, accountID)
	return failed(ctx, "change API token", err)
}

// tokenToChange reads a locked token and its access tokens that are not revoked.
func tokenToChange(tx *gorm.DB, accountID, id uuid.UUID) (token.Token, []token.AccessToken, error) {
	t, err := oneToken(tx, accountID, id)
	if err != nil {
		return token.Token{}, nil, err
	}
	var rows []accessRow
	q := tx.Select(listedAccessColumns).Where("account_id = ? AND api_token_id = ? AND ended_at IS NULL", accountID, id)
	if err := q.Order("id DESC").Find(&rows).Error; err != nil {
		return token.Token{}, nil, err
	}
	existing := make([]token.AccessToken, len(rows))
	for i, r := range rows {
		if existing[i], err = r.accessToken(); err != nil {
			return token.Token{}, nil, err
		}
	}
	return t, existing, nil
}

func keepChange(tx *gorm.DB, t token.Token, c token.Change) error {
	if c.Token != nil {
		row := tokenRowOf(*c.Token)
		one := tx.Model(&tokenRow{}).Where("account_id = ? AND id = ?", t.AccountID, t.ID)
		if err := one.Select(tokenColumns.changeable).Updates(&row).Error; err != nil {
			return err
		}
	}
	for id, end := range c.Ends {
		dated := tx.Table("access_tokens").Where("account_id = ? AND api_token_id = ? AND id = ?", t.AccountID, t.ID,
			id)
		if err := dated.Update("expires_at", instant{end}).Error; err != nil {
			return err
		}
	}
	if len(c.Ended) > 0 {
		theirs := tx.Where("account_id = ? AND api_token_id = ? AND id IN ?", t.AccountID, t.ID, c.Ended)
		if _, err := endAccess(theirs, c.Event.At); err != nil {
			return err
		}
	}
	if c.Access != nil {
		row := newAccessRow(t.AccountID, *c.Access)
		if err := tx.Create(&row).Error; err != nil {
			return err
		}
	}
	return appendEvents(tx, c.Event)
}

// Token returns a token of the account.
func (t tokens) Token(ctx context.Context, accountID, id uuid.UUID) (token.Token, error) {
	found, err := oneToken(t.engine.reader(ctx), accountID, id)
	return found, failed(ctx, "read API token", err)
}

// TokensByID returns the account's tokens among ids.
func (t tokens) TokensByID(ctx context.Context, accountID uuid.UUID, ids []uuid.UUID) (map[uuid.UUID]token.Token,
	error) {
	found, err := tokensByID(t.engine.reader(ctx), accountID, ids)
	if err != nil {
		return nil, failed(ctx, "read API tokens", err)
	}
	byID := make(map[uuid.UUID]token.Token, len(found))
	for _, each := range found {
		byID[each.ID] = each
	}
	return byID, nil
}

func oneToken(q *gorm.DB, accountID, id uuid.UUID) (token.Token, error) {
	row, err := one[listedToken](tokensOf(q, accountID).Select(listedTokenColumns).Where("t.id = ?", id),
		token.ErrNoToken())
	if err != nil {
		return token.Token{}, err
	}
	return row.token()
}

// tokensOf is a query for the account's tokens: api_tokens AS t, left-joined with stores AS s.
func tokensOf(q *gorm.DB, accountID uuid.UUID) *gorm.DB {
	return q.Table("api_tokens AS t").Where("t.account_id = ?", accountID).
		Joins("LEFT JOIN stores AS s ON s.account_id = t.account_id AND s.id = t.store_id")
}

// admitted narrows a query for api_tokens AS t to the tokens that match q.
func (t tokens) admitted(tx *gorm.DB, q token.Query) *gorm.DB {
	tx = withStatus(tx, q)
	if q.Scope != "" {
		// LIKE would treat the underscore of a scope as a wildcard.
		tx = tx.Where(t.engine.dialect().find+"(' ' || t.scopes || ' ', ?) > 0", " "+q.Scope+" ")
	}
	if !q.UnusedSince.IsZero() {
		tx = tx.Where("coalesce(t.last_used_at, t.created_at) < ?", instant{q.UnusedSince})
	}
	return tx
}

// withStatus narrows a query to the requested statuses. For live and expired tokens together, the condition is that
// of the partial index of tokens that are not revoked.
func withStatus(tx *gorm.DB, q token.Query) *gorm.DB {
	wanted := map[token.Status]bool{}
	for _, s := range q.Statuses {
		wanted[s] = true
	}
	if len(wanted) == 0 {
		wanted[token.Active], wanted[token.Expired] = true, true
	}
	now := instant{q.Now}
	var kept *gorm.DB
	fresh := func() *gorm.DB { return tx.Session(&gorm.Session{NewDB: true}) }
	switch {
	case wanted[token.Active] && wanted[token.Expired]:
		kept = fresh().Where("t.revoked_at IS NULL")
	case wanted[token.Active]:
		kept = fresh().Where("t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > ?)", now)
	case wanted[token.Expired]:
		kept = fresh().Where("t.revoked_at IS NULL AND t.expires_at <= ?", now)
	default:
		return tx.Where("t.revoked_at IS NOT NULL")
	}
	if wanted[token.Revoked] {
		kept = kept.Or("t.revoked_at IS NOT NULL")
	}
	return tx.Where(kept)
}

// AccountTokens returns a page of the account-level tokens.
func (t tokens) AccountTokens(ctx context.Context, accountID uuid.UUID, q token.Query,
	w paging.Window) (paging.Page[token.Token], error) {
	list := t.admitted(tokensOf(t.engine.reader(ctx), accountID).Where("t.store_id IS NULL"), q)
	var rows []listedToken
	if err := window(list.Select(listedTokenColumns), "t.id", w).Scan(&rows).Error; err != nil {
		return paging.Page[token.Token]{}, failed(ctx, "list API tokens", err)
	}
	return pageOf(w, rows, listedToken.item)
}

// CountAccountTokens returns how many account-level tokens match q.
func (t tokens) CountAccountTokens(ctx context.Context, accountID uuid.UUID, q token.Query) (int64, error) {
	var n int64
	list := t.engine.reader(ctx).Table("api_tokens AS t").Where("t.account_id = ? AND t.store_id IS NULL", accountID)
	err := t.admitted(list, q).Count(&n).Error
	return n, failed(ctx, "count API tokens", err)
}

// StoreTokens returns a page of each store's tokens.
func (t tokens) StoreTokens(ctx context.Context, accountID uuid.UUID, storeIDs []uuid.UUID, q token.Query,
	w paging.Window) (map[uuid.UUID]paging.Page[token.Token], error) {
	list := t.admitted(tokensOf(t.engine.reader(ctx), accountID).Where("t.store_id IN ?", storeIDs), q)
	var rows []listedToken
	if err := windowOfEach(list, listedTokenColumns, "t.store_id", "t.id", w).Scan(&rows).Error; err != nil {
		return nil, failed(ctx, "list API tokens of stores", err)
	}
	return pageOfEach(w, storeIDs, rows, func(r listedToken) (uuid.UUID, paging.Item[token.Token], error) {
		item, err := r.item()
		return item.Node.StoreID, item, err
	})
}

// CountStoreTokens returns how many of each store's tokens match q.
func (t tokens) CountStoreTokens(ctx context.Context, accountID uuid.UUID, storeIDs []uuid.UUID,
	q token.Query) (map[uuid.UUID]int64, error) {
	list := t.engine.reader(ctx).Table("api_tokens AS t").Where("t.account_id = ? AND t.store_id IN ?", accountID,
		storeIDs)
	counts, err := countOfEach(t.admitted(list, q), "t.store_id")
	return counts, failed(ctx, "count API tokens of stores", err)
}

// AccessTokens returns the live access tokens of each token.
func (t tokens) AccessTokens(ctx context.Context, accountID uuid.UUID, tokenIDs []uuid.UUID,
	now time.Time) (map[uuid.UUID][]token.AccessToken, error) {
	var rows []accessRow
	q := t.engine.reader(ctx).Select(listedAccessColumns).Where("account_id = ? AND api_token_id IN ?", accountID,
		tokenIDs).
		Where("ended_at IS NULL AND (expires_at IS NULL OR expires_at > ?)", instant{now})
	if err := q.Order("id DESC").Find(&rows).Error; err != nil {
		return nil, failed(ctx, "read access tokens", err)
	}
	live := make(map[uuid.UUID][]token.AccessToken, len(tokenIDs))
	for _, r := range rows {
		each, err := r.accessToken()
		if err != nil {
			return nil, failed(ctx, "read access tokens", err)
		}
		live[r.APITokenID] = append(live[r.APITokenID], each)
	}
	return live, nil
}

// missing returns the ids that are not in found.
func missing(ids, found []uuid.UUID) []uuid.UUID {
	there := make(map[uuid.UUID]bool, len(found))
	for _, id := range found {
		there[id] = true
	}
	var missing []uuid.UUID
	for _, id := range ids {
		if !there[id] {
			missing = append(missing, id)
		}
	}
	return missing
}
