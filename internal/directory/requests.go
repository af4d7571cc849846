package directory

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/scope"
	"latchkey/internal/user"
)

// MaxFailures is the number of failed requests of an account that are recorded, the newest ones.
const MaxFailures = 50

// Request is a request of an identity provider, as the control panel shows it.
type Request struct {
	AccountID uuid.UUID
	// ID orders requests by time.
	ID uuid.UUID
	At time.Time
	// TokenID is the API token, and TokenName its name.
	TokenID   uuid.UUID
	TokenName string
	// Method is the HTTP method, and Resource what was requested, such as Users.
	Method, Resource string
	// Subject is the user's address or ID, or the group's name or ID; empty for lists.
	Subject string
	// Status is the HTTP status of the answer.
	Status int
	// Detail is what the answer says is wrong. It is empty if the request succeeded.
	Detail string
	// RequestID finds the request in the logs.
	RequestID string
}

// Failed reports whether the request is recorded as failed. Requests for resources that do not exist are part of what
// identity providers do, and so are those that are sent again because of a stale version or the rate limit.
func (r Request) Failed() bool {
	switch r.Status {
	case 404, 412, 429:
		return false
	}
	return r.Status >= 400
}

const (
	// maxAccounts is the number of accounts whose requests are held until they are saved. The requests of further
	// accounts are not recorded.
	maxAccounts = 1000
	// maxText is the length in bytes of a recorded text. The rest is cut off.
	maxText = 256
)

// log holds the requests that are not saved yet, by account.
type log struct {
	mu sync.Mutex
	of map[uuid.UUID]*pending
}

// pending are the requests of an account: the last one, and the newest MaxFailures of those that failed.
type pending struct {
	last   Request
	failed []Request
}

func (l *log) add(r Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.of[r.AccountID]
	if p == nil {
		if len(l.of) >= maxAccounts {
			return
		}
		if l.of == nil {
			l.of = map[uuid.UUID]*pending{}
		}
		p = &pending{}
		l.of[r.AccountID] = p
	}
	p.last = r
	if !r.Failed() {
		return
	}
	if len(p.failed) == MaxFailures {
		p.failed = slices.Delete(p.failed, 0, 1)
	}
	p.failed = append(p.failed, r)
}

// take removes the requests and returns those of each account.
func (l *log) take() [][]Request {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all [][]Request
	for _, p := range l.of {
		requests := p.failed
		if !p.last.Failed() { // otherwise it is among them
			requests = append(requests, p.last)
		}
		all = append(all, requests)
	}
	l.of = nil
	return all
}

// Note records a request of the principal soon; see Run. It sets the request's account, token, ID and time. It ignores
// requests of principals other than account-level API tokens with a scope for users: they are not of an identity
// provider.
func (s *Service) Note(by *auth.Principal, r Request) {
	if MayDiscover(by) != nil || !slices.ContainsFunc(userScopes, by.Scopes.Has) {
		return
	}
	r.AccountID, r.TokenID, r.TokenName, r.RequestID = by.AccountID, by.ID, by.Name, by.Origin.RequestID
	r.ID, r.At = uuid.Must(uuid.NewV7()), s.now.Timestamp()
	for _, text := range []*string{&r.TokenName, &r.Method, &r.Resource, &r.Subject, &r.Detail, &r.RequestID} {
		*text = recorded(*text)
	}
	s.log.add(r)
}

// userScopes are the scopes of the API tokens of identity providers.
var userScopes = []string{scope.AccountUsersRead, scope.AccountUsersWrite, scope.AccountUsersDelete}

// recorded returns a text as it is recorded: without bytes that a database refuses, without control characters and
// invisible ones, which can make a text look like another, of at most maxText bytes, and in memory of its own, so that
// the body of a request is not kept for a part of it.
func recorded(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) {
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(cut(text), "\uFFFD"))
	return strings.Clone(cut(text)) // a replacement is longer than what it replaces
}

// cut returns the beginning of a text, of at most maxText bytes and with whole characters.
func cut(text string) string {
	if len(text) <= maxText {
		return text
	}
	end := maxText
	for end > maxText-utf8.UTFMax && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}

const (
	// flushTime is the timeout of a flush.
	flushTime = 20 * time.Second
	// accountsTogether is the number of accounts whose requests are saved in one transaction.
	accountsTogether = 50
)

// Flush saves the noted requests. Those that cannot be saved are lost: they are for information only. If the requests
// of one account cannot be saved, for example because it was deleted meanwhile, those of the others are.
func (s *Service) Flush(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, flushTime)
	defer cancel()
	var failed []error
	for accounts := range slices.Chunk(s.log.take(), accountsTogether) {
		err := s.repo.SaveRequests(ctx, slices.Concat(accounts...))
		if err != nil && !errors.Is(err, fault.ErrUnavailable) && len(accounts) > 1 {
			err = s.saveApart(ctx, accounts)
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// saveApart saves the requests of each account in a transaction of its own.
func (s *Service) saveApart(ctx context.Context, accounts [][]Request) error {
	var failed []error
	for _, requests := range accounts {
		failed = append(failed, s.repo.SaveRequests(ctx, requests))
	}
	return errors.Join(failed...)
}

// Run flushes at every interval until ctx is done, and then once more. It calls failed with each error.
func (s *Service) Run(ctx context.Context, interval time.Duration, failed func(error)) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		done := false
		select {
		case <-ticker.C:
		case <-ctx.Done():
			done = true
		}
		if err := s.Flush(context.WithoutCancel(ctx)); err != nil {
			failed(err)
		}
		if done {
			return
		}
	}
}

// Requests returns the last request of identity providers to the principal's account, or the zero Request, and the last
// failed ones, newest first. It returns fault.Forbidden unless the principal may list all users.
func (s *Service) Requests(ctx context.Context, by *auth.Principal) (last Request, failed []Request, err error) {
	if err := user.MayListAll(by); err != nil {
		return Request{}, nil, err
	}
	return s.repo.Requests(ctx, by.AccountID)
}
