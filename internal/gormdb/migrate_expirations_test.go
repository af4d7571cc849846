package gormdb_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/clock"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/token"
)

// Tokens that expired before the upgrade are not reported. Those that expire after it are, and only those that were
// issued for long enough as expiring.
func TestMigrationOfExpirations(t *testing.T) {
	eachEmpty(t, func(t *testing.T, url string) {
		migrateTo(t, url, 29)
		began := clock.Timestamp(time.Now())
		at := func(d time.Duration) string {
			if strings.HasPrefix(url, "sqlite:") {
				return strconv.FormatInt(began.Add(d).UnixMicro(), 10)
			}
			return "'" + began.Add(d).UTC().Format(time.RFC3339Nano) + "'"
		}
		digest := "x'00'"
		if !strings.HasPrefix(url, "sqlite:") {
			digest = `'\x00'`
		}
		owner, in := uuid.NewString(), uuid.NewString()
		statements := []string{
			fmt.Sprintf(`INSERT INTO users (id, email, email_folded, first_name, last_name, locale, created_at)
				VALUES ('%s', 'o@acme.example', 'o@acme.example', 'O', 'O', 'en', %s)`, owner, at(0)),
			fmt.Sprintf(`INSERT INTO accounts (id, name, owner_id, features, created_at) VALUES ('%s', 'Acme', '%s', '', %s)`,
				in, owner, at(0)),
		}
		const day = 24 * time.Hour
		for name, of := range map[string][2]time.Duration{
			"past": {-30 * day, -time.Hour}, "soon": {-30 * day, day}, "short": {-day, day}, "far": {-day, 60 * day},
		} {
			statements = append(statements, fmt.Sprintf(`INSERT INTO api_tokens (account_id, id, name, client_id,
				client_secret_digest, client_secret_key, scopes, allowed_ip_ranges, created_at, created_by_kind,
				created_by_name, expires_at) VALUES ('%s', '%s', '%s', '%s', %s, '', '', '', %s, 'OPERATOR', 'operator', %s)`,
				in, uuid.New(), name, name, digest, at(of[0]), at(of[1])))
		}
		for _, statement := range statements {
			execute(t, url, statement)
		}
		db := dbtest.Open(t, url)
		if _, err := db.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct {
			after time.Duration
			want  []string
		}{
			{0, []string{"soon 1"}}, {2 * day, []string{"short 2", "soon 2"}}, {54 * day, []string{"far 1"}},
			{61 * day, []string{"far 2"}},
		} {
			var got []string
			event := func(of token.Token, stage token.ExpiryStage) audit.Event {
				got = append(got, fmt.Sprint(of.Name, " ", stage))
				return audit.Event{
					ID: uuid.Must(uuid.NewV7()), AccountID: of.AccountID, At: began, Action: audit.APITokenExpired,
					Actor:  audit.Actor{Kind: audit.ActorOperator, Name: audit.ServiceName},
					Target: audit.Target{Kind: audit.TargetAPIToken, Key: of.ID.String()},
				}
			}
			now := began.Add(step.after)
			if more, err := db.Expirations().ReportExpirations(t.Context(), now, event); more || err != nil {
				t.Fatalf("ReportExpirations() = %t, %v, want false", more, err)
			}
			slices.Sort(got)
			check.Equal(t, got, step.want, "reported after %s", step.after)
		}
	})
}
