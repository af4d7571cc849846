package formtoken_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/signin/formtoken"
	dbtest "latchkey/internal/test/db"
)

// idAt returns a form token that was issued at the time.
func idAt(at time.Time) string {
	id := uuid.Must(uuid.NewV7())
	ms := at.UnixMilli()
	for i := range 6 {
		id[i] = byte(ms >> (8 * (5 - i)))
	}
	return id.String()
}

func TestClaim(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db := dbtest.Open(t, url)
		w, other := dbtest.Seed{}.Make(t, db), dbtest.Seed{}.Make(t, db)
		now := time.Now()
		forms := formtoken.NewFormTokens(db.SentForms(), func() time.Time { return now })
		by, stranger := &auth.Principal{NoCredential: "a test", AccountID: w.Account.ID},
			&auth.Principal{NoCredential: "a test", AccountID: other.Account.ID}
		id, old := forms.New(), idAt(now.Add(-formtoken.OpenFor+time.Minute))
		for _, step := range []struct {
			name string
			by   *auth.Principal
			id   string
			wait time.Duration
			want fault.Kind
		}{
			{"sent", by, id, 0, ""},
			{"sent again", by, id, 0, fault.Conflict},
			{"in another account", stranger, id, 0, ""},
			{"sent late", by, old, 0, ""},
			{"another one", by, forms.New(), 0, ""},
			{"no id", by, "", 0, fault.Invalid},
			{"no UUID", by, "x", 0, fault.Invalid},
			{"an id that says no time", by, uuid.NewString(), 0, fault.Invalid},
			{"shown too long ago", by, idAt(now.Add(-formtoken.OpenFor - time.Minute)), 0, fault.Invalid},
			{"shown in the future", by, idAt(now.Add(formtoken.OpenFor + time.Minute)), 0, fault.Invalid},
			{"another one, nearly a day later", by, idAt(now.Add(formtoken.OpenFor)), formtoken.OpenFor - 2*time.Minute,
				""},
			{"again after a day", by, id, time.Minute, fault.Conflict},
			{"again after it is too old", by, id, 2 * time.Minute, fault.Invalid},
			{"another one, which lets the old ones be forgotten", by, idAt(now.Add(3 * formtoken.OpenFor)),
				2 * formtoken.OpenFor, ""},
			{"one that is forgotten", by, id, 0, fault.Invalid},
		} {
			t.Run(step.name, func(t *testing.T) {
				now = now.Add(step.wait)
				err := forms.Claim(t.Context(), step.by, step.id)
				if got := fault.KindOf(err); err != nil && got != step.want || (err == nil) != (step.want == "") {
					t.Errorf("got %v, want kind %q", err, step.want)
				}
			})
		}
		if first, err := db.SentForms().Claim(t.Context(), auth.NoActor("a test"), w.Account.ID, uuid.MustParse(id),
			now, now); err != nil || !first {
			t.Errorf("Claim of an old form = %v, %v, want it to be the first", first, err)
		}
	})
}

// However many processes a form reaches at once, it is new to one.
func TestClaimOnce(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		first, second := dbtest.Open(t, url), dbtest.Open(t, url)
		w := dbtest.Seed{}.Make(t, first)
		by := &auth.Principal{NoCredential: "a test", AccountID: w.Account.ID}
		replicas := []*formtoken.FormTokens{formtoken.NewFormTokens(first.SentForms(), time.Now),
			formtoken.NewFormTokens(second.SentForms(), time.Now)}
		for range 20 {
			id := replicas[0].New()
			var claimed atomic.Int32
			var group sync.WaitGroup
			for i := range 6 {
				group.Go(func() {
					switch err := replicas[i%2].Claim(t.Context(), by, id); {
					case err == nil:
						claimed.Add(1)
					case fault.KindOf(err) != fault.Conflict:
						t.Errorf("a claim that comes second: got error %v, want kind %s", err, fault.Conflict)
					}
				})
			}
			group.Wait()
			if n := claimed.Load(); n != 1 {
				t.Fatalf("claims of a form: %d succeeded, want 1", n)
			}
		}
	})
}
