package scimapi_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/directory"
	"latchkey/internal/httpserver/scimapi"
	"latchkey/internal/scim"
	"latchkey/internal/scope"
	"latchkey/internal/test/check"
)

// interrupted is a repository whose reads fail.
type interrupted struct{ directory.Repository }

func (interrupted) Users(context.Context, uuid.UUID, directory.Query) (directory.Page[scim.User], error) {
	return directory.Page[scim.User]{}, errors.New("interrupted")
}

// A request that fails because its time ended can be sent again, whatever error that caused.
func TestRequestsWhoseTimeEnds(t *testing.T) {
	by := &auth.Principal{NoCredential: "a test", Kind: auth.APIToken, ID: uuid.New(), AccountID: uuid.New(),
		Scopes: scope.NewSet(scope.AccountUsersRead)}
	h := scimapi.New(directory.NewService(interrupted{}, nil, time.Now, nil), publicURL, slog.New(slog.DiscardHandler))
	for _, tc := range []struct {
		name   string
		left   time.Duration
		status int
	}{{"with time left", time.Minute, 500}, {"after its time", -time.Second, 503}} {
		ctx, cancel := context.WithTimeout(auth.With(t.Context(), by), tc.left)
		defer cancel()
		r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
		r.SetPathValue("account_uuid", by.AccountID.String())
		r.SetPathValue("resource", "Users")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		check.Equal(t, w.Code, tc.status, "%s: status", tc.name)
		check.Equal(t, w.Header().Get("Retry-After") != "", tc.status == 503, "%s: has Retry-After", tc.name)
	}
}
