package graph_test

import (
	"net/http"
	"strings"
	"testing"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
)

// Where nothing may be changed, the operation that would run counts, and not
// what else the document has.
func TestReadOnly(t *testing.T) {
	const change = `mutation M{apiToken{__typename}}`
	tests := []struct {
		name, body string
		status     int
	}{
		{"a query", `{"query":"{__typename}"}`, http.StatusOK},
		{"a query beside a mutation", `{"query":"query Q{__typename} ` + change + `","operationName":"Q"}`,
			http.StatusOK},
		{"a mutation", `{"query":"` + change + `"}`, http.StatusForbidden},
		{"one by name", `{"query":"query Q{__typename} ` + change + `","operationName":"M"}`, http.StatusForbidden},
		{"one by name, which is given twice",
			`{"query":"query Q{__typename} ` + change + `","operationName":"Q","operationName":"M"}`,
			http.StatusForbidden},
		{"the document given twice", `{"query":"{__typename}","query":"` + change + `"}`, http.StatusForbidden},
		{"one in a fragment", `{"query":"mutation{...F} fragment F on Mutation{apiToken{__typename}}"}`,
			http.StatusForbidden},
		{"one behind a comment", `{"query":"# query\n,,` + change + `"}`, http.StatusForbidden},
		{"one in escapes", `{"query":"\u006dutation{apiToken{__typename}}"}`, http.StatusForbidden},
		{"one that skips what it does", `{"query":"mutation{apiToken@skip(if:true){__typename} __typename}"}`,
			http.StatusForbidden},
	}
	h := newAPI(t, nil)
	by := auth.OperatorPrincipal()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRequest(http.MethodPost, "", tt.body)
			open := h.send(r, &by)
			if open.Code != http.StatusOK {
				t.Fatalf("without the restriction: got %d: %s, want 200", open.Code, open.Body)
			}
			r = newRequest(http.MethodPost, "", tt.body)
			w := h.send(r.WithContext(auth.ReadOnly(r.Context(), fault.Errorf(fault.Forbidden, "Not now."))), &by)
			held := strings.Contains(w.Body.String(), `"message":"Not now."`) &&
				strings.Contains(w.Body.String(), `"code":"FORBIDDEN"`)
			if w.Code != tt.status || held != (tt.status == http.StatusForbidden) {
				t.Errorf("status %d, want %d: %s", w.Code, tt.status, w.Body)
			}
		})
	}
}
