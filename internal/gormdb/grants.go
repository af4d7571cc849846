package gormdb

import (
	"context"

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

// Everything except the digest of a granted access token and the id of a client is looked up by primary key.
const (
	fromGrants = `
		FROM access_grants AS x
		JOIN api_tokens AS t ON t.account_id = x.account_id AND t.id = x.api_token_id
		JOIN accounts AS a ON a.id = x.account_id
		LEFT JOIN stores AS s ON s.account_id = t.account_id AND s.id = t.store_id`
	fromClients = `
		FROM api_tokens AS t
		JOIN accounts AS a ON a.id = t.account_id
		LEFT JOIN stores AS s ON s.account_id = t.account_id AND s.id = t.store_id`
)

var (
	grantFactColumns  = columnsOf[grantFacts](nil)
	clientFactColumns = columnsOf[clientFacts](nil)

	selectGrant  = grantFactColumns.list() + fromGrants
	selectClient = clientFactColumns.list() + fromClients
	clientByID   = `SELECT ` + selectClient + ` WHERE t.client_id = $1`

	readGrant  = reader(grantFactColumns, (*grantFacts).record)
	readClient = reader(clientFactColumns, (*clientFacts).client)
)

// grantFacts is what a look-up reads of a granted access token.
type grantFacts struct {
	Token   tokenFacts `gorm:"embedded"`
	Granted string     `sql:"x.scopes"`
}

// record returns the record of a granted access token. The principal has the scopes that were granted and that the API
// token still has.
func (f *grantFacts) record() (access.Record, error) {
	record, err := f.Token.record()
	p := &record.Principal
	p.Granted = true
	p.Credential.Kind = auth.GrantedAccessToken
	p.Scopes = p.Scopes.Intersect(scope.ParseSet(f.Granted))
	return record, err
}

// Client returns the client with the id.
func (g grants) Client(ctx context.Context, clientID string) (oauth.Client, error) {
	none := fault.Errorf(fault.NotFound, "There is no such client.")
	c, err := onlyRow(ctx, g.engine, clientByID, []any{clientID}, readClient, none)
	return c, failed(ctx, "look a client up", err)
}

// clientFacts is what a look-up reads of a client.
type clientFacts struct {
	ID                  uuid.UUID `sql:"t"`
	Name                string    `sql:"t"`
	AccountID           uuid.UUID `sql:"t"`
	StoreID             uuid.UUID `sql:"t"`
	Scopes              string    `sql:"t"`
	AllowedIPRanges     string    `sql:"t"`
	ChargeLimit         *int64    `sql:"t"`
	ChargeLimitCurrency *string   `sql:"t"`
	RevokedAt           instant   `sql:"t"`
	ExpiresAt           instant   `sql:"t"`
	ClientSecretDigest  []byte    `sql:"t"`
	ClientSecretKey     string    `sql:"t"`
	Features            string    `sql:"a"`
	Status              string    `sql:"a"`
	StoreStatus         *string   `sql:"s.status"`
}

func (f *clientFacts) client() (oauth.Client, error) {
	ranges, err := splitRanges(f.AllowedIPRanges)
	if err != nil {
		return oauth.Client{}, err
	}
	c := oauth.Client{
		Principal: auth.Principal{
			Kind: auth.APIToken, ID: f.ID, Name: f.Name, AccountID: f.AccountID, StoreID: f.StoreID,
			AllowedIPRanges: ranges, ChargeLimit: limitOf(f.ChargeLimit, f.ChargeLimitCurrency),
			Scopes: scope.ParseSet(f.Scopes), ExpiresAt: f.ExpiresAt.Time,
			Credential: auth.Credential{Kind: auth.ClientSecret,
				Rights: tokenRights(f.Scopes, f.AllowedIPRanges, f.Features, f.ChargeLimit)},
		},
		Features: split[scope.Feature](f.Features), Revoked: !f.RevokedAt.IsZero(),
		Suspended: suspended(f.Status) || suspended(textOf(f.StoreStatus)),
	}
	c.Secret.Key = secret.KeyID(f.ClientSecretKey)
	copy(c.Secret.Digest[:], f.ClientSecretDigest)
	return c, nil
}

// grantsPruned is how many expired rows every new granted access token deletes: more than are added, so that their
// number falls, and few enough to take no noticeable time.
const grantsPruned = 10

// Grant inserts a granted access token within the limit of its API token.
func (g grants) Grant(ctx context.Context, by auth.Actor, d oauth.Draft) error {
	outcome, err := g.engine.insertGrant(ctx, by, d)
	g.stale(by, err)
	switch {
	case err != nil:
		return failed(ctx, "insert a granted access token", err)
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

// Revoke revokes an access token of either kind, even if it has expired.
func (g grants) Revoke(ctx context.Context, by auth.Actor, e oauth.Revocation) error {
	digests := make([][]byte, len(e.Candidates))
	for i, c := range e.Candidates {
		digests[i] = c.Digest[:]
	}
	var ended int64
	err := g.write(ctx, by, held{tokensOf: e.AccountID, tokens: []uuid.UUID{e.TokenID}, urgent: true},
		func(tx *gorm.DB) error {
			var err error
			theirs := tx.Where("account_id = ? AND api_token_id = ? AND digest IN ?", e.AccountID, e.TokenID, digests)
			if ended, err = revokeOne(theirs, e); err != nil || ended == 0 {
				return err
			}
			if err := g.engine.announce(tx, e.AccountID); err != nil {
				return err
			}
			return appendEvents(tx, e.Event)
		})
	// Another replica may have revoked the token before, and this one may not have received that change yet.
	// Therefore this is reported even if nothing was left to change.
	g.publish(err, e.AccountID)
	if err == nil && ended == 0 {
		err = g.notAnothers(ctx, e)
	}
	return failed(ctx, "revoke an access token", err)
}

// revokeOne revokes the access token that q finds, and returns how many it revoked. A granted token is deleted, which
// would happen anyway; for a durable token the time of revocation is stored.
func revokeOne(q *gorm.DB, e oauth.Revocation) (int64, error) {
	if e.Kind != secret.OAuthAccessToken {
		return endAccess(q, e.At)
	}
	deleted := q.Delete(&grantRow{})
	return deleted.RowsAffected, deleted.Error
}

// notAnothers returns the fault for an access token that belongs to another API token.
func (g grants) notAnothers(ctx context.Context, e oauth.Revocation) error {
	record, err := g.Access().Credential(ctx, e.Kind, e.Candidates)
	switch {
	case fault.KindOf(err) == fault.NotFound:
		return nil
	case err == nil && record.Principal.ID != e.TokenID:
		return oauth.ErrNotIssuedToClient()
	}
	return err
}
