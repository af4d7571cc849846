package graph

import (
	"context"

	"github.com/99designs/gqlgen/graphql"
	"github.com/google/uuid"
	"github.com/vektah/gqlparser/v2/ast"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/scope"
	"latchkey/internal/user"
)

// The price of a walk through the users of an account: a search, and a filter
// that no index serves, look at one user after the other. The most that one
// walk costs lets an operation search once and count what it found in any
// account.
const (
	usersPerField = 10
	mostPerWalk   = 20_000
)

// perAuditWalk is the price of a walk through an account's audit log: a filter
// of it, and its total. How long the log is is not known without such a walk.
const perAuditWalk = 10_000

// auditWalks returns how many walks through the audit log the field
// Account.auditEvents takes.
func auditWalks(f *ast.Field) int {
	if f.Name != "auditEvents" {
		return 0
	}
	walks := 0
	if f.Arguments.ForName("filter") != nil {
		walks++
	}
	if selects(f.SelectionSet, "collectionInfo") {
		walks++
	}
	return walks
}

// expensive is the price from which on an operation runs in turn with others of
// its account.
const expensive = 10_000

// inTurn returns the middleware of an expensive query. Few of the resolvers of an
// account's expensive queries run at the same time, so that they do not
// occupy all connections to the database. A resolver does not wait for others: those
// of the fields below it run when it has returned.
func (h *handler) inTurn(accountID uuid.UUID) graphql.FieldMiddleware {
	return func(ctx context.Context, resolve graphql.Resolver) (any, error) {
		leave, err := h.expensive.Enter(ctx, accountID)
		if err != nil {
			return nil, err
		}
		defer leave()
		return resolve(ctx)
	}
}

// walksOf returns how many walks the field Account.users takes: one for its
// page, and one more for the total if that is selected.
func (c *costs) walksOf(f *ast.Field) int {
	if f.Name != "users" || f.ObjectDefinition == nil || f.ObjectDefinition.Name != "Account" {
		return 0
	}
	filter := f.Arguments.ForName("filter")
	if filter == nil || !c.walks(filter.Value) {
		return 0
	}
	if selects(f.SelectionSet, "collectionInfo") {
		return 2
	}
	return 1
}

// walks reports whether a UserFilterInput has no names that an index serves,
// and something else that is looked for.
func (c *costs) walks(filter *ast.Value) bool {
	c.variable = c.variable || filter.Kind == ast.Variable
	for _, child := range filter.Children {
		c.variable = c.variable || child.Value.Kind == ast.Variable
	}
	value, err := filter.Value(c.values)
	fields, is := value.(map[string]any)
	if err != nil || !is || fields["emails"] != nil || fields["externalIds"] != nil {
		return false
	}
	search, _ := fields["search"].(string)
	withoutStores, _ := fields["withoutStores"].(bool)
	return search != "" || fields["updatedAfter"] != nil || withoutStores
}

// selects reports whether the field is selected of an object, in fragments too.
func selects(set ast.SelectionSet, name string) bool {
	for _, selection := range set {
		switch s := selection.(type) {
		case *ast.Field:
			if s.Name == name {
				return true
			}
		case *ast.InlineFragment:
			if selects(s.SelectionSet, name) {
				return true
			}
		case *ast.FragmentSpread:
			if selects(s.Definition.SelectionSet, name) {
				return true
			}
		}
	}
	return false
}

// afford charges the operation's price to the caller, and returns it. It refuses an operation
// whose walks through users cost more than the limit, and one that the caller's
// rate limits do not allow now.
func (h *handler) afford(ctx context.Context, by *auth.Principal, p price) (total int, refused *refusal) {
	total = add(p.fields, h.walking(ctx, by, p.walks))
	if limit := h.documents.limits.Complexity; total > limit {
		return total, tooMuch("The operation looks at all users of the account %d times, which costs as much as %d fields, and %d are the most. "+
			"Search once in a request, or name addresses or ids.", p.walks, total, limit)
	}
	if err := h.charge(ctx, total); err != nil {
		refused = &refusal{status: statusOf(fault.KindOf(err))}
		for _, f := range fault.Flatten(err) {
			refused.problems = append(refused.problems, problem{Error: f})
		}
		return total, refused
	}
	return total, nil
}

// walking is what walks through the users of the principal's account cost. The
// number of users is kept with the account, so that asking for it costs little.
func (h *handler) walking(ctx context.Context, by *auth.Principal, walks int) int {
	if walks == 0 || len(by.Missing(scope.AccountUsersRead)) > 0 { // then the fields are refused, and nothing says how many users there are
		return 0
	}
	people, err := h.users.CountUsers(ctx, by, user.Filter{})
	if err != nil {
		return 0 // the same database is asked by the operation, which fails by itself
	}
	return multiply(walks, int(min(people/usersPerField, mostPerWalk)))
}
