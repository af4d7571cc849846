package gormdb

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/access"
	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/scope"
	"latchkey/internal/secret"
)

// credentials implements access.Repository.
type credentials struct {
	*DB
	batchers map[secret.Kind]*batcher
}

var _ access.Repository = credentials{}

// Access returns the repository of credentials.
func (db *DB) Access() access.Repository {
	c := credentials{db, map[secret.Kind]*batcher{}}
	for kind, l := range lookups() {
		c.batchers[kind] = newBatcher(db.engine, l)
	}
	return c
}

func noCredential() error { return fault.Errorf(fault.NotFound, "There is no such credential.") }

// lookup finds credentials of one kind: a statement that ends in a list of digests, on which there is a unique index,
// and a function that reads its rows without their first column, the digest.
type lookup struct {
	statement string
	read      func(scan) (access.Record, error)
}

// lookups returns the look-ups of the kinds of credentials that the database stores.
func lookups() map[secret.Kind]lookup {
	token := lookup{"SELECT x.digest, " + selectAccess + " WHERE x.digest IN ", readAccess}
	return map[secret.Kind]lookup{
		secret.AccountAccessToken: token,
		secret.StoreAccessToken:   token,
		secret.OAuthAccessToken:   {"SELECT x.digest, " + selectGrant + " WHERE x.digest IN ", readGrant},
		secret.ClientSecret: {"SELECT t.client_secret_digest, " + selectClient + " WHERE t.client_secret_digest IN ",
			readClientRecord}, // for reports of leaks: clients present it with the client ID
		secret.UserSession:   {"SELECT s.digest, " + selectSession + " WHERE s.digest IN ", readSession},
		secret.GatewayKey:    {"SELECT g.digest, " + selectGateway + " WHERE g.digest IN ", readGateway},
		secret.LegacyAccount: {"SELECT l.digest, " + selectLegacy + " WHERE l.digest IN ", readLegacy},
	}
}

// Everything except the digest is looked up by primary key. The exceptions are a user's stores, which are found by
// the indexes of owners and of places. These lists can be long. They are not read for the account's owner, who has
// every permission in every store, and they omit places in stores that the user owns.
const (
	fromAccess = `
		FROM access_tokens AS x
		JOIN api_tokens AS t ON t.account_id = x.account_id AND t.id = x.api_token_id
		JOIN accounts AS a ON a.id = x.account_id
		LEFT JOIN stores AS s ON s.account_id = t.account_id AND s.id = t.store_id`
	ownedStores = `coalesce((SELECT string_agg(CAST(o.id AS text), ' ' ORDER BY o.id) FROM stores AS o
				WHERE o.owner_id = s.user_id AND o.account_id = s.account_id AND a.owner_id <> s.user_id), '')`
	placesElsewhere = `coalesce((SELECT string_agg(CAST(p.store_id AS text) || ' ' || p.permissions, ';' ORDER BY p.store_id) FROM store_users AS p
				WHERE p.user_id = s.user_id AND p.account_id = s.account_id AND p.status = 'ACTIVE' AND a.owner_id <> s.user_id
					AND NOT EXISTS (SELECT 1 FROM stores AS o WHERE o.account_id = p.account_id AND o.id = p.store_id AND o.owner_id = s.user_id)), '')`
	isMember     = `EXISTS (SELECT 1 FROM account_users AS m WHERE m.account_id = s.account_id AND m.user_id = s.user_id AND m.accepted_at IS NOT NULL AND m.deactivated_at IS NULL)`
	fromSessions = `
		FROM sessions AS s
		JOIN accounts AS a ON a.id = s.account_id`
	joinUsers = `
		JOIN users AS u ON u.id = s.user_id`
)

var (
	accessFactColumns  = columnsOf[accessFacts](nil)
	sessionFactColumns = columnsOf[sessionFacts](map[string]string{
		"owned_stores": ownedStores, "places": placesElsewhere, "member": isMember,
	})
	storeFactColumns = columnsOf[storeFacts](nil)

	selectAccess  = accessFactColumns.list() + fromAccess
	selectSession = sessionFactColumns.list() + fromSessions + joinUsers

	readAccess  = reader(accessFactColumns, (*accessFacts).record)
	readSession = reader(sessionFactColumns, (*sessionFacts).record)
	readStore   = reader(storeFactColumns, (*storeFacts).store)

	findStore = `SELECT ` + storeFactColumns.list() +
		` FROM stores AS s JOIN accounts AS a ON a.id = s.account_id WHERE s.hash = $1`
)

// Credential returns the record of a credential.
func (c credentials) Credential(ctx context.Context, kind secret.Kind, candidates []secret.KeyedDigest) (access.Record,
	error) {
	b, stored := c.batchers[kind]
	if !stored {
		return access.Record{}, noCredential()
	}
	for few := range slices.Chunk(candidates, batchSize) {
		record, err := b.find(ctx, few)
		if fault.KindOf(err) != fault.NotFound {
			return record, failed(ctx, "look a credential up", err)
		}
	}
	return access.Record{}, noCredential()
}

