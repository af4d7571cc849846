package graph

import (
	"context"
	"log/slog"

	"github.com/google/uuid"

	"latchkey/graph/model"
	"latchkey/graph/object"
	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/offboard"
	"latchkey/internal/page"
	"latchkey/internal/scope"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// Resolver answers the fields of the schema that are more than plain fields.
// It holds what they call, and nothing else.
type Resolver struct {
	accounts  *account.Service
	users     *user.Service
	tokens    *token.Service
	offboard  *offboard.Service
	audit     audit.Reader
	replicas  Replicas
	log       *slog.Logger
	catalogue *scope.Catalogue
	publicURL string
	rules     *Rules
}

func newResolver(c Config, rules *Rules) *Resolver {
	return &Resolver{
		accounts: c.Accounts, users: c.Users, tokens: c.Tokens, offboard: c.Offboard, audit: c.Audit, replicas: c.Replicas, log: c.Log,
		catalogue: c.Catalogue, publicURL: c.PublicURL, rules: rules,
	}
}

// view is how API tokens look in an answer that is made now.
func (r *Resolver) view() object.View {
	return object.View{PublicURL: r.publicURL, Now: r.tokens.Now()}
}

// paging is the arguments of every connection, in the order of the schema.
func paging(list object.List, before, after *string, first, last *int) page.Request {
	return page.Request{First: first, Last: last, After: list.Position(after), Before: list.Position(before)}
}

// receipt asks the replicas, if that is wanted. That they cannot be asked makes
// no failure of what was done before: the receipt is null then.
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

// question stands for a field of a list's elements with its arguments, to be
// asked of all of them at once.
type question struct {
	field         string
	filter        string
	size          int
	backward      bool
	bounds        [2]bool
	after, before uuid.UUID
}

func about(field, filter string, w page.Window) question {
	q := question{field: field, filter: filter, size: w.Size, backward: w.Backward}
	if w.After != nil {
		q.bounds[0], q.after = true, *w.After
	}
	if w.Before != nil {
		q.bounds[1], q.before = true, *w.Before
	}
	return q
}

// asked is what the principal asks of a nested connection.
func asked(ctx context.Context, list object.List, before, after *string, first, last *int) (*auth.Principal, page.Window, error) {
	by, err := auth.From(ctx)
	if err != nil {
		return nil, page.Window{}, err
	}
	w, err := paging(list, before, after, first, last).Window(page.MaxSize)
	return by, w, err
}

// counted is a Counter of one sibling's part in what is counted for all.
func counted[T any](s *object.Siblings[T], q question, key uuid.UUID, count func([]T) (map[uuid.UUID]int64, error)) object.Counter {
	return func(context.Context) (int64, error) {
		counts, err := object.Ask(s, q, count)
		return counts[key], err
	}
}

func storeKeys(stores []account.Store) []uuid.UUID {
	keys := make([]uuid.UUID, len(stores))
	for i, s := range stores {
		keys[i] = s.ID
	}
	return keys
}

func userKeys(people []user.User) []uuid.UUID {
	keys := make([]uuid.UUID, len(people))
	for i, u := range people {
		keys[i] = u.ID
	}
	return keys
}

// userFilter reads a filter of people. It returns every fault at once, that of
// a store that is not there among them.
func (r *Resolver) userFilter(ctx context.Context, by *auth.Principal, f *model.UserFilterInput) (user.Filter, error) {
	if f == nil {
		return user.Filter{}, nil
	}
	filter := user.Filter{
		Emails: f.Emails, Search: textOf(f.Search), ExternalIDs: f.ExternalIds, UpdatedAfter: timeOf(f.UpdatedAfter),
		WithoutStores: f.WithoutStores != nil && *f.WithoutStores,
	}
	if f.StoreID == nil {
		return filter, nil
	}
	_, store, err := r.accounts.StoreOfPeople(ctx, by, object.ParseStore(*f.StoreID))
	if fault.KindOf(err) == fault.NotFound {
		faults := fault.List(fault.Flatten(onField(err, "filter.storeId")))
		return user.Filter{}, append(faults, fault.Flatten(fault.Under(filter.Check(), "filter"))...).Err()
	}
	filter.StoreID = store.ID
	return filter, err
}
