package token_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"

	"latchkey/internal/fault"
	"latchkey/internal/token"
)

func TestFind(t *testing.T) {
	eachFixture(t, func(t *testing.T, h *fixture) {
		for _, level := range levels {
			o := h.request(level).Owner
			var made []token.Token
			for i := range 3 {
				req := h.request(level)
				req.Name = fmt.Sprintf("Token %d", i)
				made = append(made, h.create(req).Token)
			}
			if _, err := h.Revoke(t.Context(), h.owner, token.RevokeRequest{IDs: []uuid.UUID{made[2].ID}}); err != nil {
				t.Fatal(err)
			}
			for _, tc := range []struct {
				name   string
				search token.Search
				want   string
				total  int
			}{
				{"default order", token.Search{Size: 10}, "Token 0, Token 1", 2},
				{"without a size", token.Search{}, "Token 0", 2},
				{"negative skip", token.Search{Size: 10, Skip: -1}, "Token 0, Token 1", 2},
				{"text with surrounding space", token.Search{Size: 10, Text: " token 1\t"}, "Token 1", 1},
				{"revoked", token.Search{Size: 10,
					Query: token.Query{Filter: token.Filter{Statuses: []token.Status{token.Revoked}}}}, "Token 2", 1},
			} {
				t.Run(fmt.Sprint(level, " ", tc.name), func(t *testing.T) {
					found, err := h.Find(t.Context(), h.owner, o, tc.search)
					if err != nil {
						t.Fatal(err)
					}
					var names []string
					for _, each := range found.Tokens {
						names = append(names, each.Name)
						if !o.Holds(each) {
							t.Errorf("found %s, a token of another owner, want only those of %v", each.Name, o)
						}
					}
					if got := strings.Join(names, ", "); got != tc.want || found.Total != tc.total {
						t.Errorf("found %q of %d, want %q of %d", got, found.Total, tc.want, tc.total)
					}
				})
			}
			if room, err := h.Capacity(t.Context(), h.owner, o); err != nil ||
				room != (token.Capacity{Live: 2, Max: token.DefaultMaxLive}) || room.Full() {
				t.Errorf("Capacity() = %+v, %v, want 2 of %d tokens", room, err, token.DefaultMaxLive)
			}
			for _, text := range []string{strings.Repeat("é", token.MaxSearchText+1), "a\x00b", "\xff"} {
				_, err := h.Find(t.Context(), h.owner, o, token.Search{Text: text})
				wantFaults(t, err, string(fault.Invalid)+" search")
			}
		}
		if r := (token.Capacity{Live: 50, Max: 50}); !r.Full() {
			t.Error("Full() with 50 of 50 tokens = false, want true")
		}
	})
}