// Store returns the store with the hash.
func (c credentials) Store(ctx context.Context, hash string) (access.Store, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	s, err := onlyRow(ctx, c.engine, findStore, []any{hash}, readStore,
		fault.Errorf(fault.NotFound, "There is no such store."))
	return s, failed(ctx, "look a store up", err)
}

// onlyRow runs a statement that returns at most one row. If there is no row, it returns the error none.
func onlyRow[T any](ctx context.Context, e engine, statement string, args []any, read func(scan) (T, error),
	none error) (row T, err error) {
	found := false
	err = e.lookUp(ctx, statement, args, func(scan scan) (err error) {
		row, err = read(scan)
		found = true
		return err
	})
	if err == nil && !found {
		err = none
	}
	return row, err
}

// storeFacts is what a look-up reads of a store.
type storeFacts struct {
	AccountID     uuid.UUID `sql:"s"`
	ID            uuid.UUID `sql:"s"`
	Status        string    `sql:"s"`
	AccountStatus string    `sql:"a.status"`
}

func (f *storeFacts) store() (access.Store, error) {
	return access.Store{AccountID: f.AccountID, ID: f.ID, Suspended: suspended(f.Status) || suspended(f.AccountStatus)},
		nil
}

func suspended(status string) bool { return status == string(account.Suspended) }

// tokenFacts is what a look-up reads of an API token and of one of its access tokens, of either kind.
type tokenFacts struct {
	ID                  uuid.UUID `sql:"t"`
	Name                string    `sql:"t"`
	AccountID           uuid.UUID `sql:"t"`
	StoreID             uuid.UUID `sql:"t"`
	ClientID            string    `sql:"t"`
	Scopes              string    `sql:"t"`
	AllowedIPRanges     string    `sql:"t"`
	ChargeLimit         *int64    `sql:"t"`
	ChargeLimitCurrency *string   `sql:"t"`
	RevokedAt           instant   `sql:"t"`
	ExpiresAt           instant   `sql:"t"`
	Features            string    `sql:"a"`
	Status              string    `sql:"a"`
	StoreHash           *string   `sql:"s.hash"`
	StoreStatus         *string   `sql:"s.status"`
	AccessID            uuid.UUID `sql:"x.id"`
	IssuedAt            instant   `sql:"x.created_at"`
	AccessExpiresAt     instant   `sql:"x.expires_at"`
}

// record returns the record of an access token, without its kind.
func (f *tokenFacts) record() (access.Record, error) {
	ranges, err := splitRanges(f.AllowedIPRanges)
	if err != nil {
		return access.Record{}, err
	}
	p := auth.Principal{
		Kind: auth.APIToken, ID: f.ID, Name: f.Name, AccountID: f.AccountID, StoreID: f.StoreID,
		AllowedIPRanges: ranges, ChargeLimit: limitOf(f.ChargeLimit, f.ChargeLimitCurrency),
		Scopes: scope.ParseSet(f.Scopes), ExpiresAt: earlier(f.AccessExpiresAt.Time, f.ExpiresAt.Time),
		Credential: auth.Credential{ID: f.AccessID,
			Rights: tokenRights(f.Scopes, f.AllowedIPRanges, f.Features, f.ChargeLimit)},
	}
	return access.Record{
		Principal: p, Features: split[scope.Feature](f.Features), ClientID: f.ClientID, StoreHash: textOf(f.StoreHash),
		IssuedAt: f.IssuedAt.Time, Revoked: !f.RevokedAt.IsZero(),
		Suspended: suspended(f.Status) || suspended(textOf(f.StoreStatus)),
		ExpiresAt: [2]time.Time{f.AccessExpiresAt.Time, f.ExpiresAt.Time},
	}, nil
}

// accessFacts is what a look-up reads of an access token of an API token.
type accessFacts struct {
	Token   tokenFacts `gorm:"embedded"`
	EndedAt instant    `sql:"x"`
}

func (f *accessFacts) record() (access.Record, error) {
	record, err := f.Token.record()
	record.AccessTokenID, record.Revoked = f.Token.AccessID, record.Revoked || !f.EndedAt.IsZero()
	record.Principal.Credential.Kind = auth.AccessToken
	return record, err
}

// earlier returns the earlier of two expiration times. A zero time means never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// sessionFacts is what a look-up reads of a user's session. OwnedStores and Places are empty for the account's owner.
type sessionFacts struct {
	ID              uuid.UUID `sql:"s"`
	UserID          uuid.UUID `sql:"s"`
	PersonID        uuid.UUID `sql:"s"`
	Email           string    `sql:"u"`
	AccountID       uuid.UUID `sql:"s"`
	EndedAt         instant   `sql:"s"`
	CreatedAt       instant   `sql:"s"`
	ExpiresAt       instant   `sql:"s"`
	Method          string    `sql:"s"`
	AuthenticatedAt instant   `sql:"s"`
	LastUsedAt      instant   `sql:"coalesce(s.last_used_at, s.created_at)"`
	OwnerID         uuid.UUID `sql:"a"`
	Features        string    `sql:"a"`
	Status          string    `sql:"a"`
	OwnedStores     string
	Places          string
	Member          bool
}

