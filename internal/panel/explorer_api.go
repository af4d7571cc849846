package panel

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"latchkey/internal/auth"
)

// apiRequest is the body of a request to the API.
type apiRequest struct {
	Query         string          `json:"query"`
	Variables     json.RawMessage `json:"variables,omitempty"`
	OperationName string          `json:"operationName,omitempty"`
}

// apiContext returns the context in which the API serves the visitor's session, with the same rules as for any
// other session. It is read-only if the visitor's last proof of identity is too old.
func (h *explorerHandler) apiContext(q *request) context.Context {
	origin := q.origin
	ctx := auth.WithRenewal(q.r.Context(), q.by, func(ctx context.Context) (*auth.Principal, error) {
		record, err := h.sessions.lookup(ctx, credential(q.r), origin)
		if err != nil {
			return nil, err
		}
		return record.For(origin, q.now()), nil
	})
	if held := h.mutationsHeld(q); held != nil {
		ctx = auth.ReadOnly(ctx, held)
	}
	return ctx
}

// call calls the API and returns its response.
func (h *explorerHandler) call(q *request, body []byte) *apiResponse {
	r := (&http.Request{
		Method: http.MethodPost, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(bytes.NewReader(body)),
	}).WithContext(h.apiContext(q))
	r.SetPathValue("account_uuid", q.by.AccountID.String())
	answer := &apiResponse{header: http.Header{"X-Request-Id": {q.origin.RequestID}}, status: http.StatusOK}
	h.api.ServeHTTP(answer, r)
	return answer
}

// query queries the API for the data of a page and decodes it into the value. It returns an error if the response
// has any errors.
func (h *explorerHandler) query(q *request, query string, variables map[string]string, result any) error {
	encoded, err := json.Marshal(variables)
	if err != nil {
		return err
	}
	body, err := json.Marshal(apiRequest{Query: query, Variables: encoded})
	if err != nil {
		return err
	}
	answer := h.call(q, body)
	var found struct {
		Data   json.RawMessage
		Errors []struct{ Message string }
	}
	if err := json.Unmarshal(answer.body.Bytes(), &found); err != nil {
		return fmt.Errorf("decode the API's response: %w", err)
	}
	if len(found.Errors) > 0 {
		return fmt.Errorf("the API returned status %d: %s", answer.status, found.Errors[0].Message)
	}
	return json.Unmarshal(found.Data, result)
}

// apiResponse is a recorded response. It implements http.ResponseWriter.
type apiResponse struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (h *apiResponse) Header() http.Header { return h.header }

func (h *apiResponse) WriteHeader(status int) { h.status = status }

func (h *apiResponse) Write(text []byte) (int, error) { return h.body.Write(text) }

// indented formats JSON with indentation. It returns any other text unchanged.
func indented(text []byte) string {
	var laidOut bytes.Buffer
	if json.Indent(&laidOut, text, "", "  ") != nil {
		return string(text)
	}
	return strings.TrimSpace(laidOut.String())
}
