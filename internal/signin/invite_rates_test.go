package signin_test

import (
	"crypto/rand"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/signin"
)

// invitation is a mail from a user of an account to an address.
type invitation struct {
	sender, account int
	address         string
}

func (i invitation) by() *auth.Principal {
	return &auth.Principal{Kind: auth.Session, ID: numbered(1, i.sender), AccountID: numbered(2, i.account)}
}

// numbered returns the same UUID for the same numbers.
func numbered(kind byte, n int) uuid.UUID {
	return uuid.NewSHA1(uuid.Nil, []byte{kind, byte(n), byte(n >> 8)})
}

// Each limit is reached separately, does not count refused invitations, and
// recovers over time.
func TestInvitationRates(t *testing.T) {
	to := func(i int) string { return fmt.Sprintf("user%d@acme.example", i) }
	for _, tc := range []struct {
		name    string
		allowed int
		nth     func(i int) invitation
		// refused is the next invitation, and free one that differs in what is
		// limited.
		refused, free invitation
		says          string
		again         time.Duration
	}{
		{"sender", 100, func(i int) invitation { return invitation{1, 1, to(i)} },
			invitation{1, 1, "next@acme.example"}, invitation{2, 1, "next@acme.example"},
			"at most 100 an hour by one user. Invite them again in 1 min.", time.Hour / 100},
		{"account", 500, func(i int) invitation { return invitation{i % 50, 1, to(i)} },
			invitation{77, 1, "next@acme.example"}, invitation{78, 2, "next@acme.example"},
			"at most 500 a day by one account. Invite them again in 3 min.", 24 * time.Hour / 500},
		{"address by an account", 10,
			func(i int) invitation { return invitation{i, 1, strings.ToUpper("next@acme.example")} },
			invitation{77, 1, "next@acme.example"}, invitation{77, 2, "next@acme.example"},
			"at most 10 a day by one account to one address.", 24 * time.Hour / 10},
		{"address", 50, func(i int) invitation { return invitation{i, i, strings.ToUpper("next@acme.example")} },
			invitation{77, 77, "next@acme.example"}, invitation{77, 77, "other@acme.example"},
			"at most 50 a day to one address.", 24 * time.Hour / 50},
	} {
		t.Run(tc.name, func(t *testing.T) {
			now := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
			s, err := signin.NewService(signin.Config{Random: rand.Reader, Now: func() time.Time { return now }})
			if err != nil {
				t.Fatal(err)
			}
			mails := func(i invitation) error { return s.MayMail(i.by(), i.address) }
			for i := range tc.allowed {
				if err := mails(tc.nth(i)); err != nil {
					t.Fatalf("number %d: %v", i, err)
				}
			}
			for range 150 { // more than any other limit has left
				if err := mails(tc.refused); fault.KindOf(err) != fault.RateLimited ||
					!strings.Contains(err.Error(), tc.says) {
					t.Fatalf("one too many: got error %v, want kind %s that says %q", err, fault.RateLimited, tc.says)
				}
			}
			operator := auth.OperatorPrincipal()
			operator.AccountID = tc.refused.by().AccountID
			if err := s.MayMail(&operator, tc.refused.address); err != nil {
				t.Errorf("the operator is limited: %v", err)
			}
			if err := mails(tc.free); err != nil {
				t.Errorf("what is not limited: %v", err)
			}
			now = now.Add(tc.again - time.Second)
			if err := mails(tc.refused); fault.KindOf(err) != fault.RateLimited {
				t.Errorf("a second early: got error %v, want kind %s", err, fault.RateLimited)
			}
			now = now.Add(time.Second)
			if err := mails(tc.refused); err != nil {
				t.Errorf("after %s: %v", tc.again, err)
			}
		})
	}
}
