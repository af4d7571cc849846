package scimapi_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"latchkey/internal/test/check"
)

// step is one request of a suite in testdata, and what its answer must have.
type step struct {
	// Name says what the step is for.
	Name   string
	Method string
	// Path is the path below the API's address. In it, in Body and in expected texts, ${name} stands for a value that
	// an earlier step kept.
	Path string
	// Headers are added to those of every request; an empty one is removed.
	Headers map[string]string
	Body    json.RawMessage

	Status int
	// Has are values of the answer by their paths. A text in angle brackets stands for <any>, <text> or <number>.
	Has map[string]any
	// Lacks are paths that the answer does not have.
	Lacks []string
	// HasHeaders are headers of the answer, with the same texts in angle brackets.
	HasHeaders map[string]string `json:"hasHeaders"`
	// Keep keeps values of the answer: names by path. The path "ETag" is that header.
	Keep map[string]string
}

// The requests of Okta's and Entra ID's test suites and of Microsoft's reference collection, as far as they are public,
// with the answers that they expect, written as data. Requests that groups do not support are among those of Entra ID,
// with the answer that says so.
func TestSuitesOfIdentityProviders(t *testing.T) {
	for _, suite := range []string{"okta.json", "entra.json", "reference.json", "rfc.json"} {
		t.Run(strings.TrimSuffix(suite, ".json"), func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("testdata", suite))
			if err != nil {
				t.Fatal(err)
			}
			var steps []step
			if err := json.Unmarshal(text, &steps); err != nil {
				t.Fatalf("%s: %v", suite, err)
			}
			each(t, func(t *testing.T, d *directories) { run(t, d, steps) })
		})
	}
}

func run(t *testing.T, d *directories, steps []step) {
	kept := map[string]string{
		"store0":      d.home.Stores[0].ID.String(),
		"store1":      d.home.Stores[1].ID.String(),
		"storeOwner":  d.home.StoreOwner.ID.String(),
		"owner":       d.home.Owner.ID.String(),
		"user0":       d.home.Users[2].ID.String(),
		"user0.email": d.home.Users[2].Email,
		"user1":       d.home.Users[3].ID.String(),
		"away":        d.away.Users[1].ID.String(),
		"away.email":  d.away.Users[1].Email,
		"away.store":  d.away.Stores[0].ID.String(),
		"base":        publicURL + "/accounts/" + d.home.Account.ID.String() + "/scim/v2",
	}
	for i, s := range steps {
		ok := t.Run(fmt.Sprintf("%02d %s", i+1, s.Name), func(t *testing.T) {
			var headers []string
			for name, value := range s.Headers {
				headers = append(headers, name+": "+fill(t, value, kept))
			}
			a := d.send(t, s.Method, fillPath(t, s.Path, kept), fill(t, string(s.Body), kept), headers...)
			wantStatus(t, a, s.Status, s.Method+" "+s.Path)
			for path, want := range s.Has {
				if text, is := want.(string); is {
					want = fill(t, text, kept)
				}
				if got := a.at(path); !meets(got, want) {
					t.Errorf("%s: got %v in %s, want %v", path, got, a.text, want)
				}
			}
			for _, path := range s.Lacks {
				check.Equal(t, a.at(path), nil, "%s", path)
			}
			for name, want := range s.HasHeaders {
				if got := a.Header.Get(name); !meets(got, fill(t, want, kept)) {
					t.Errorf("header %s: got %q, want %q", name, got, want)
				}
			}
			for name, path := range s.Keep {
				if path == "ETag" {
					kept[name] = a.Header.Get("ETag")
					continue
				}
				kept[name] = fmt.Sprint(a.at(path))
			}
		})
		if !ok {
			t.FailNow() // later steps need this one
		}
	}
}

// meets reports whether a value is the wanted one, or of the wanted kind.
func meets(got, want any) bool {
	switch want {
	case "<any>":
		return got != nil && got != ""
	case "<text>":
		text, is := got.(string)
		return is && text != ""
	case "<number>":
		_, is := got.(float64)
		return is
	}
	return reflect.DeepEqual(got, want)
}

var placeholder = regexp.MustCompile(`\$\{[^}]+\}`)

// fill replaces the names in a text by what was kept.
func fill(t *testing.T, text string, kept map[string]string) string {
	t.Helper()
	return placeholder.ReplaceAllStringFunc(text, func(name string) string {
		value, known := kept[name[2:len(name)-1]]
		if !known {
			t.Fatalf("%s is not kept, want one of %v", name, slices.Sorted(maps.Keys(kept)))
		}
		return value
	})
}

// fillPath is fill for an address whose query is written unencoded.
func fillPath(t *testing.T, text string, kept map[string]string) string {
	t.Helper()
	path, query, has := strings.Cut(fill(t, text, kept), "?")
	if !has {
		return path
	}
	var pairs []string
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		pairs = append(pairs, name+"="+url.QueryEscape(value))
	}
	return path + "?" + strings.Join(pairs, "&")
}
