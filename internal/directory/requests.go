package directory

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/auth"
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

// maxPending is the most requests that are held until they are saved: further ones are not recorded.
const maxPending = 1000

// log holds the requests that are not saved yet: of each account the last one, and those that failed.
type log struct {
	mu     sync.Mutex
	last   map[uuid.UUID]Request
	failed []Request
}

func (l *log) add(r Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last == nil {
		l.last = map[uuid.UUID]Request{}
	}
	if _, known := l.last[r.AccountID]; !known && len(l.last) >= maxPending {
		return
	}
	l.last[r.AccountID] = r
	if r.Failed() && len(l.failed) < maxPending {
		l.failed = append(l.failed, r)
	}
}

// take removes the requests and returns them. A request can be among them twice.
func (l *log) take() []Request {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.failed
	for _, r := range l.last {
		all = append(all, r)
	}
	l.last, l.failed = nil, nil
	return all
}

// Note records a request of the principal soon; see Run. It sets the request's account, token, ID and time.
func (s *Service) Note(by *auth.Principal, r Request) {
	r.AccountID, r.TokenID, r.TokenName, r.RequestID = by.AccountID, by.ID, by.Name, by.Origin.RequestID
	r.ID, r.At = uuid.Must(uuid.NewV7()), s.now.Timestamp()
	s.log.add(r)
}

// flushTime is the timeout of a flush.
const flushTime = 20 * time.Second

// Flush saves the noted requests. Those that cannot be saved are lost: they are for information only.
func (s *Service) Flush(ctx context.Context) error {
	requests := s.log.take()
	if len(requests) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, flushTime)
	defer cancel()
	return s.repo.SaveRequests(ctx, requests)
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
