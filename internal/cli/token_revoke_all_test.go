package cli_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

const bicyclesID = "3f1d9f0e-52b4-4c0e-8a6d-2b7c1e9d4c02"

// created issues an API token and returns its ID.
func created(t *testing.T, env map[string]string, account, name string, more ...string) string {
	t.Helper()
	out := run(t, env, append([]string{"token", "create", "--account", account, "--name", name, "--scope",
		"account_read", "--output", "json"}, more...)...)
	return regexp.MustCompile(`bc/account/apiToken/[0-9a-f-]{36}`).FindString(out)
}

// revokedAll runs token revoke --all-active-since and returns its summary.
func revokedAll(t *testing.T, env map[string]string, since time.Time, more ...string) string {
	t.Helper()
	var got struct{ APITokens, Sessions int }
	out := run(t, env, append([]string{"token", "revoke", "--all-active-since", since.Format(time.RFC3339Nano),
		"--output",
		"json"}, more...)...)
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d tokens, %d sessions", got.APITokens, got.Sessions)
}

// All tokens from before a time are revoked, in batches, with one event each. Those that were issued later stay.
func TestRevokeAllActiveSince(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		env := environment(t, url)
		run(t, env, "apply", "-f", "../manifest/demo/demo.yaml")
		const many = 19 // more than one batch
		for i := range many {
			created(t, env, acmeID, fmt.Sprintf("Token %d", i))
		}
		gone := created(t, env, acmeID, "Gone")
		run(t, env, "token", "revoke", gone, "--account", acmeID)
		created(t, env, bicyclesID, "Other")
		run(t, env, "session", "create", "--email", "owner@acme.example")
		since := time.Now()
		time.Sleep(2 * time.Millisecond)
		created(t, env, acmeID, "Later")
		run(t, env, "session", "create", "--email", "owner@acme.example")

		check.Equal(t, revokedAll(t, env, since, "--sessions", "--dry-run"), "20 tokens, 1 sessions", "dry run")
		check.Equal(t, revokedAll(t, env, since, "--dry-run"), "20 tokens, 0 sessions", "dry run without sessions")
		check.Equal(t, revokedAll(t, env, since, "--account", acmeID, "--reason", "restored"), "19 tokens, 0 sessions",
			"Acme")
		check.Equal(t, revokedAll(t, env, since, "--sessions"), "1 tokens, 1 sessions", "the rest")
		check.Equal(t, revokedAll(t, env, since, "--sessions"), "0 tokens, 0 sessions", "repeated")
		active := run(t, env, "token", "list", "--account", acmeID)
		if !strings.Contains(active, "Later") || strings.Contains(active, "Token 1") {
			t.Errorf("active tokens: got %s, want only Later", active)
		}
		events := run(t, env, "event", "list", "--account", acmeID, "--type", "api_token.revoked")
		check.Equal(t, strings.Count(events, `"revocationReason":"restored"`), many, "events with the reason")
		expectRefusal(t, env, 2, "--all-active-since: must not be more than a day in the future.", "token",
			"revoke", "--all-active-since", time.Now().Add(25*time.Hour).Format(time.RFC3339))
		expectRefusal(t, env, 3, "--account: ", "token", "revoke", "--all-active-since", since.Format(time.RFC3339Nano),
			"--account", "11111111-1111-4111-8111-111111111111")
		expectRefusal(t, env, 2, `required flag(s) "account" not set`, "token", "revoke", gone)
		expectRefusal(t, env, 2, "--sessions needs --all-active-since", "token", "revoke", gone, "--account", acmeID,
			"--sessions")
		expectRefusal(t, env, 2, "--dry-run needs", "token", "revoke", gone, "--account", acmeID, "--dry-run")
		expectRefusal(t, env, 2, "give IDs, --from or --all-active-since", "token", "revoke", gone,
			"--all-active-since",
			since.Format(time.RFC3339Nano))
	})
}

// The tokens of a list are revoked, and those that the database does not have are reported.
func TestRevokeListed(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		env := environment(t, url)
		run(t, env, "apply", "-f", "../manifest/demo/demo.yaml")
		one, two := created(t, env, acmeID, "One's token"), created(t, env, acmeID, "Two's token")
		const unknown = "bc/account/apiToken/01a22e95-91ce-76e2-9c55-edd5345bf0fd"
		list := filepath.Join(t.TempDir(), "list")
		write := func(text string) {
			if err := os.WriteFile(list, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write(one + "\n\n" + unknown + "\n")
		args := []string{"token", "revoke", "--from", list, "--account", acmeID}
		_, said, _ := attempt(t, env, append(args, "--dry-run")...)
		check.Equal(t, said, "dry run: would revoke API tokens: 1\n"+unknown+" is not in the account\n", "dry run")
		_, said, _ = attempt(t, env, args...)
		check.Equal(t, said, "revoked API tokens: 1\n"+unknown+" is not in the account\n", "revocation")
		active := run(t, env, "token", "list", "--account", acmeID)
		check.Equal(t, strings.Contains(active, one), false, "the first is active")
		check.Equal(t, strings.Contains(active, two), true, "the second is active")
		write("everything\n")
		expectRefusal(t, env, 2, "--from: line 1: must be a UUID", args...)
		expectRefusal(t, env, 2, "--from: cannot read", "token", "revoke", "--from", list+".missing", "--account",
			acmeID)
	})
}
