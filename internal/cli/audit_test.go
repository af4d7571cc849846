package cli_test

import (
	"crypto/tls"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/internal/test/certs"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// auditReport is the JSON output of audit verify.
type auditReport struct {
	Findings []struct {
		AccountID, EventID *string
		Kind               string
	}
	Accounts, Events int
	Complete         bool
	BegunAt          *time.Time
}

// awaitSealed waits until a server has sealed all events, as the metric says.
func awaitSealed(t *testing.T, s *server) {
	t.Helper()
	awaitText(t, s.admin+"/metrics", `\nlatchkey_audit_unsealed_seconds 0\n`)
}

// verifyAudit runs audit verify and returns its output.
func verifyAudit(t *testing.T, env map[string]string, status int, args ...string) (v auditReport) {
	t.Helper()
	out, errs, code := attempt(t, env, append([]string{"audit", "verify", "--output", "json"}, args...)...)
	check.Equal(t, code, status, "the exit status: %s", errs)
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return v
}

// A server seals all events. The commands verify, export and print the chains, and find what was changed.
func TestAuditCommands(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		env := environment(t, url)
		began := time.Now().UTC().Add(-time.Minute).Format(time.RFC3339)
		s, session := demo(t, env)
		id := s.issueAndRevoke(t, session, "Sealed")
		awaitSealed(t, s)
		v := verifyAudit(t, env, 0)
		if v.Accounts < 1 || v.Events < 5 || !v.Complete || len(v.Findings) != 0 {
			t.Errorf("got %+v, want events and no findings", v)
		}
		head := run(t, env, "audit", "head", "--account", acmeID)
		if !regexp.MustCompile(`^\{"accountId":"` + acmeID + `","number":\d+,"hash":"[0-9a-f]{64}","sealedAt":"20[^"]+Z"\}\n$`).
			MatchString(head) {
			t.Errorf("audit head: got %s, want one line", head)
		}
		lines := run(t, env, "audit", "export", "--since", began)
		check.Equal(t, strings.Count(lines, "\n"), v.Events, "the number of exported events")
		pattern := `(?s)"action":"api_token.created".*` + id + `.*"action":"api_token.revoked".*` + id
		if !regexp.MustCompile(pattern).MatchString(lines) || !strings.Contains(lines, `"action":"session.started"`) {
			t.Errorf("audit export: got %s, want it to match %s, and an event without a type", lines, pattern)
		}
		none := run(t, env, "audit", "export", "--since", "2100-01-01T00:00:00Z", "--account", acmeID)
		check.Equal(t, none, "", "the events of a later time")

		const change = "UPDATE audit_events SET actor_name = 'Another' WHERE action = 'api_token.revoked'"
		dbtest.Exec(t, url, change, change)
		v = verifyAudit(t, env, 5, "--account", acmeID)
		if len(v.Findings) != 1 || v.Findings[0].Kind != "changed" || v.Findings[0].EventID == nil {
			t.Errorf("findings: got %+v, want that one event was changed", v.Findings)
		}
		out, errs, code := attempt(t, env, "audit", "verify")
		if code != 5 || !strings.HasPrefix(out, "changed: account "+acmeID+", number ") ||
			!strings.Contains(errs, "findings: 1") {
			t.Errorf("got status %d, %s%s, want 5 and the event", code, out, errs)
		}
	})
}

