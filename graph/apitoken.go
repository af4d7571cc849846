package graph

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"latchkey/graph/model"
	"latchkey/graph/object"
	"latchkey/internal/access"
	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/billing"
	"latchkey/internal/fault"
	"latchkey/internal/paging"
	"latchkey/internal/token"
)

func tokenFilter(f *model.APITokenFilterInput) token.Filter {
	if f == nil {
		return token.Filter{}
	}
	return token.Filter{Statuses: f.Statuses, Scope: textOf(f.Scope), UnusedSince: timeOf(f.UnusedSince)}
}

// filterText returns a text that is different for queries with different
// conditions.
func filterText(q token.Query) string {
	return fmt.Sprint(q.Statuses, q.Scope, q.UnusedSince.UnixMicro())
}

func tokenUpdate(key uuid.UUID, input model.UpdateAPITokenInput) token.Update {
	return token.Update{
		ID: key, Name: input.Name, Scopes: input.Scopes, AllowedIPRanges: input.AllowedIPRanges,
		ExpiresAt: input.ExpiresAt, ChargeLimit: limitOf(input.ChargeLimit),
	}
}

// limitOf decodes a charge limit. Its period has one value.
func limitOf(input *model.ChargeLimitInput) *token.Amount {
	if input == nil {
		return nil
	}
	return &token.Amount{Value: input.Amount.Value.String(), Currency: string(input.Amount.CurrencyCode)}
}

// shownLimit encodes a charge limit, or returns nil if there is none.
func shownLimit(l auth.ChargeLimit) *model.ChargeLimit {
	if l.IsZero() {
		return nil
	}
	return &model.ChargeLimit{
		Amount: object.Money{Money: billing.Money{Minor: l.Minor, Currency: l.Currency}},
		Per:    model.ChargeLimitPeriod(token.LimitPeriod),
	}
}

// overlapOf converts seconds to a duration. The token policy rejects values out
// of range; a number of seconds that would overflow a Duration is clamped to a value
// that the policy rejects.
func overlapOf(seconds *int) *time.Duration {
	if seconds == nil {
		return nil
	}
	const bound = int(token.MaxOverlap/time.Second) + 1
	overlap := time.Duration(max(-1, min(*seconds, bound))) * time.Second
	return &overlap
}

// tokenRequest decodes the input for a store-level token if it has a store, and
// for an account-level token otherwise. If the store does not exist, it returns the
// other errors of the input too.
func (r *Resolver) tokenRequest(ctx context.Context, by *auth.Principal,
	input model.CreateAPITokenInput) (token.Request, error) {
	req := token.Request{
		Name: input.Name, Scopes: input.Scopes, ExpiresAt: timeOf(input.ExpiresAt),
		AllowedIPRanges: input.AllowedIPRanges, ChargeLimit: limitOf(input.ChargeLimit),
	}
	if input.StoreID == nil {
		a, err := r.accounts.Account(ctx, by)
		req.Owner = token.AccountOwner(a)
		return req, err
	}
	a, s, err := r.accounts.StoreToIssueFor(ctx, by, object.ParseStore(*input.StoreID))
	if fault.KindOf(err) == fault.NotFound {
		return req, r.withoutStore(ctx, by, req, fault.Flatten(onField(err, "storeId")))
	}
	if err != nil {
		return req, err
	}
	req.Owner, err = token.StoreOwner(a, s)
	return req, err
}

// withoutStore returns the errors of a missing store, and those that the request
// has for any store.
func (r *Resolver) withoutStore(ctx context.Context, by *auth.Principal, req token.Request, faults fault.List) error {
	a, err := r.accounts.Account(ctx, by)
	if err != nil {
		return err
	}
	if req.Owner, err = token.StoreOwner(a, account.Store{ID: uuid.New(), AccountID: a.ID}); err != nil {
		return err
	}
	for _, f := range fault.Flatten(r.tokens.Check(by, req)) {
		if f.Field != "" { // an error without a field depends on the store
			faults = append(faults, f)
		}
	}
	return faults.Err()
}

// issued encodes a new token with its credentials.
func (r *Resolver) issued(i token.Issued) *model.CreateAPITokenResult {
	shown := r.view().Token(i.Token)
	name, content := i.File(r.publicURL)
	return &model.CreateAPITokenResult{
		APIToken: shown,
		Credentials: model.APITokenCredentials{
			ClientID: i.Token.ClientID, ClientSecret: i.ClientSecret.Reveal(), AccessToken: i.AccessToken.Reveal(),
			APIPath: shown.APIPath(), File: model.CredentialsFile{Name: name, Content: content},
		},
	}
}

func shownTokens(tokens []token.Token, node func(token.Token) object.APIToken) []object.APIToken {
	shown := make([]object.APIToken, len(tokens))
	for i, t := range tokens {
		shown[i] = node(t)
	}
	return shown
}

// storeTokens returns the connections of the stores' tokens, by store ID. The
// tokens of all stores are siblings.
func (r *Resolver) storeTokens(ctx context.Context, by *auth.Principal, siblings *object.Siblings[account.Store],
	stores []account.Store,
	q token.Query, tokens map[uuid.UUID]paging.Page[token.Token],
) map[uuid.UUID]*object.APITokenConnection {
	node := r.view().Tokens(object.Nodes(pagesOf(stores, tokens)...))
	count := func(stores []account.Store) (map[uuid.UUID]int64, error) {
		return r.tokens.CountStoreTokens(ctx, by, storeKeys(stores), q)
	}
	connections := make(map[uuid.UUID]*object.APITokenConnection, len(stores))
	for _, s := range stores {
		info, edges := object.Connect[object.APITokenEdge](object.StoreAPITokens, tokens[s.ID], node)
		connections[s.ID] = &object.APITokenConnection{
			PageInfo: info, Edges: edges,
			Count: counted(siblings, fieldKey{field: "apiTokens count", filter: filterText(q)}, s.ID, count),
		}
	}
	return connections
}

func accessTokens(found []token.AccessToken) []object.AccessToken {
	shown := make([]object.AccessToken, len(found))
	for i, a := range found {
		shown[i] = object.AccessToken{AccessToken: a}
	}
	return shown
}

// receipt asks the replicas for acknowledgements, if requested. It returns nil if
// they cannot be asked: the revocation has succeeded all the same.
func (r *Resolver) receipt(ctx context.Context, wanted *bool) *model.RevocationReceipt {
	if wanted == nil || !*wanted {
		return nil
	}
	found, err := r.replicas.Confirm(ctx)
	if err != nil {
		r.log.WarnContext(ctx, "the replicas could not be asked for a receipt", "error", err)
		return nil
	}
	return receiptOf(found)
}

func receiptOf(r access.Receipt) *model.RevocationReceipt {
	shown := &model.RevocationReceipt{ElapsedMs: int(r.Elapsed.Milliseconds())}
	for _, a := range r.Replicas {
		shown.Replicas = append(shown.Replicas,
			model.ReplicaAcknowledgement{Name: a.Replica, AcknowledgedAt: optionalTime(a.At)})
	}
	return shown
}

func (r *Resolver) tokenNodes(ctx context.Context, by *auth.Principal, keys []string) (map[string]model.Node, error) {
	tokens, err := r.tokens.TokensByID(ctx, by, uuids(keys))
	node := r.view().Tokens(slices.Collect(maps.Values(tokens)))
	found := map[string]model.Node{}
	for id, t := range tokens {
		shown := node(t)
		found[id.String()] = &shown
	}
	return found, err
}
