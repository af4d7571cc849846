package graph_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/graph"
	"latchkey/internal/auth"
	"latchkey/internal/paging"
	"latchkey/internal/user"
)

// fixedUsers is a repository that returns a prepared page of users.
type fixedUsers struct {
	user.Repository
	page paging.Page[user.User]
}

func (p fixedUsers) Users(context.Context, uuid.UUID, user.Filter, paging.Window) (paging.Page[user.User], error) {
	return p.page, nil
}

func (p fixedUsers) CountUsers(context.Context, uuid.UUID, user.Filter) (int64, error) {
	return int64(len(p.page.Items)), nil
}

func newUsers(n int) fixedUsers {
	var p fixedUsers
	for i := range n {
		id := uuid.UUID{15: byte(i)}
		p.page.Items = append(p.page.Items, paging.Item[user.User]{Key: id, Node: user.User{
			ID: id, Email: fmt.Sprintf("person-%d@acme.example", i), FirstName: "Person",
			LastName: fmt.Sprintf("Number %d", i), Locale: "en",
			ExternalID: fmt.Sprintf("hr-%d", i), CreatedAt: time.Unix(1, 0), UpdatedAt: time.Unix(1, 0),
		}})
	}
	return p
}

// sink is a ResponseWriter that keeps only the size of the response.
type sink struct {
	header http.Header
	status int
	size   int
}

func (s *sink) Header() http.Header    { return s.header }
func (s *sink) WriteHeader(status int) { s.status = status }
func (s *sink) Write(p []byte) (int, error) {
	if s.status == 0 {
		s.status = http.StatusOK
	}
	s.size += len(p)
	return len(p), nil
}

// repeated is a request that can be sent again and again.
type repeated struct {
	request *http.Request
	body    *strings.Reader
	text    string
	answer  sink
}

func repeatedly(tb testing.TB, query string, variables map[string]any) *repeated {
	text, err := json.Marshal(map[string]any{"query": query, "variables": variables})
	if err != nil {
		tb.Fatal(err)
	}
	x := &repeated{text: string(text), body: strings.NewReader("")}
	x.request = newRequest(http.MethodPost, "", "")
	x.request.Body = io.NopCloser(x.body)
	x.request.ContentLength = int64(len(text))
	x.request = x.request.WithContext(auth.With(context.Background(), holding("account_users_read", "account_read")))
	x.answer.header = http.Header{"X-Request-Id": {"0123456789abcdef"}}
	return x
}

func (x *repeated) send(h http.Handler) {
	x.body.Reset(x.text)
	x.answer.size, x.answer.status = 0, 0
	h.ServeHTTP(&x.answer, x.request)
}

func benchmark(b *testing.B, h http.Handler, x *repeated) {
	b.ReportAllocs()
	for x.send(h); b.Loop(); {
		x.send(h)
	}
	if x.answer.status != http.StatusOK {
		b.Fatalf("status %d, want 200", x.answer.status)
	}
	b.ReportMetric(float64(x.answer.size), "bytes/answer")
}

func benchConfig() graph.Config {
	return graph.Config{Users: user.NewService(newUsers(50), nil, nil, time.Now), Log: slog.New(slog.DiscardHandler)}
}

func newBench(tb testing.TB) http.Handler {
	h, err := graph.NewHandler(benchConfig())
	if err != nil {
		tb.Fatal(err)
	}
	return h
}

func BenchmarkTypename(b *testing.B) { benchmark(b, newBench(b), repeatedly(b, `{__typename}`, nil)) }

func BenchmarkViewer(b *testing.B) { benchmark(b, newBench(b), repeatedly(b, `{viewer{scopes}}`, nil)) }

const listQuery = `query($first: Int!) {
  account { users(first: $first) { pageInfo { hasNextPage endCursor } edges { cursor node { id email firstName lastName locale } } } }
}`

func BenchmarkList(b *testing.B) {
	benchmark(b, newBench(b), repeatedly(b, listQuery, map[string]any{"first": 50}))
}

// BenchmarkListWithMembership also selects what the account records of the users.
func BenchmarkListWithMembership(b *testing.B) {
	query := strings.Replace(listQuery, "locale", "locale externalId createdAt updatedAt", 1)
	benchmark(b, newBench(b), repeatedly(b, query, map[string]any{"first": 50}))
}

// BenchmarkListByHand is the same list from the same page, written with
// encoding/json.
func BenchmarkListByHand(b *testing.B) {
	repo := newUsers(50)
	type node struct {
		ID        string `json:"id"`
		Email     string `json:"email"`
		FirstName string `json:"firstName"`
		LastName  string `json:"lastName"`
		Locale    string `json:"locale"`
	}
	type edge struct {
		Cursor string `json:"cursor"`
		Node   node   `json:"node"`
	}
	benchmark(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var asked struct {
			Query     string
			Variables struct{ First int }
		}
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		found, _ := repo.Users(r.Context(), uuid.Nil, user.Filter{}, paging.Window{})
		edges := make([]edge, 0, len(found.Items))
		for _, item := range found.Items {
			u := item.Node
			edges = append(edges, edge{paging.Cursor(item.Key),
				node{"bc/account/user/" + u.ID.String(), u.Email, u.FirstName, u.LastName, u.Locale}})
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusOK)
		_ = json.NewEncoder(w).Encode(
			map[string]any{"data": map[string]any{"account": map[string]any{"users": map[string]any{"edges": edges}}}})
	}), repeatedly(b, listQuery, map[string]any{"first": 50}))
}

// BenchmarkNewQuery parses and validates a query each time.
func BenchmarkNewQuery(b *testing.B) {
	h, n := newBench(b), 0
	x := repeatedly(b, listQuery, map[string]any{"first": 50})
	whole := x.text
	b.ReportAllocs()
	for b.Loop() {
		x.text = strings.Replace(whole, "query(", fmt.Sprintf("query q%d(", n), 1)
		n++
		x.send(h)
	}
}
