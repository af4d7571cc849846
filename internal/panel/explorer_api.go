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

// apiRequest are the parameters of a request to the API.
type apiRequest struct {
	Query         string          `json:"query"`
	Variables     json.RawMessage `json:"variables,omitempty"`
	OperationName string          `json:"operationName,omitempty"`
}

// apiContext is the context in which the API answers the visitor, as it would
// answer their session anywhere else. Where they proved who they are too long
// ago, it changes nothing.
func (v *visit) apiContext() context.Context {
	origin := v.who.Origin
	ctx := auth.WithRenewal(v.r.Context(), v.by, func(ctx context.Context) (*auth.Principal, error) {
		record, err := v.Look(ctx, v.Credential(v.r), origin)
		if err != nil {
			return nil, err
		}
		return record.For(origin, v.Now()), nil
	})
	if held := v.mutationsHeld(); held != nil {
		ctx = auth.ReadOnly(ctx, held)
	}
	return ctx
}

// ask asks the API, and returns what it answers.
func (v *visit) ask(request []byte) *heard {
	r := (&http.Request{
		Method: http.MethodPost, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(request)),
	}).WithContext(v.apiContext())
	r.SetPathValue("account_uuid", v.by.AccountID.String())
	answer := &heard{header: http.Header{"X-Request-Id": {v.who.Origin.RequestID}}, status: http.StatusOK}
	v.API.ServeHTTP(answer, r)
	return answer
}

// askFor asks the API for what a page shows. It returns an error for an answer
// that is not all of it.
func (v *visit) askFor(query string, variables map[string]string, into any) error {
	encoded, err := json.Marshal(variables)
	if err != nil {
		return err
	}
	request, err := json.Marshal(apiRequest{Query: query, Variables: encoded})
	if err != nil {
		return err
	}
	answer := v.ask(request)
	var found struct {
		Data   json.RawMessage
		Errors []struct{ Message string }
	}
	if err := json.Unmarshal(answer.body.Bytes(), &found); err != nil {
		return fmt.Errorf("the API's answer: %w", err)
	}
	if len(found.Errors) > 0 {
		return fmt.Errorf("the API answers %d: %s", answer.status, found.Errors[0].Message)
	}
	return json.Unmarshal(found.Data, into)
}

// heard is an answer that is kept.
type heard struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (h *heard) Header() http.Header            { return h.header }
func (h *heard) WriteHeader(status int)         { h.status = status }
func (h *heard) Write(text []byte) (int, error) { return h.body.Write(text) }

// indented is JSON as people read it.
func indented(text []byte) string {
	var laidOut bytes.Buffer
	if json.Indent(&laidOut, text, "", "  ") != nil {
		return string(text)
	}
	return strings.TrimSpace(laidOut.String())
}