// record returns the record of a session. A session of a user who is not a member of its account any more, who has not
// accepted the membership, or whose membership is deactivated, counts as revoked. Owners are always members.
func (f *sessionFacts) record() (access.Record, error) {
	p := auth.Principal{
		Kind: auth.Session, SessionID: f.ID, ID: f.UserID, PersonID: f.PersonID, Name: f.Email, AccountID: f.AccountID,
		AccountOwner: f.OwnerID == f.UserID, ExpiresAt: f.ExpiresAt.Time,
	}
	for _, text := range strings.Fields(f.OwnedStores) {
		id, err := uuid.Parse(text)
		if err != nil {
			return access.Record{}, err
		}
		p.OwnedStores = append(p.OwnedStores, id)
	}
	var err error
	if p.Places, err = readPlaces(f.Places); err != nil {
		return access.Record{}, err
	}
	p.Credential = auth.Credential{
		Kind: sessionKind(p.AccountOwner), ID: p.SessionID,
		Rights: rightsOf(ownerMark(p.AccountOwner), f.Features, f.OwnedStores, f.Places),
	}
	return access.Record{
		Principal: p, Features: split[scope.Feature](f.Features), IssuedAt: f.CreatedAt.Time,
		Suspended: suspended(f.Status),
		Method:    f.Method, AuthenticatedAt: f.AuthenticatedAt.Time, LastUsedAt: f.LastUsedAt.Time,
		Revoked:   !f.EndedAt.IsZero() || !f.Member,
		ExpiresAt: [2]time.Time{f.ExpiresAt.Time},
	}, nil
}

func sessionKind(ofOwner bool) auth.CredentialKind {
	if ofOwner {
		return auth.OwnerSession
	}
	return auth.UserSession
}

// readPlaces parses places in stores, separated by ";". Each is the store's id followed by the permissions.
func readPlaces(text string) ([]auth.Place, error) {
	var places []auth.Place
	for one := range strings.SplitSeq(text, ";") {
		words := strings.Fields(one)
		if len(words) == 0 {
			continue
		}
		storeID, err := uuid.Parse(words[0])
		if err != nil {
			return nil, err
		}
		places = append(places, auth.Place{StoreID: storeID, May: auth.ParsePermissions(words[1:])})
	}
	return places, nil
}

// uses implements access.UseRepository.
type uses struct{ *DB }

var _ access.UseRepository = uses{}

// Uses returns the repository of last uses.
func (db *DB) Uses() access.UseRepository { return uses{db} }

// use is an access.Use as the database stores it.
type use struct {
	accountID, tokenID uuid.UUID
	// accessID is zero if only the use of the API token is stored.
	accessID uuid.UUID
	at       time.Time
	ip       *string
}

// SaveUses saves the last uses of API tokens and of their access tokens. It writes in the order of the keys, so that
// two replicas wait for each other and do not deadlock.
func (u uses) SaveUses(ctx context.Context, list []access.Use) error {
	var ofLegacy, ofSessions, ordered []use
	for _, each := range latestOf(list) {
		kept := use{accountID: each.AccountID, tokenID: each.TokenID, accessID: each.AccessTokenID, at: each.At}
		if each.IP.IsValid() {
			kept.ip = optionalText(each.IP.Unmap().String())
		}
		if each.Legacy {
			ofLegacy = append(ofLegacy, kept)
			continue
		}
		if each.Session {
			ofSessions = append(ofSessions, kept)
			continue
		}
		ordered = append(ordered, kept)
	}
	slices.SortFunc(ordered, func(a, b use) int {
		return cmp.Or(slices.Compare(a.accountID[:], b.accountID[:]), slices.Compare(a.tokenID[:], b.tokenID[:]),
			slices.Compare(a.accessID[:], b.accessID[:]))
	})
	for chunk := range slices.Chunk(ordered, u.engine.dialect().uses) {
		if err := u.engine.saveUses(ctx, lastOfTokens(chunk), chunk); err != nil {
			return failed(ctx, "save last uses", err)
		}
	}
	for chunk := range slices.Chunk(ofSessions, u.engine.dialect().uses) {
		if err := u.engine.saveSessionUses(ctx, chunk); err != nil {
			return failed(ctx, "save last uses", err)
		}
	}
	return failed(ctx, "save last uses", u.saveLegacyUses(ctx, ofLegacy))
}

// latestOf returns the last use of each access token of each API token.
func latestOf(list []access.Use) map[[2]uuid.UUID]access.Use {
	last := make(map[[2]uuid.UUID]access.Use, len(list))
	for _, each := range list {
		key := [2]uuid.UUID{each.TokenID, each.AccessTokenID}
		if each.At.After(last[key].At) {
			last[key] = each
		}
	}
	return last
}

// lastOfTokens returns the last use of each API token. The uses must be ordered by API token.
func lastOfTokens(ordered []use) []use {
	var last []use
	for _, each := range ordered {
		n := len(last)
		switch {
		case n == 0 || last[n-1].tokenID != each.tokenID || last[n-1].accountID != each.accountID:
			last = append(last, each)
		case each.at.After(last[n-1].at):
			last[n-1] = each
		}
	}
	return last
}
