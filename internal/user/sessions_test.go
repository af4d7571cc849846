package user_test

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/user"
)

// ending is a repository that records the selection of ended sessions.
type ending struct {
	*persons

	which *user.SessionSelection
	event audit.Event
}

func (e *ending) EndSessions(_ context.Context, _ auth.Actor, which user.SessionSelection, at time.Time,
	event func(user.Session) audit.Event) ([]user.Session, error) {
	s := user.Session{ID: uuid.New(), AccountID: home, Email: "One@acme.example", CreatedAt: at}
	e.which, e.event = &which, event(s)
	return []user.Session{s}, nil
}

func (e *ending) Sessions(_ context.Context, which user.SessionSelection, _ time.Time) ([]user.Session, error) {
	e.which = &which
	return nil, nil
}

func TestEndSessions(t *testing.T) {
	repo := &ending{persons: acmeUsers()}
	s, _ := service(t, repo)
	operator := auth.OperatorPrincipal()
	operator.Origin = auth.Origin{IP: netip.MustParseAddr("192.0.2.7"), RequestID: "r-1"}
	ended, err := s.EndSessions(ctx, &operator, user.SessionFilter{Email: " ONE@acme.example", AccountID: home})
	if err != nil || len(ended) != 1 {
		t.Fatalf("EndSessions() = %+v, %v, want 1", ended, err)
	}
	if repo.which.EmailFolded != "one@acme.example" || repo.which.AccountID != home || repo.which.IDs != nil {
		t.Errorf("ended: got %+v, want those of one@acme.example in account %s", repo.which, home)
	}
	e := repo.event
	if e.Action != audit.SessionEnded || e.AccountID != home || e.At != now || e.Actor.Kind != audit.ActorOperator ||
		e.IP != "192.0.2.7" || e.RequestID != "r-1" ||
		e.Target != (audit.Target{Kind: audit.TargetSession, Key: ended[0].ID.String(), Name: "One@acme.example"}) {
		t.Errorf("event: got %+v, want %s by an operator at %v with its origin", e, audit.SessionEnded, now)
	}
	if _, err := s.Sessions(ctx, &operator, user.SessionFilter{AccountID: other}); err != nil ||
		repo.which.AccountID != other || repo.which.EmailFolded != "" {
		t.Errorf("listed: got %+v, %v, want those of account %s", repo.which, err, other)
	}
}

func TestEndSessionsRefuses(t *testing.T) {
	for _, tc := range []struct {
		name   string
		by     auth.Kind
		filter user.SessionFilter
		kind   fault.Kind
		field  string
	}{
		{"not the operator", auth.Session, user.SessionFilter{Email: "one@acme.example"}, fault.Forbidden, ""},
		{"an empty filter", auth.Operator, user.SessionFilter{}, fault.Invalid, "ids"},
		{"only an account", auth.Operator, user.SessionFilter{AccountID: home}, fault.Invalid, "ids"},
		{"an address of spaces", auth.Operator, user.SessionFilter{Email: " "}, fault.Invalid, "ids"},
		{"sessions and an address", auth.Operator,
			user.SessionFilter{IDs: []uuid.UUID{home}, Email: "one@acme.example"}, fault.Invalid, "ids"},
		{"an unknown address", auth.Operator, user.SessionFilter{Email: "nobody@acme.example"}, fault.NotFound,
			"email"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			repo := &ending{persons: acmeUsers()}
			s, _ := service(t, repo)
			_, err := s.EndSessions(ctx, &auth.Principal{Kind: tc.by, AccountID: home, AccountOwner: true}, tc.filter)
			failures := fault.Flatten(err)
			if len(failures) != 1 || failures[0].Kind != tc.kind || failures[0].Field != tc.field || repo.which != nil {
				t.Errorf("got %v, want %s on %q; ended %v", err, tc.kind, tc.field, repo.which)
			}
		})
	}
	s, _ := service(t, &ending{persons: acmeUsers()})
	if _, err := s.Sessions(ctx, &auth.Principal{NoCredential: "a test", Kind: auth.APIToken},
		user.SessionFilter{}); fault.KindOf(err) != fault.Forbidden {
		t.Errorf("Sessions() for a token: got error %v, want kind %s", err, fault.Forbidden)
	}
}
