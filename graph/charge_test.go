package graph_test

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/graph"
	"latchkey/internal/audit"
	"latchkey/internal/fault"
	"latchkey/internal/page"
	"latchkey/internal/user"
)

// noEvents is an audit log without events.
type noEvents struct{ audit.Reader }

func (noEvents) Events(context.Context, uuid.UUID, audit.Filter, page.Window) (page.Page[audit.Event], error) {
	return page.Page[audit.Event]{}, nil
}

func (noEvents) CountEvents(context.Context, uuid.UUID, audit.Filter) (int64, error) { return 0, nil }

// Every operation that runs is charged by its price, once, and none that is refused.
func TestOperationsAreCharged(t *testing.T) {
	const search = `users(filter: {search: "per"}) { edges { cursor } }`
	for _, tt := range []struct {
		name, query string
		scopes      []string
		charges     []int
	}{
		{"the least", "{ __typename }", nil, []int{1}},
		{"a page of 250 users", "{ account { users(first: 250) { edges { cursor node { id email firstName lastName locale } } } } }", []string{"account_users_read"}, []int{1753}},
		{"a search among 150,000", "{ account { " + search + " } }", []string{"account_users_read"}, []int{15_013}},
		{"three of them", "{ account { a: " + search + " b: " + search + " c: " + search + " } }", []string{"account_users_read"}, []int{45_037}},
		{"more than the limit", "{ account { a: " + search + " b: " + search + " c: " + search + " d: " + search + " } }", []string{"account_users_read"}, nil},
		{"a search that is refused", "{ account { " + search + " } }", nil, []int{13}},
		{"a page of the audit log", "{ account { auditEvents(first: 1) { edges { cursor } } } }", []string{"account_audit_read"}, []int{4}},
		{"a page of some of the audit log", `{ account { auditEvents(first: 1, filter: {actions: ["x"]}) { edges { cursor } } } }`, []string{"account_audit_read"}, []int{10_004}},
		{"its total, too", `{ account { auditEvents(first: 1, filter: {actions: ["x"]}) { collectionInfo { totalItems } } } }`, []string{"account_audit_read"}, []int{20_004}},
		{"five totals of all", "{ account { " + numbered(5, "a%d: auditEvents(first: 1) { collectionInfo { totalItems } }") + "} }", []string{"account_audit_read"}, nil},
		{"GraphiQL's introspection", introspectionQuery, nil, []int{35_700}},
		{"a document that is invalid", "{ none }", nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var charges []int
			var walks atomic.Int64
			a := newAPI(t, func(c *graph.Config) {
				c.Users = user.NewService(crowd{size: 150_000, walks: &walks}, nil, nil, time.Now)
				c.Audit = noEvents{}
				c.Charge = func(_ context.Context, fields int) error { charges = append(charges, fields); return nil }
			})
			got := a.query(holding(tt.scopes...), tt.query, nil)
			if len(charges) != len(tt.charges) || len(charges) > 0 && charges[0] != tt.charges[0] {
				t.Errorf("charged %v, want %v: %.300s", charges, tt.charges, got)
			}
		})
	}
}

// An operation that cannot be paid is answered 429, and does not run.
func TestOperationThatCannotBePaid(t *testing.T) {
	var walks atomic.Int64
	a := newAPI(t, func(c *graph.Config) {
		c.Users = user.NewService(crowd{size: 100, walks: &walks}, nil, nil, time.Now)
		c.Charge = func(context.Context, int) error { return fault.Errorf(fault.RateLimited, "Too many.") }
	})
	got := a.send(newRequest(http.MethodPost, "", body(`{ account { users(filter: {search: "per"}) { edges { cursor } } } }`, nil)), holding("account_users_read"))
	if text := got.Body.String(); got.Code != http.StatusTooManyRequests || !strings.Contains(text, `"code":"RATE_LIMITED","requestId":"r-1"`) || strings.Contains(text, `"data"`) {
		t.Errorf("got %d, %s", got.Code, text)
	}
	if n := walks.Load(); n > 0 {
		t.Errorf("%d walks were made", n)
	}
}