// Only an operator begins the chains of a database with events again, and audit verify says so unless it knows the
// time. A server that is running seals all events again. Chains that were forgotten are not begun by a server.
func TestAuditBegin(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		env := environment(t, url)
		s, session := demo(t, env)
		s.issueAndRevoke(t, session, "Sealed")
		awaitSealed(t, s)
		events := verifyAudit(t, env, 0).Events
		expectRefusal(t, env, 4, "With --again they begin again.", "audit", "begin")
		const forget = "DELETE FROM audit_chain; DELETE FROM audit_heads; DELETE FROM audit_totals; INSERT INTO audit_totals (id) VALUES (1)"
		dbtest.Exec(t, url, forget, forget)
		s.issueAndRevoke(t, session, "Waits")
		awaitText(t, s.admin+"/metrics", `\nlatchkey_audit_broken 1\n`)
		awaitText(t, s.admin+"/metrics", `\nlatchkey_audit_unsealed_seconds 0*\.?0*[1-9]`)
		if v := verifyAudit(t, env, 5); v.BegunAt != nil {
			t.Errorf("got %+v, want no time", v)
		}
		var begun struct{ BegunAt string }
		if err := json.Unmarshal([]byte(run(t, env, "audit", "begin", "--output", "json")), &begun); err != nil {
			t.Fatal(err)
		}
		awaitText(t, s.admin+"/metrics", `\nlatchkey_audit_broken 0\n`)
		awaitSealed(t, s)
		v := verifyAudit(t, env, 5)
		if len(v.Findings) != 1 || v.Findings[0].Kind != "restarted" || v.Events < events+2 {
			t.Errorf("got %+v, want only that the chains began again, and all events", v)
		}
		verifyAudit(t, env, 0, "--begun", begun.BegunAt)
		verifyAudit(t, env, 5, "--begun", "2026-01-01T00:00:00Z")
	})
}

// Two servers that are killed while they seal leave nothing half-done.
func TestSealersAreKilled(t *testing.T) {
	const rounds = 6
	dbtest.EachURL(t, func(t *testing.T, url string) {
		env := environment(t, url)
		first, session := demo(t, env)
		for range rounds {
			second := serve(t, env)
			for range 10 {
				first.issueAndRevoke(t, session, "Killed")
			}
			second.kill()
		}
		awaitSealed(t, first)
		if v := verifyAudit(t, env, 0); v.Events < 20*rounds {
			t.Errorf("got %+v, want %d events", v, 20*rounds)
		}
	})
}

var idInLine = regexp.MustCompile(`(?m)^(?:.* - )?\{"accountId":"[^"]+","id":"([^"]+)"`)

// eventIDs returns the IDs of the events in lines of JSON, without the repetitions after a restart.
func eventIDs(text string) (ids []string) {
	for _, found := range idInLine.FindAllStringSubmatch(text, -1) {
		if !slices.Contains(ids, found[1]) {
			ids = append(ids, found[1])
		}
	}
	return ids
}

// checkStreamed fails the test unless the text has the last events of an export, at least the number, in the same
// order. A stream begins with the events that are sealed after it was configured.
func checkStreamed(t *testing.T, env map[string]string, least int, text func() string) {
	t.Helper()
	all := eventIDs(run(t, env, "audit", "export", "--since", "2020-01-01T00:00:00Z"))
	var got []string
	for range 600 {
		got = eventIDs(text())
		if len(got) > 0 && got[len(got)-1] == all[len(all)-1] {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if len(got) < least || len(got) > len(all) {
		t.Fatalf("got %d events, want %d to %d", len(got), least, len(all))
	}
	check.Equal(t, strings.Join(got, "\n"), strings.Join(all[len(all)-len(got):], "\n"), "the streamed events")
}

// A server streams all events to a file, which can be renamed, and continues after it was killed.
func TestAuditStreamToFile(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		env := environment(t, url)
		path := filepath.Join(t.TempDir(), "audit.log")
		env["LATCHKEY_AUDIT_STREAM"], env["LATCHKEY_REPLICA_NAME"] = "file:"+path, "one"
		s, session := demo(t, env)
		for range 3 {
			s.issueAndRevoke(t, session, "Streamed")
		}
		s.kill()
		s = serve(t, env)
		s.issueAndRevoke(t, session, "Streamed")
		awaitText(t, s.admin+"/metrics", `\nlatchkey_audit_stream_sent_total [1-9]`)
		if err := os.Rename(path, path+".1"); err != nil {
			t.Fatal(err)
		}
		s.issueAndRevoke(t, session, "Streamed")
		awaitSealed(t, s)
		checkStreamed(t, env, 10, func() string {
			old, _ := os.ReadFile(path + ".1")
			now, _ := os.ReadFile(path) // it is created later
			return string(old) + string(now)
		})
	})
}

