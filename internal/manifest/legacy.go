package manifest

import (
	"context"
	"fmt"
	"slices"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/legacy"
	"latchkey/internal/secret"
	"latchkey/internal/strictyaml"
)

var usernameRule = fmt.Sprintf(
	"is not a single line of 1 to %d characters without a colon and without leading or trailing space",
	secret.MaxUsername)

// legacyAccounts parses a store's legacy API accounts.
func (p *parser) legacyAccounts(store strictyaml.Mapping, storeHash string) []LegacyAccount {
	list, _ := store.List("legacy_api_accounts")
	var all []LegacyAccount
	once := strictyaml.Seen[string]{}
	for _, n := range list {
		m := p.Mapping(n, "a legacy API account", "username", "token")
		username, token := m.Text("username", secret.ValidUsername, usernameRule), p.legacyToken(m)
		if username == "" || once.Again(&p.Faults, username, m.LineOf("username"), "legacy API account "+username) ||
			token == "" {
			continue
		}
		presented, err := secret.ParseBasic(storeHash, username, token)
		if err != nil {
			continue // both parts are valid
		}
		all = append(all, LegacyAccount{Line: n.Line, Username: username, Presented: presented})
	}
	return all
}

// legacyToken parses a token. Errors do not repeat the token, because it is a secret.
func (p *parser) legacyToken(m strictyaml.Mapping) string {
	n := m.Required("token")
	switch {
	case n == nil:
	case n.ShortTag() != "!!str":
		p.Add(n.Line, "token must be text; quote it if it looks like something else")
	case !secret.ValidLegacyToken(n.Value):
		p.Add(n.Line, "token is not %d to %d letters, digits and ASCII punctuation", secret.MinLegacyToken,
			secret.MaxLegacyToken)
	default:
		return n.Value
	}
	return ""
}

// legacyAccount saves a legacy API account of the store. A new token replaces the old one, which no longer works.
func (a *application) legacyAccount(ctx context.Context, s account.Store, l LegacyAccount) error {
	is, err := a.repo.LegacyAccount(ctx, s.AccountID, s.ID, l.Username)
	known, err := found(err)
	switch {
	case err != nil:
		return err
	case known && slices.Contains(a.keys.BasicCandidates(l.Presented), is.Digest):
		return nil
	}
	action, details := audit.LegacyAccountUpdated, []audit.Detail{{Name: "token", Value: "replaced"}, storeHash(s)}
	if !known {
		action, details = audit.LegacyAccountCreated, []audit.Detail{storeHash(s)}
		is = legacy.New(s, l.Username, secret.KeyedDigest{}, a.now)
	}
	is.Digest = a.keys.DigestBasic(l.Presented)
	if err := a.repo.SaveLegacyAccount(ctx, is); err != nil {
		return err
	}
	return a.record(ctx, s.AccountID, action, subject{target: is.Target()}, details...)
}
