package scimapi_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
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

// A request that fails because its time ended can be sent again after any error that this caused.
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

// crowded is a repository with many users, whose pages are large answers.
type crowded struct{ directory.Repository }

func (crowded) Users(context.Context, uuid.UUID, directory.Query) (directory.Page[scim.User], error) {
	users := make([]scim.User, 200)
	for i := range users {
		users[i] = scim.User{ID: uuid.New(), UserName: strings.Repeat("u", 200) + "@corp.example"}
	}
	return directory.Page[scim.User]{Total: int64(len(users)), Items: users}, nil
}

// slowClient reads nothing of an answer until resume is closed.
type slowClient struct {
	*httptest.ResponseRecorder

	waits, resume chan struct{}
}

func (c slowClient) Write(text []byte) (int, error) {
	c.waits <- struct{}{}
	<-c.resume
	return c.ResponseRecorder.Write(text)
}

// Clients that read slowly keep a bounded number of large answers of their account in memory, and keep no other account
// waiting.
func TestSlowReadersAreBounded(t *testing.T) {
	h := scimapi.New(directory.NewService(crowded{}, nil, time.Now, nil), publicURL, slog.New(slog.DiscardHandler))
	get := func(w http.ResponseWriter, account uuid.UUID, left time.Duration) {
		by := &auth.Principal{NoCredential: "a test", Kind: auth.APIToken, ID: uuid.New(), AccountID: account,
			Scopes: scope.NewSet(scope.AccountUsersRead)}
		ctx, cancel := context.WithTimeout(auth.With(t.Context(), by), left)
		defer cancel()
		r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/?count=200", nil)
		r.SetPathValue("account_uuid", account.String())
		r.SetPathValue("resource", "Users")
		h.ServeHTTP(w, r)
	}
	account, other := uuid.New(), uuid.New()
	slow := slowClient{waits: make(chan struct{}), resume: make(chan struct{})}
	var sending sync.WaitGroup
	for range directory.MaxSending {
		sending.Go(func() {
			get(slowClient{httptest.NewRecorder(), slow.waits, slow.resume}, account, time.Minute)
		})
		<-slow.waits
	}
	refused := httptest.NewRecorder()
	get(refused, account, 50*time.Millisecond)
	check.Equal(t, refused.Code, 503, "the status of one more answer")
	served := httptest.NewRecorder()
	get(served, other, time.Minute)
	check.Equal(t, served.Code, 200, "the status of another account's answer")
	if n := served.Body.Len(); n < directory.LargeAnswer {
		t.Errorf("the answer has %d bytes, want %d at least", n, directory.LargeAnswer)
	}
	close(slow.resume)
	sending.Wait()
	again := httptest.NewRecorder()
	get(again, account, time.Minute)
	check.Equal(t, again.Code, 200, "the status after the slow clients have read")
}
