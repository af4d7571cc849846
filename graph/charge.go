package graph

import (
	"context"

	"github.com/99designs/gqlgen/graphql"
	"github.com/google/uuid"
	"github.com/vektah/gqlparser/v2/ast"

	"latchkey/graph/server"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/membership"
	"latchkey/internal/paging"
	"latchkey/internal/scope"
	"latchkey/internal/user"
	"latchkey/internal/webhook"
)

// The cost of a scan over the users of an account, which a search and a filter
// without an index need. maxPerScan allows an operation to search once and count
// the results in an account of any size.
const (
	usersPerField = 10
	maxPerScan    = 20_000
)

// perAuditScan is the cost of a scan of an account's audit log, which a filter
// and a total need. It is constant: the length of the log is unknown without a scan.
const perAuditScan = 10_000

// perDeliveryScan is the cost of a scan of a webhook's deliveries, and of the events that a reader of the event log
// skips after its cursor.
const perDeliveryScan = 1_000

// perReplay is the cost of a delivery that a replay schedules: it is written twice, and a request is sent.
const perReplay = 2

// perSubscriptionScan and perChargeScan are the costs of a scan of the subscriptions to an account's apps and of their
// charges. Filters without an index, totals and the sums of revenue need one. perMove is the cost of a billing run by
// the test clock.
const (
	perSubscriptionScan = 1_000
	perChargeScan       = 3_000
	perMove             = 1_000
)

// perLineCount is the cost of counting the lines of an invoice.
const perLineCount = 100

// expensive is the cost above which an account's operations run one at a time, and
// the concurrency of the resolvers of its queries is limited.
const expensive = 10_000

// surcharge is server.Config.Surcharge. The page and the total of Account.users, Account.auditEvents,
// Account.events, Webhook.deliveries and the lists of billing may need a scan each.
func surcharge(f *ast.Field, variables map[string]any) server.Cost {
	filter := f.Arguments.ForName("filter")
	switch {
	case len(f.SelectionSet) == 0:
		return server.Cost{Fields: longValues[nameOf(f)]}
	case f.Name == "users" && f.ObjectDefinition != nil && f.ObjectDefinition.Name == "Account":
		if filter != nil && needsScan(filter.Value, variables) {
			return server.Cost{Scans: 1 + totals(f)}
		}
	case f.Name == "auditEvents" && filter != nil:
		return server.Cost{Fields: (1 + totals(f)) * perAuditScan}
	case f.Name == "auditEvents":
		return server.Cost{Fields: totals(f) * perAuditScan}
	case f.Name == "events" && filter != nil && f.Arguments.ForName("after") != nil:
		return server.Cost{Fields: perDeliveryScan + totals(f)*perAuditScan}
	case f.Name == "events" && filter != nil:
		return server.Cost{Fields: (1 + totals(f)) * perAuditScan}
	case f.Name == "events":
		return server.Cost{Fields: totals(f) * perAuditScan}
	case nameOf(f) == "Account.subscriptions":
		return server.Cost{Fields: billingScans(f) * perSubscriptionScan}
	case nameOf(f) == "Account.charges" || nameOf(f) == "Account.revenue":
		return server.Cost{Fields: billingScans(f) * perChargeScan}
	case nameOf(f) == "Invoice.lines":
		return server.Cost{Fields: totals(f) * perLineCount}
	case f.Name == "advanceTime":
		return server.Cost{Fields: perMove}
	case f.Name == "deliveries" && filter != nil:
		return server.Cost{Fields: (1 + totals(f)) * perDeliveryScan}
	case f.Name == "deliveries":
		return server.Cost{Fields: totals(f) * perDeliveryScan}
	case f.Name == "replayDeliveries":
		return server.Cost{Fields: replayed(f, variables) * perReplay}
	case isBulk(f):
		return server.Cost{Fields: listed(f, variables) * perListed}
	}
	return server.Cost{}
}

// billingScans returns the number of scans that a field of billing needs: for its filters, for its total and for sums.
func billingScans(f *ast.Field) int {
	scans := totals(f)
	if f.Arguments.ForName("filters") != nil || f.Name == "revenue" {
		scans++
	}
	return scans
}

// longValues are the costs of fields with long texts, in addition to one field each.
// Without it, aliases would make a small price a large response.
var longValues = map[string]int{
	"UserChange.before": 9, "UserChange.after": 9, // permissions in a store, up to 3 kB
	"Event.data":                   19, // up to 32 kB, most often below 1 kB
	"DeliveryAttempt.responseHead": 9,  // 1 KiB
}

// The minimum prices of each element that a field loads.
const (
	// perLoadedEvent is the price of an event, of either log, or of a delivery without
	// its attempts: most have 1 to 2 kB.
	perLoadedEvent = 10
	// perBulkItem is the price of a user in the input of a bulk operation, who is
	// looked up, compared and written.
	perBulkItem = 10
	// perListed is the price of an element of a list in such a user, such as a store:
	// it is decoded, compared and most often written.
	perListed = 2
)

// loads is server.Config.Loads: a field loads its page, and a bulk operation
// handles its input, also if nothing of it is selected.
func loads(f *ast.Field) int {
	switch {
	case isBulk(f):
		return perBulkItem
	case f.Definition == nil || f.Definition.Arguments.ForName("first") == nil:
		return 0
	case f.Name == "events" || f.Name == "auditEvents" || f.Name == "deliveries":
		return perLoadedEvent
	}
	return 1
}

// lists is server.Config.Lists. Those to review have an element for each API token
// that a user or a token issued, so they count as the largest page.
var lists = map[string]int{
	"issuedTokensToReview": paging.MaxSize, "apiTokensToReview": paging.MaxSize,
	"attempts": webhook.MaxAttempts,
}

