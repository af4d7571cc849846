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
	gathered map[secret.Kind]*gathering
}

var _ access.Repository = credentials{}

// Access returns the repository of credentials.
func (db *DB) Access() access.Repository {
	c := credentials{db, map[secret.Kind]*gathering{}}
	for kind, l := range lookups() {
		c.gathered[kind] = newGathering(db.engine, l)
	}
	return c
}

func noCredential() error { return fault.Errorf(fault.NotFound, "There is no such credential.") }

// lookup is how credentials of one kind are found: a statement that ends in a
// list of digests, on which there is a unique index, and the reader of its
// rows, but for their first column, which is the digest.
type lookup struct {
	statement string
	read      func(scan) (access.Record, error)
}

// lookups are how the kinds that are kept are found.
func lookups() map[secret.Kind]lookup {
	token := lookup{tokenByDigest, readAccess}
	return map[secret.Kind]lookup{
		secret.AccountAccessToken: token,
		secret.StoreAccessToken:   token,
		secret.OAuthAccessToken:   {grantByDigest, readGrant},
		secret.UserSession:        {sessionByDigest, readSession},
		secret.GatewayKey:         {gatewayByDigest, readGateway},
		secret.LegacyAccount:      {legacyByDigest, readLegacy},
	}
}

// Everything that these read besides the digest is found by primary key, except
// a person's stores, which are found by indexes of owners and of places. These
// lists can be long. They are not read for the account's owner, who may do
// everything in every store, and leave out the places in a store that the person
// owns.
const (
	tokenFacts = `t.id, t.name, t.account_id, t.store_id, t.client_id, t.scopes, t.allowed_ip_ranges,
			t.revoked_at, t.expires_at, x.created_at, x.expires_at, a.features, a.status, s.hash, s.status, x.id, x.ended_at` + fromAccess
	fromAccess = `
		FROM access_tokens AS x
		JOIN api_tokens AS t ON t.account_id = x.account_id AND t.id = x.api_token_id
		JOIN accounts AS a ON a.id = x.account_id
		LEFT JOIN stores AS s ON s.account_id = t.account_id AND s.id = t.store_id`
	tokenByDigest = `SELECT x.digest, ` + tokenFacts + ` WHERE x.digest IN `

	sessionFacts = `s.id, s.user_id, s.person_id, u.email, s.account_id, s.ended_at, s.created_at, s.expires_at, s.method, s.authenticated_at, coalesce(s.last_used_at, s.created_at), a.owner_id, a.features, a.status,
			` + ownedStores + `, ` + placesElsewhere + `, ` + isMember + fromSessions + joinUsers
	ownedStores = `coalesce((SELECT string_agg(CAST(o.id AS text), ' ' ORDER BY o.id) FROM stores AS o
				WHERE o.owner_id = s.user_id AND o.account_id = s.account_id AND a.owner_id <> s.user_id), '')`
	placesElsewhere = `coalesce((SELECT string_agg(CAST(p.store_id AS text) || ' ' || p.permissions, ';' ORDER BY p.store_id) FROM store_users AS p
				WHERE p.user_id = s.user_id AND p.account_id = s.account_id AND p.status = 'ACTIVE' AND a.owner_id <> s.user_id
					AND NOT EXISTS (SELECT 1 FROM stores AS o WHERE o.account_id = p.account_id AND o.id = p.store_id AND o.owner_id = s.user_id)), '')`
	isMember     = `EXISTS (SELECT 1 FROM account_users AS m WHERE m.account_id = s.account_id AND m.user_id = s.user_id AND m.accepted_at IS NOT NULL)`
	fromSessions = `
		FROM sessions AS s
		JOIN accounts AS a ON a.id = s.account_id`
	joinUsers = `
		JOIN users AS u ON u.id = s.user_id`
	sessionByDigest = `SELECT s.digest, ` + sessionFacts + ` WHERE s.digest IN `

	findStore = `SELECT s.account_id, s.id, s.status, a.status FROM stores AS s JOIN accounts AS a ON a.id = s.account_id WHERE s.hash = $1`
)

// Credential finds what a secret stands for.
func (c credentials) Credential(ctx context.Context, kind secret.Kind, candidates []secret.KeyedDigest) (access.Record, error) {
	g, kept := c.gathered[kind]
	if !kept {
		return access.Record{}, noCredential()
	}
	for few := range slices.Chunk(candidates, partySize) {
		record, err := g.find(ctx, few)
		if fault.KindOf(err) != fault.NotFound {
			return record, failed(ctx, "look a credential up", err)
		}
	}
	return access.Record{}, noCredential()
}

// Store finds a store by its hash.
func (c credentials) Store(ctx context.Context, hash string) (access.Store, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	s, err := onlyRow(ctx, c.engine, findStore, []any{hash}, readStore, fault.Errorf(fault.NotFound, "There is no such store."))
	return s, failed(ctx, "look a store up", err)
}