// A server streams all events to a syslog receiver over TLS, which is away at first.
func TestAuditStreamToSyslog(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		env := environment(t, url)
		free, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := free.Addr().String()
		free.Close()
		authority := certs.NewAuthority(t, "Syslog")
		ca := certs.Write(t, t.TempDir(), "ca.pem", authority.PEM)
		env["LATCHKEY_AUDIT_STREAM"] = "syslog+tls://" + address + "?ca=" + ca
		s, session := demo(t, env)
		s.issueAndRevoke(t, session, "Streamed")
		issued := authority.Issue(t, certs.Options{})
		pair, err := tls.X509KeyPair(issued.Cert, issued.Key)
		if err != nil {
			t.Fatal(err)
		}
		listener, err := tls.Listen("tcp", address, &tls.Config{Certificates: []tls.Certificate{pair}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { listener.Close() })
		var mu sync.Mutex
		var text strings.Builder
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				t.Cleanup(func() { conn.Close() })
				go func() {
					from := make([]byte, 64<<10)
					for {
						n, err := conn.Read(from)
						mu.Lock()
						text.Write(from[:n])
						mu.Unlock()
						if err != nil {
							return
						}
					}
				}()
			}
		}()
		awaitSealed(t, s)
		checkStreamed(t, env, 2, func() string {
			mu.Lock()
			defer mu.Unlock()
			return regexp.MustCompile(`\d+ <109>1`).ReplaceAllString(text.String(), "\n<109>1")
		})
	})
}

// A server removes old events and what ended, says so, and the chain still verifies.
func TestRetention(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		env := environment(t, url)
		first, session := demo(t, env)
		id := first.issueAndRevoke(t, session, "Ended")
		awaitSealed(t, first)
		before := verifyAudit(t, env, 0)
		check.Equal(t, first.stop(t), 0, "the exit status")
		const events = "(SELECT event_id FROM audit_chain WHERE number <= 3)"
		// The chain must have the old times: it is sealed again.
		dbtest.Exec(t, url, `UPDATE audit_events SET at = at - 100 * 24 * 3600 * 1000000 WHERE id IN `+events+`;
			UPDATE api_tokens SET revoked_at = revoked_at - 3 * 24 * 3600 * 1000000 WHERE revoked_at IS NOT NULL`,
			`UPDATE audit_events SET at = at - interval '100 days' WHERE id IN `+events+`;
			UPDATE api_tokens SET revoked_at = revoked_at - interval '3 days' WHERE revoked_at IS NOT NULL`)
		var begun struct{ BegunAt string }
		out := run(t, env, "audit", "begin", "--again", "--output", "json")
		if err := json.Unmarshal([]byte(out), &begun); err != nil {
			t.Fatal(err)
		}
		sealing := serve(t, env)
		awaitSealed(t, sealing)
		check.Equal(t, sealing.stop(t), 0, "the exit status")
		v := verifyAudit(t, env, 0, "--begun", begun.BegunAt)
		s := serve(t, env, "--audit-retention", "720h", "--ended-retention", "24h")
		awaitText(t, s.admin+"/metrics", `\nlatchkey_retention_runs_total\{result="completed"\} 1\n`)
		awaitText(t, s.admin+"/metrics", `\nlatchkey_retention_removed_total\{table="api_tokens"\} [1-9]`)
		awaitText(t, s.admin+"/metrics", `\nlatchkey_retention_removed_total\{table="audit_events"\} [1-9]`)
		awaitSealed(t, s)
		after := verifyAudit(t, env, 0, "--begun", begun.BegunAt)
		if after.Events >= v.Events || v.Events < before.Events {
			t.Errorf("verified %d events before and %d after, want fewer", v.Events, after.Events)
		}
		if list := run(t, env, "token", "list", "--account", acmeID, "--output", "json"); strings.Contains(list, id) {
			t.Errorf("the removed token %s is in the list %s", id, list)
		}
		s.logs(t, `"msg":"old rows removed","api_tokens":1,`)
	})
}