// nameOf returns the name of a field with its type.
func nameOf(f *ast.Field) string {
	if f.ObjectDefinition == nil {
		return f.Name
	}
	return f.ObjectDefinition.Name + "." + f.Name
}

// isBulk reports whether a field is a bulk operation.
func isBulk(f *ast.Field) bool { return f.Name == "provisionUsers" || f.Name == "deprovisionUsers" }

// bulkItems is server.Config.Items. A bulk operation returns an item for each user
// in its input. With removeOthers it may return as many again as a call takes.
func bulkItems(f *ast.Field, variables map[string]any) int {
	if !isBulk(f) {
		return 0
	}
	users, removesOthers := bulkInput(f, variables)
	n := len(users)
	if removesOthers {
		n += membership.MaxBulk
	}
	return n
}

// listed returns the number of elements in the lists of a bulk operation's users. A
// variable that is a list counts each time it is used.
func listed(f *ast.Field, variables map[string]any) (n int) {
	users, _ := bulkInput(f, variables)
	for _, u := range users {
		fields, _ := u.(map[string]any)
		for _, value := range fields {
			if list, is := value.([]any); is {
				n += len(list)
			}
		}
	}
	return n
}

// bulkInput returns the users in the input of a bulk operation.
func bulkInput(f *ast.Field, variables map[string]any) (users []any, removesOthers bool) {
	input := f.Arguments.ForName("input")
	if input == nil {
		return nil, false
	}
	value, err := input.Value.Value(variables)
	fields, is := value.(map[string]any)
	if err != nil || !is {
		return nil, false
	}
	users, isList := fields["users"].([]any)
	if !isList {
		users = []any{fields["users"]} // a single user is coerced to a list
	}
	removesOthers, _ = fields["removeOthers"].(bool)
	return users, removesOthers
}

// replayed returns the largest number of deliveries that a replay schedules.
func replayed(f *ast.Field, variables map[string]any) int {
	input := f.Arguments.ForName("input")
	if input == nil {
		return 0
	}
	value, err := input.Value.Value(variables)
	fields, is := value.(map[string]any)
	if err != nil || !is {
		return 0
	}
	switch events := fields["eventIds"].(type) {
	case []any:
		return min(len(events), webhook.MaxReplayEvents)
	case nil:
		return webhook.MaxReplay
	default:
		return 1 // a single ID is coerced to a list
	}
}

// totals returns 1 if the total of a connection is selected, and otherwise 0.
func totals(f *ast.Field) int {
	if server.Selects(f.SelectionSet, "collectionInfo", "totalCount") {
		return 1
	}
	return 0
}

// needsScan reports whether a UserFilterInput needs a scan: it has a condition, but
// no emails or external IDs, which are indexed.
func needsScan(filter *ast.Value, variables map[string]any) bool {
	value, err := filter.Value(variables)
	fields, is := value.(map[string]any)
	if err != nil || !is || fields["emails"] != nil || fields["externalIds"] != nil {
		return false
	}
	search, _ := fields["search"].(string)
	withoutStores, _ := fields["withoutStores"].(bool)
	return search != "" || fields["updatedAfter"] != nil || withoutStores
}

// afford charges the cost of the operation to the caller and returns it. It
// refuses an operation whose scans exceed the complexity limit, and one over the
// caller's rate limits.
func (a *admission) afford(ctx context.Context, by *auth.Principal, cost server.Cost) (total int, err error) {
	total = cost.Total(a.scanPrice(ctx, by, cost.Scans))
	if total > a.complexity {
		return total, fault.Errorf(fault.ComplexityLimit,
			"The operation scans all users of the account %d times, which costs as much as %d fields, and the limit is %d. "+
				"Search once in a request, or filter by email addresses or IDs.", cost.Scans, total, a.complexity)
	}
	if a.charge == nil {
		return total, nil
	}
	return total, a.charge(ctx, total)
}

// scanPrice returns the cost of one of the scans over the users of the principal's
// account. Reading the number of users is cheap: it is stored with the account.
func (a *admission) scanPrice(ctx context.Context, by *auth.Principal, scans int) int {
	if scans == 0 || len(by.Missing(scope.AccountUsersRead)) > 0 {
		// Without the scope the fields are denied; a cost would reveal the number of users.
		return 0
	}
	total, err := a.users.CountUsers(ctx, by, user.Filter{})
	if err != nil {
		return 0 // the operation reads the same database and reports the error
	}
	return int(min(total/usersPerField, maxPerScan))
}

// mostExpensive is the most expensive operations of an account that run or wait: one
// that waits keeps its variables in memory.
const mostExpensive = 16

// alone waits until no other expensive operation of the account runs, and returns a
// function that lets the next one run. The results of one operation are in memory
// together until it ends. It returns fault.RateLimited if too many wait.
func (a *admission) alone(ctx context.Context, accountID uuid.UUID) (leave func(), err error) {
	leave, err = a.operations.Enter(ctx, accountID)
	if err != nil {
		return nil, fault.Wrap(err, fault.RateLimited,
			"Too many large operations of this account run at the same time. Send them one after the other.")
	}
	return leave, nil
}

// inTurn returns the middleware of an expensive query. It limits how many
// resolvers of an account's expensive queries run at the same time, so that they
// do not use all database connections. It cannot deadlock: the resolvers of nested
// fields run after the outer one has returned.
func (a *admission) inTurn(accountID uuid.UUID) graphql.FieldMiddleware {
	return func(ctx context.Context, resolve graphql.Resolver) (any, error) {
		leave, err := a.expensive.Enter(ctx, accountID)
		if err != nil {
			return nil, err
		}
		defer leave()
		return resolve(ctx)
	}
}