// onlyRow runs a statement that finds at most one row; without one it returns
// none.
func onlyRow[T any](ctx context.Context, e engine, statement string, args []any, read func(scan) (T, error), none error) (row T, err error) {
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

func readStore(scan scan) (access.Store, error) {
	var s access.Store
	var status, ofAccount string
	err := scan((*key)(&s.AccountID), (*key)(&s.ID), &status, &ofAccount)
	s.Suspended = suspended(status) || suspended(ofAccount)
	return s, err
}

func suspended(status string) bool { return status == string(account.Suspended) }

// readAccess reads an access token and its API token.
func readAccess(scan scan) (access.Record, error) {
	var id uuid.UUID
	var ended instant
	record, err := readToken(func(dest ...any) error { return scan(append(dest, (*key)(&id), &ended)...) })
	record.AccessTokenID, record.Ended = id, record.Ended || !ended.IsZero()
	record.Principal.Credential.Kind, record.Principal.Credential.ID = auth.AccessToken, id
	return record, err
}

// readToken reads an API token, and when what was presented of it was made and
// ends.
func readToken(scan scan) (access.Record, error) {
	p := auth.Principal{Kind: auth.APIToken}
	var clientID, scopes, ranges, features, status string
	var storeHash, storeStatus *string
	var revoked, tokenEnd, issued, accessEnd instant
	err := scan((*key)(&p.ID), &p.Name, (*key)(&p.AccountID), (*key)(&p.StoreID), &clientID, &scopes, &ranges, &revoked, &tokenEnd,
		&issued, &accessEnd, &features, &status, &storeHash, &storeStatus)
	if err != nil {
		return access.Record{}, err
	}
	if p.AllowedIPRanges, err = splitRanges(ranges); err != nil {
		return access.Record{}, err
	}
	p.Scopes = scope.ParseSet(scopes)
	p.Credential.Rights = rightsOf(scopes, ranges, features)
	p.ExpiresAt = earlier(accessEnd.Time, tokenEnd.Time)
	return access.Record{
		Principal: p, Features: split[scope.Feature](features), ClientID: clientID, StoreHash: textOf(storeHash), IssuedAt: issued.Time,
		Ended: !revoked.IsZero(), Suspended: suspended(status) || suspended(textOf(storeStatus)), Ends: [2]time.Time{accessEnd.Time, tokenEnd.Time},
	}, nil
}

// earlier returns the earlier of two ends, of which a zero time is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// readSession reads a person's session. Owners are in their account, and a
// session of a person who is not in it any more, or has not accepted the
// membership, has ended.
func readSession(scan scan) (access.Record, error) {
	p := auth.Principal{Kind: auth.Session}
	var features, status, stores, places, method string
	var member bool
	var ended, issued, end, authenticated, used instant
	var owner uuid.UUID
	err := scan((*key)(&p.SessionID), (*key)(&p.ID), (*key)(&p.PersonID), &p.Name, (*key)(&p.AccountID), &ended, &issued, &end, &method, &authenticated, &used, (*key)(&owner), &features, &status,
		&stores, &places, &member)
	if err != nil {
		return access.Record{}, err
	}
	for _, text := range strings.Fields(stores) {
		id, err := uuid.Parse(text)
		if err != nil {
			return access.Record{}, err
		}
		p.OwnedStores = append(p.OwnedStores, id)
	}
	if p.Places, err = readPlaces(places); err != nil {
		return access.Record{}, err
	}
	p.AccountOwner = owner == p.ID
	p.ExpiresAt = end.Time
	p.Credential = auth.Credential{
		Kind: sessionKind(p.AccountOwner), ID: p.SessionID,
		Rights: rightsOf(ownerMark(p.AccountOwner), features, stores, places),
	}
	return access.Record{
		Principal: p, Features: split[scope.Feature](features), IssuedAt: issued.Time, Suspended: suspended(status),
		Method: method, AuthenticatedAt: authenticated.Time, LastUsedAt: used.Time,
		Ended: !ended.IsZero() || !member,
		Ends:  [2]time.Time{end.Time},
	}, nil
}

func sessionKind(ofOwner bool) auth.CredentialKind {
	if ofOwner {
		return auth.OwnerSession
	}
	return auth.UserSession
}

// readPlaces reads places in stores with ";" between any two, each the store
// and then the permissions.
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

// use is an access.Use as it is kept.
type use struct {
	accountID, tokenID uuid.UUID
	// accessID is zero where only the use of the API token is kept.
	accessID uuid.UUID
	at       time.Time
	ip       *string
}

// KeepUses keeps the last uses of API tokens and of their access tokens. The
// order is that of the keys, so that two replicas at once wait for each other
// and do not lock each other out.
func (u uses) KeepUses(ctx context.Context, list []access.Use) error {
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
		return cmp.Or(slices.Compare(a.accountID[:], b.accountID[:]), slices.Compare(a.tokenID[:], b.tokenID[:]), slices.Compare(a.accessID[:], b.accessID[:]))
	})
	for chunk := range slices.Chunk(ordered, u.engine.dialect().uses) {
		if err := u.engine.keepUses(ctx, lastOfTokens(chunk), chunk); err != nil {
			return failed(ctx, "keep last uses", err)
		}
	}
	for chunk := range slices.Chunk(ofSessions, u.engine.dialect().uses) {
		if err := u.engine.keepSessionUses(ctx, chunk); err != nil {
			return failed(ctx, "keep last uses", err)
		}
	}
	return failed(ctx, "keep last uses", u.keepLegacyUses(ctx, ofLegacy))
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

// lastOfTokens returns the last use of each API token among uses that are
// ordered by API token.
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
