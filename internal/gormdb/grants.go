package gormdb

import (
	"context"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"latchkey/internal/access"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/oauth"
	"latchkey/internal/scope"
	"latchkey/internal/secret"
)

// grants implements oauth.Repository.
type grants struct{ *DB }

var _ oauth.Repository = grants{}

// Grants returns the repository of granted access tokens.
func (db *DB) Grants() oauth.Repository { return grants{db} }

// grantByDigest finds a granted access token, and clientByID the API token of
// a client. All that they read besides is found by primary key.
const (
	grantFacts = `t.id, t.name, t.account_id, t.store_id, t.client_id, t.scopes, t.allowed_ip_ranges,
			t.revoked_at, t.expires_at, x.created_at, x.expires_at, a.features, a.status, s.hash, s.status, x.scopes, x.id` + fromGrants
	fromGrants = `
		FROM access_grants AS x
		JOIN api_tokens AS t ON t.account_id = x.account_id AND t.id = x.api_token_id
		JOIN accounts AS a ON a.id = x.account_id
		LEFT JOIN stores AS s ON s.account_id = t.account_id AND s.id = t.store_id`
	grantByDigest = `SELECT x.digest, ` + grantFacts + ` WHERE x.digest IN `

	clientFacts = `t.id, t.name, t.account_id, t.store_id, t.scopes, t.allowed_ip_ranges, t.revoked_at, t.expires_at,
			t.client_secret_digest, t.client_secret_key, a.features, a.status, s.status` + fromClients
	fromClients = `
		FROM api_tokens AS t
		JOIN accounts AS a ON a.id = t.account_id
		LEFT JOIN stores AS s ON s.account_id = t.account_id AND s.id = t.store_id`
	clientByID = `SELECT ` + clientFacts + ` WHERE t.client_id = $1`
)

// readGrant reads the API token as readToken does. The principal holds what
// was granted and the API token still holds.
func readGrant(scan scan) (access.Record, error) {
	var granted string
	var id uuid.UUID
	record, err := readToken(func(dest ...any) error { return scan(append(dest, &granted, (*key)(&id))...) })
	if err != nil {
		return access.Record{}, err
	}
	p := &record.Principal
	p.Granted = true
	p.Credential.Kind, p.Credential.ID = auth.GrantedAccessToken, id
	p.Scopes = p.Scopes.Intersect(scope.ParseSet(granted))
	return record, nil
}

// Client finds a client by its id.
func (g grants) Client(ctx context.Context, clientID string) (oauth.Client, error) {
	none := fault.Errorf(fault.NotFound, "There is no such client.")
	c, err := onlyRow(ctx, g.engine, clientByID, []any{clientID}, readClient, none)
	return c, failed(ctx, "look a client up", err)
}

func readClient(scan scan) (oauth.Client, error) {
	c := oauth.Client{Principal: auth.Principal{Kind: auth.APIToken}}
	p := &c.Principal
	var scopes, ranges, keyID, features, status string
	var digest []byte
	var storeStatus *string
	var revoked, end instant
	err := scan((*key)(&p.ID), &p.Name, (*key)(&p.AccountID), (*key)(&p.StoreID), &scopes, &ranges, &revoked, &end,
		&digest, &keyID, &features, &status, &storeStatus)
	if err != nil {
		return oauth.Client{}, err
	}
	if p.AllowedIPRanges, err = splitRanges(ranges); err != nil {
		return oauth.Client{}, err
	}
	p.Scopes, p.ExpiresAt = scope.ParseSet(scopes), end.Time
	p.Credential = auth.Credential{Kind: auth.ClientSecret, Rights: rightsOf(scopes, ranges, features)}
	c.Secret.Key = secret.KeyID(keyID)
	copy(c.Secret.Digest[:], digest)
	c.Features, c.Revoked = split[scope.Feature](features), !revoked.IsZero()
	c.Suspended = suspended(status) || suspended(textOf(storeStatus))
	return c, nil
}

type grantRow struct {
	AccountID  uuid.UUID
	APITokenID uuid.UUID
	ID         uuid.UUID
	Digest     []byte
	DigestKey  string
	Hint       string
	Scopes     string
	CreatedAt  instant
	ExpiresAt  instant
}

// TableName tells gorm the table.
func (grantRow) TableName() string { return "access_grants" }

// Rows of granted access tokens that ended are deleted with every new one:
// more at once than are added, so that they become fewer, and few enough to
// take no time. The clocks of replicas differ by less than the slack.
const (
	grantsPruned = 10
	grantSlack   = time.Minute
)

// Grant keeps a granted access token within the limit of its API token.
func (g grants) Grant(ctx context.Context, by auth.Actor, d oauth.Draft) error {
	outcome, err := g.engine.insertGrant(ctx, by, d)
	g.stale(by, err)
	switch {
	case err != nil:
		return failed(ctx, "keep a granted access token", err)
	case outcome == actorRefused:
		return g.refused(ctx, by)
	case outcome == ownerMissing:
		return fault.Errorf(fault.NotFound, "There is no such API token.")
	case outcome == limitReached:
		return fault.Errorf(fault.LimitReached,
			"This API token has %d live access tokens that were granted to it, the most it may have. Use one until it ends, and revoke those that are not needed.", d.MaxLive)
	}
	return nil
}

// End ends an access token of either sort, whatever its date.
func (g grants) End(ctx context.Context, by auth.Actor, e oauth.Ending) error {
	event, err := newEventRow(e.Event)
	if err != nil {
		return err
	}
	digests := make([][]byte, len(e.Candidates))
	for i, c := range e.Candidates {
		digests[i] = c.Digest[:]
	}
	var ended int64
	err = g.write(ctx, by, held{tokensOf: e.AccountID, tokens: []uuid.UUID{e.TokenID}, urgent: true}, func(tx *gorm.DB) error {
		var err error
		theirs := tx.Where("account_id = ? AND api_token_id = ? AND digest IN ?", e.AccountID, e.TokenID, digests)
		if ended, err = endOne(theirs, e); err != nil || ended == 0 {
			return err
		}
		if err := g.engine.announce(tx, e.AccountID); err != nil {
			return err
		}
		return tx.Create(&event).Error
	})
	// A repeat of what another replica did may reach this one before the feed
	// does, so this is told even when nothing was left to change.
	g.tell(err, e.AccountID)
	if err == nil && ended == 0 {
		err = g.notAnothers(ctx, e)
	}
	return failed(ctx, "end an access token", err)
}

// endOne ends the access token that q finds, and returns how many did. A
// granted one is deleted, as it will be anyway; of a durable one the end is
// kept.
func endOne(q *gorm.DB, e oauth.Ending) (int64, error) {
	if e.Kind != secret.OAuthAccessToken {
		return endAccess(q, e.At)
	}
	deleted := q.Delete(&grantRow{})
	return deleted.RowsAffected, deleted.Error
}

// notAnothers returns the fault of an access token that is another API token's.
func (g grants) notAnothers(ctx context.Context, e oauth.Ending) error {
	record, err := g.Access().Credential(ctx, e.Kind, e.Candidates)
	switch {
	case fault.KindOf(err) == fault.NotFound:
		return nil
	case err == nil && record.Principal.ID != e.TokenID:
		return oauth.ErrAnothers()
	}
	return err
}
