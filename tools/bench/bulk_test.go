package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// Revocations are timed while bulks run, and an incomplete bulk ends the measurement.
func TestBesideBulk(t *testing.T) {
	const rounds = 500
	for _, c := range []struct{ name, created, wantErr string }{
		{"complete bulks", "1000", ""},
		{"an incomplete bulk", "999", "a bulk ended with"},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				for _, answer := range []struct{ field, data string }{
					{"createApiToken(",
						`{"apiToken": {"createApiToken": {"apiToken": {"id": "bc/account/apiToken/1"}}}}`},
					{"revokeApiTokens(",
						`{"apiToken": {"revokeApiTokens": {"revokedIds": ["bc/account/apiToken/1"]}}}`},
					{"deprovisionUsers(",
						`{"account": {"deprovisionUsers": {"counts": {"removed": 1000, "failed": 0}}}}`},
					{"provisionUsers(", `{"account": {"provisionUsers": {"counts": {"created": ` + c.created +
						`, "failed": 0}}}}`},
				} {
					if strings.Contains(string(body), answer.field) {
						_, _ = io.WriteString(w, `{"data": `+answer.data+`}`)
						return
					}
				}
			}))
			defer server.Close()
			s := &suite{accounts: accounts()[:1+bulkLoops], embedded: &latchkey{url: server.URL}}
			took, err := s.besideBulk(t.Context(), rounds)
			if (err == nil) != (c.wantErr == "") || err != nil && !strings.Contains(err.Error(), c.wantErr) {
				t.Fatalf("error %v, want %q", err, c.wantErr)
			}
			if err == nil && (len(took) != rounds || took[0] <= 0 || !slices.IsSorted(took)) {
				t.Errorf("measured %d, the shortest %v, want %d in order, all above 0", len(took), took[0], rounds)
			}
		})
	}
}
