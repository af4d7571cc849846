package server_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"latchkey/graph/server"
	"latchkey/internal/test/check"
)

func newDocuments(t *testing.T) server.Documents {
	t.Helper()
	d, err := server.NewDocuments(schema())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDocumentsAreReadOnce(t *testing.T) {
	d := newDocuments(t)
	const query = `{ viewer { kind } }`
	first := d.Get(query)
	if first == nil {
		t.Fatal("Get: got nil, want a document")
	}
	for range 3 {
		if d.Get(query) != first {
			t.Fatal("Get of the same text: got another document, want the cached one")
		}
	}
	if d.Get(query+" ") == first {
		t.Error("Get of another text: got the same document, want another")
	}
}

func TestWhatIsNotKept(t *testing.T) {
	d := newDocuments(t)
	for name, query := range map[string]string{
		"does not parse":    `{`,
		"does not validate": `{ nothing }`,
		"is too much":       "{" + numbered(101, "a%d: __typename") + "}",
		"is long":           `{ viewer { kind } } #` + strings.Repeat("x", 20_000),
	} {
		d.Get(query)
		if weight, _ := d.Weight(); weight != 0 {
			t.Errorf("cached after a text that %s: got weight %d, want 0", name, weight)
		}
	}
}

// However many queries there are, and however much they take, what is kept of
// them is bounded.
func TestWhatIsKeptIsBounded(t *testing.T) {
	d := newDocuments(t)
	fields := strings.Repeat("kind ", 1000)
	for i := range 40 {
		if d.Get(fmt.Sprintf("query q%d { viewer { %s } }", i, fields)) == nil {
			t.Fatalf("Get %d: got nil, want a document", i)
		}
	}
	if now, most := d.Weight(); now == 0 || now > most {
		t.Errorf("weight: got %d, want from 1 to %d", now, most)
	}
}

// The documents are shared by all requests.
func TestDocumentsAreShared(t *testing.T) {
	defer goleak.VerifyNone(t)
	a := newAPI(t, withUsers)
	queries := []string{usersQuery,
		`query($first: Int!) { account { users(first: $first) { pageInfo { hasNextPage } edges { cursor node { id email } } } } }`,
		`{ viewer { scopes } }`,
		`query($a: Boolean = true) { __typename @include(if: $a) ...F } fragment F on Query { viewer { kind } }`}
	by := holding("account_users_read")
	var want []string
	for _, q := range queries {
		want = append(want, a.query(by, q, map[string]any{"first": 2}))
	}
	fresh := newAPI(t, withUsers)
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			for i := range 40 {
				q := (i + worker) % len(queries)
				check.Equal(t, fresh.query(by, queries[q], map[string]any{"first": 2}), want[q],
					"fresh.query(by, queries[q], map[string]any{\"first\": 2})")
			}
		})
	}
	group.Wait()
}
