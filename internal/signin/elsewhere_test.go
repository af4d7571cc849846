package signin_test

import (
	"regexp"
	"strings"
	"sync"
	"testing"

	"latchkey/internal/dbtest"
	"latchkey/internal/gormdb"
	"latchkey/internal/secret"
	"latchkey/internal/signin"
	"latchkey/internal/user"
)

// statements gathers the text of statements.
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

// Signing in, asking for another password, and inviting run the same statements and answer alike, whether nobody has
// the address, or another account has a member or somebody pending with it.
func TestAddressesKnownElsewhereAreTreatedAlike(t *testing.T) {
	var ran statements
	dbtest.EachURL(t, func(t *testing.T, url string) {
		w := newWorld(t, dbtest.OpenWith(t, gormdb.Config{URL: url, OnStatement: ran.add}))
		const nobody, pending = "nobody@there.example", "pending@there.example"
		member := w.away.Users[1]
		w.gives(member)
		_, err := w.users.CreateWithPassword(w.Context(), owner(w.away), user.Details{Email: pending, FirstName: "K", LastName: "P", Locale: "fr"}, twice(phrase))
		w.must(err)
		doors := []struct {
			name string
			do   func(email string) (string, error)
		}{
			{"sign in", func(email string) (string, error) {
				_, err := w.signIn.Password(w.Context(), email, secret.NewPassword("a wrong one"), here)
				return "", err
			}},
			{"forgot", func(email string) (string, error) { return "", w.signIn.Forgot(email, here) }},
			{"invite", w.invitesAlike},
			{"invite again", w.invitesAlike},
			{"sign in, pending here", func(email string) (string, error) {
				_, err := w.signIn.Password(w.Context(), email, secret.NewPassword("a wrong one"), here)
				return "", err
			}},
		}
		try := func(email string) (told []string) {
			for _, door := range doors {
				ran.take()
				answer, err := door.do(email)
				if err != nil {
					answer = err.Error()
				}
				told = append(told, door.name+": "+varying.ReplaceAllString(answer, "*")+"\n"+ran.take())
			}
			return told
		}
		want := try(nobody)
		for _, email := range []string{pending, member.Email} {
			for i, got := range try(email) {
				if got != want[i] {
					t.Errorf("%s differs from an address that nobody has:\n%s\n%s", email, got, want[i])
				}
			}
		}
		if !strings.Contains(want[0], "wrong") || !strings.Contains(want[2], "INSERT") {
			t.Errorf("the doors did %q", want)
		}
	})
}

var varying = regexp.MustCompile(`lkl_\w+|\S+@\S+`)

// invitesAlike invites the person of an address to home, and returns the outcome.
func (w *world) invitesAlike(email string) (string, error) {
	done, err := w.signIn.Invite(w.Context(), owner(w.home), signin.Invitee{Details: user.Details{Email: email, FirstName: "A", LastName: "B"}})
	return string(done.Outcome) + " " + done.Address + " " + done.Person.FirstName, err
}
