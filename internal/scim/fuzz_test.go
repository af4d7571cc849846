package scim_test

import (
	"errors"
	"testing"

	"latchkey/internal/scim"
)

// Queries and bodies of any form are read within the limits, or refused with a status of the client's.
func FuzzSearch(f *testing.F) {
	for _, text := range []string{`filter=userName+eq+%22a%22&count=10&startIndex=1`, `COUNT=-1&attributes=a,b.c`,
		`{"filter":"a pr","count":5,"attributes":["userName"]}`, `{"a":[[[[{}]]]]}`, `%zz`, `filter=a&FILTER=b`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		fromQuery, queryErr := scim.ReadQuery(text)
		fromBody, bodyErr := scim.ReadSearch([]byte(text))
		for _, each := range []struct {
			search scim.Search
			err    error
		}{{fromQuery, queryErr}, {fromBody, bodyErr}} {
			var refused *scim.Error
			switch {
			case each.err == nil && each.search.Count < 0:
				t.Errorf("%q: got a count of %d", text, each.search.Count)
			case each.err != nil && (!errors.As(each.err, &refused) || refused.Status != 400):
				t.Errorf("%q: got %v, want an error with status 400", text, each.err)
			}
		}
	})
}
