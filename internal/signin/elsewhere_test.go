package signin_test

import (
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/internal/secret"
	"latchkey/internal/signin"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/test/world"
	"latchkey/internal/user"
)

// statements records the SQL statements.
type statements struct {
	mu   sync.Mutex
	text []string
}

func (s *statements) add(sql string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text = append(s.text, sql)
}

func (s *statements) take() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := strings.Join(s.text, "\n")
	s.text = nil
	return taken
}

// Sign-in, password reset and invitation run the same statements and give the
// same answers for an unknown address and for one with an accepted or pending
// membership in another account.
func TestAddressesKnownElsewhereAreTreatedAlike(t *testing.T) {
	var ran statements
	dbtest.EachURL(t, func(t *testing.T, url string) {
		w := newFixture(t, world.New(t, url, world.Options{At: time.Now(), OnStatement: ran.add}))
		const nobody, pending = "nobody@there.example", "pending@there.example"
		member := w.away.Users[1]
		w.gives(member)
		_, err := w.Users.CreateWithPassword(w.Context(), owner(w.away),
			user.Details{Email: pending, FirstName: "K", LastName: "P", Locale: "fr"}, twice(phrase))
		w.must(err)
		doors := []struct {
			name string
			do   func(email string) (string, error)
		}{
			{"sign in", func(email string) (string, error) {
				_, err := w.signIn.VerifyPassword(w.Context(), email, secret.NewPassword("a wrong one"), here)
				return "", err
			}},
			{"forgot", func(email string) (string, error) { return "", w.signIn.Forgot(email, here) }},
			{"invite", w.invitesAlike},
			{"invite again", w.invitesAlike},
			{"sign in, pending here", func(email string) (string, error) {
				_, err := w.signIn.VerifyPassword(w.Context(), email, secret.NewPassword("a wrong one"), here)
				return "", err
			}},
		}
		try := func(email string) (answers []string) {
			for _, door := range doors {
				ran.take()
				answer, err := door.do(email)
				if err != nil {
					answer = err.Error()
				}
				answers = append(answers, door.name+": "+varying.ReplaceAllString(answer, "*")+"\n"+ran.take())
			}
			return answers
		}
		want := try(nobody)
		for _, email := range []string{pending, member.Email} {
			for i, got := range try(email) {
				check.Equal(t, got, want[i], "%s differs from an unknown address", email)
			}
		}
		if !strings.Contains(want[0], "wrong") || !strings.Contains(want[2], "INSERT") {
			t.Errorf("the doors did %q, want a refusal first and an INSERT third", want)
		}
	})
}

var varying = regexp.MustCompile(`lkl_\w+|\S+@\S+`)

// invitesAlike invites the address to home, and returns the outcome.
func (w *fixture) invitesAlike(email string) (string, error) {
	done, err := w.signIn.Invite(w.Context(), owner(w.home),
		signin.Invitee{Details: user.Details{Email: email, FirstName: "A", LastName: "B"}})
	return string(done.Outcome) + " " + done.Address + " " + done.Person.FirstName, err
}
