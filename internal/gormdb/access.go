package gormdb

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/access"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/scope"
	"latchkey/internal/secret"
)

// credentials implements access.Repository.
type credentials struct{ *DB }

var _ access.Repository = credentials{}

// Access returns the repository of credentials.
func (db *DB) Access() access.Repository { return credentials{db} }

func noCredential() error { return fault.Errorf(fault.NotFound, "There is no such credential.") }

// tokenByDigest and sessionByDigest end in a list of digests. All else they
// read is found by primary key, but for the stores of a person, which are
// found by the index of owners.
const (
	tokenByDigest = `SELECT t.id, t.name, t.account_id, t.store_id, t.scopes, t.allowed_ip_ranges,
			t.revoked_at, t.expires_at, x.expires_at, a.features
		FROM access_tokens AS x
		JOIN api_tokens AS t ON t.account_id = x.account_id AND t.id = x.api_token_id
		JOIN accounts AS a ON a.id = x.account_id
		WHERE x.digest IN `
	sessionByDigest = `SELECT s.id, s.user_id, u.email, s.account_id, s.ended_at, s.expires_at, a.owner_id, a.features,
			coalesce((SELECT string_agg(CAST(o.id AS text), ' ') FROM stores AS o
				WHERE o.owner_id = s.user_id AND o.account_id = s.account_id), '')
		FROM sessions AS s
		JOIN users AS u ON u.id = s.user_id
		JOIN accounts AS a ON a.id = s.account_id
		WHERE s.digest IN `
)

// digests are the parameters of a list of digests: its text and its values.
func digests(candidates []secret.KeyedDigest) (string, []any) {
	places := make([]string, len(candidates))
	args := make([]any, len(candidates))
	for i, c := range candidates {
		places[i] = "$" + strconv.Itoa(i+1)
		args[i] = c.Digest[:]
	}
	return "(" + strings.Join(places, ", ") + ")", args
}

// byDigest runs a statement that finds at most one row.
func (c credentials) byDigest(ctx context.Context, statement string, candidates []secret.KeyedDigest, read func(scan) (access.Record, error)) (access.Record, error) {
	if len(candidates) == 0 {
		return access.Record{}, noCredential()
	}
	list, args := digests(candidates)
	var record access.Record
	found := false
	err := c.engine.query(ctx, statement+list, args, func(scan scan) (err error) {
		record, err = read(scan)
		found = true
		return err
	})
	if err == nil && !found {
		err = noCredential()
	}
	return record, failed(ctx, "look a credential up", err)
}

// TokenByDigest finds an access token.
func (c credentials) TokenByDigest(ctx context.Context, candidates []secret.KeyedDigest) (access.Record, error) {
	return c.byDigest(ctx, tokenByDigest, candidates, readToken)
}

func readToken(scan scan) (access.Record, error) {
	p := auth.Principal{Kind: auth.APIToken}
	var scopes, ranges, features string
	var revoked, tokenEnd, accessEnd instant
	err := scan((*key)(&p.ID), &p.Name, (*key)(&p.AccountID), (*key)(&p.StoreID), &scopes, &ranges, &revoked, &tokenEnd, &accessEnd, &features)
	if err != nil {
		return access.Record{}, err
	}
	if p.AllowedIPRanges, err = splitRanges(ranges); err != nil {
		return access.Record{}, err
	}
	p.Scopes = scope.ParseSet(scopes)
	p.ExpiresAt = earlier(accessEnd.Time, tokenEnd.Time)
	return access.Record{
		Principal: p, Features: split[scope.Feature](features),
		Ended: !revoked.IsZero(), Ends: [2]time.Time{accessEnd.Time, tokenEnd.Time},
	}, nil
}

// earlier returns the earlier of two ends, of which a zero time is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// SessionByDigest finds a person's session. A session of a person who owns
// nothing in the account any more has ended.
func (c credentials) SessionByDigest(ctx context.Context, candidates []secret.KeyedDigest) (access.Record, error) {
	return c.byDigest(ctx, sessionByDigest, candidates, readSession)
}

func readSession(scan scan) (access.Record, error) {
	p := auth.Principal{Kind: auth.Session}
	var features, stores string
	var ended, end instant
	var owner uuid.UUID
	err := scan((*key)(&p.SessionID), (*key)(&p.ID), &p.Name, (*key)(&p.AccountID), &ended, &end, (*key)(&owner), &features, &stores)
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
	p.AccountOwner = owner == p.ID
	p.ExpiresAt = end.Time
	return access.Record{
		Principal: p, Features: split[scope.Feature](features),
		Ended: !ended.IsZero() || !p.AccountOwner && len(p.OwnedStores) == 0,
		Ends:  [2]time.Time{end.Time},
	}, nil
}

// uses implements access.UseRepository.
type uses struct{ *DB }

var _ access.UseRepository = uses{}

// Uses returns the repository of last uses.
func (db *DB) Uses() access.UseRepository { return uses{db} }

// usesPerStatement bounds one statement, and with it how long the rows that
// it changes stay locked.
const usesPerStatement = 1000

// use is an access.Use as it is kept.
type use struct {
	accountID, tokenID uuid.UUID
	at                 time.Time
	ip                 *string
}

// KeepUses keeps each token's last use. The order is that of the key, so that
// two replicas at once wait for each other and do not lock each other out.
func (u uses) KeepUses(ctx context.Context, list []access.Use) error {
	latest := make(map[uuid.UUID]use, len(list))
	for _, each := range list {
		if !each.At.After(latest[each.TokenID].at) {
			continue
		}
		kept := use{accountID: each.AccountID, tokenID: each.TokenID, at: each.At}
		if each.IP.IsValid() {
			kept.ip = optionalText(each.IP.Unmap().String())
		}
		latest[each.TokenID] = kept
	}
	ordered := make([]use, 0, len(latest))
	for _, each := range latest {
		ordered = append(ordered, each)
	}
	slices.SortFunc(ordered, func(a, b use) int {
		return cmp.Or(slices.Compare(a.accountID[:], b.accountID[:]), slices.Compare(a.tokenID[:], b.tokenID[:]))
	})
	for chunk := range slices.Chunk(ordered, usesPerStatement) {
		if err := u.engine.keepUses(ctx, chunk); err != nil {
			return failed(ctx, "keep last uses", err)
		}
	}
	return nil
}
