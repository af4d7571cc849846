package panel_test

import (
	"encoding/csv"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// eventful creates events of the owner, of the owner of Acme EU and of the operator. It returns the two owners.
func eventful(s *server) (owner, storeOwner *visitor) {
	owner, storeOwner = s.signedIn(s.OwnerEmail), s.signedIn(euOwner)
	s.issued(owner, "", "Nightly export")
	s.issued(storeOwner, "acme2eu", "Till one")
	return owner, storeOwner
}

func TestAudit(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		owner, _ := eventful(s)
		place := personAt(t, owner.get(s.page("/users")), "Ana Alvarez") + "/stores/acme1us"
		owner.post(place, "permissions", "Add_Orders", "permissions",
			"Create_Store_API_Tokens").goes(place).notes("place_saved", 1)
		owner.post(place+"/status", "status", "INACTIVE").goes(place).notes("place_saved", 1)
		all := owner.get(s.page("/audit"))
		all.lacks("Create_Store_API_Tokens").lacks("INACTIVE").lacks("STORE").lacks("store_cart_read_only")
		for _, text := range []string{
			"Acme Owner created the API token “Nightly export” 127.0.0.1",
			"Store Owner created the API token “Till one” for Acme EU", "Acme Owner signed in",
			"Acme Owner changed the access of Ana Alvarez in Acme US",
			"The operator created the store Acme EU",
			"Command line", "Today · ", "Scopes", "Carts: read-only", "Actor Acme Owner (" + s.OwnerEmail + ")",
			"Permissions Add orders, Create API tokens for the store", "Status Inactive", "Level Store API token",
			"Method Password",
		} {
			all.wants(http.StatusOK, text)
		}
		for _, c := range []struct {
			query       string
			has, hasNot string
		}{
			{"who=" + url.QueryEscape(strings.ToUpper(euOwner)), "Till one", "Nightly export"},
			{"who=The+operator", "The operator created the store", "Till one"},
			{"who=operator", "The operator created the store", "Till one"},
			{"who=nobody", "No events match the filters.", "Till one"},
			{"action=api_token.created", "Till one", "signed in"},
			{"action=session", "signed in", "Till one"},
			{"action=security", "signed in", "Till one"},
			{"period=hour", "Till one", "No events match"},
			{"target=Till+one", "created the API token “Till one”", "created the API token “Nightly"},
			{"from=2020-01-01&to=2020-01-02T10:00", "No events match", "Till one"},
			{"from=2020-01-01", "Till one", "No events match"},
			{"to=2020-01-01", "No events match", "Till one"},
			{"action=api_token.created&who=" + euOwner, "Till one", "Nightly"},
		} {
			r := owner.get(s.page("/audit?"+c.query)).wants(http.StatusOK, c.has)
			if events := r.all("ol"); len(events) > 0 && strings.Contains(textOf(events[0]), c.hasNot) {
				t.Errorf("%s: got %s, want it without %q", c.query, textOf(events[0]), c.hasNot)
			}
		}
		for query, text := range map[string]string{"from=yesterday": "Enter a date and time",
			"to=x": "Enter a date and time", "action=fly": "There is no such action",
			"period=eon": "Choose one of the options"} {
			owner.get(s.page("/audit?"+query)).wants(http.StatusUnprocessableEntity, text)
			owner.get(s.page("/audit/export.csv?"+query)).wants(http.StatusUnprocessableEntity, text)
		}
		owner.get(linkCalled(t, owner.get(s.page("/audit?target=Acme+EU")), "Acme EU")).wants(http.StatusOK,
			"All users of Acme EU")
		about, err := url.Parse(linkCalled(t, owner.get(s.page("/audit?target=Till+one")),
			"All events with this target"))
		if err != nil {
			t.Fatal(err)
		}
		one := owner.get(s.page("/audit?of=" + about.Query().Get("of")))
		one.wants(http.StatusOK, "Only: Till one").wants(http.StatusOK, "created the API token “Till one”")
		if text := textOf(one.all("ol")[0]); strings.Contains(text, "Nightly export") {
			t.Errorf("events with one target: got %s, want none of Nightly export", text)
		}
	})
}

// Each filter that is set has a chip, which leads to the page without it and keeps the others.
func TestAuditChips(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		owner := s.signedIn(s.OwnerEmail)
		all := s.page("/audit?action=session.started&from=2020-01-01T10%3A00&period=month&target=x&who=operator")
		page := owner.get(all).wants(http.StatusOK, "No events match the filters.")
		for label, name := range map[string]string{"By: operator": "who", "Action: Signed in": "action",
			"Time: Last 30 days": "period", "From: 2020-01-01 10:00": "from", "Target: x": "target"} {
			to, err := url.Parse(linkCalled(t, page, label))
			if err != nil {
				t.Fatal(err)
			}
			kept := to.Query()
			if kept.Has(name) || len(kept) != 4 {
				t.Errorf("without %s: got %s, want the other four filters", label, to)
			}
		}
		check.Equal(t, linkCalled(t, page, "Clear filters"), s.page("/audit"), "the page without filters")
		owner.get(s.page("/audit")).lacks("Clear filters")
	})
}

// Times are shown and parsed in the viewer's time zone.
func TestAuditZone(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		owner, _ := eventful(s)
		owner.keep("latchkey-zone", "Pacific/Kiritimati") // 14 hours ahead
		there, err := time.LoadLocation("Pacific/Kiritimati")
		if err != nil {
			t.Fatal(err)
		}
		later, before := time.Now().In(there).Add(2*time.Minute).Format("2006-01-02T15:04"),
			time.Now().In(there).Add(-2*time.Minute).Format("2006-01-02T15:04")
		owner.get(s.page("/audit?from="+later)).wants(http.StatusOK, "No events match")
		owner.get(s.page("/audit?from="+before)).wants(http.StatusOK, "Till one").wants(http.StatusOK,
			"Pacific/Kiritimati")
		owner.get(s.page("/audit?period=hour")).wants(http.StatusOK, "Till one")
	})
}

// A time in the filter includes the whole day or minute that it names, in the viewer's time zone.
func TestAuditBounds(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		owner := s.signedIn(s.OwnerEmail)
		s.logged(3) // at midnight in UTC, a second apart
		for _, c := range []struct {
			zone, query string
			want        int
		}{
			{"UTC", "from=2026-01-01&to=2026-01-01", 3},
			{"UTC", "from=2026-01-01T00:00&to=2026-01-01T00:00", 3},
			{"UTC", "from=2026-01-01T00:00:01&to=2026-01-01T00:00:01", 1},
			{"UTC", "from=2026-01-01T00:00:01", 2},
			{"UTC", "to=2025-12-31", 0},
			{"UTC", "from=2026-01-01T00:01", 0},
			{"Pacific/Kiritimati", "from=2026-01-01T14:00&to=2026-01-01T14:00", 3},
			{"Pacific/Kiritimati", "from=2026-01-01T14:00:01&to=2026-01-01T14:00:02", 2},
			{"Pacific/Kiritimati", "to=2026-01-01T13:59", 0},
			{"America/New_York", "from=2025-12-31&to=2025-12-31", 3},
			{"America/New_York", "from=2026-01-01", 0},
		} {
			owner.keep("latchkey-zone", c.zone)
			shown := owner.get(s.page("/audit?who=%3Dbulk&"+c.query)).wants(http.StatusOK, c.zone)
			lines, err := csv.NewReader(strings.NewReader(
				owner.get(s.page("/audit/export.csv?who=%3Dbulk&" + c.query)).body)).ReadAll()
			got := strings.Count(shown.text(), "The API token “=bulk” changed the details of person")
			if err != nil || got != c.want || len(lines) != c.want+1 {
				t.Errorf("%s in %s shows %d and exports %d, want %d: %v", c.query, c.zone, got, len(lines)-1, c.want,
					err)
			}
		}
	})
}

// An export that fails halfway is aborted, so that the client does not take it for complete. An export that fails
// at the start is an error page.
func TestAuditExportFails(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		owner := s.signedIn(s.OwnerEmail)
		s.logged(1500)
		breaks := func(who string) {
			broken := "UPDATE audit_events SET details = '{}' WHERE target_name = '" + who + "'"
			dbtest.Exec(t, s.database, broken, broken)
		}
		breaks("person 0")
		answer, err := owner.client.Do(owner.request(http.MethodGet, s.page("/audit/export.csv?who=%3Dbulk"), nil))
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if body, err := io.ReadAll(answer.Body); answer.StatusCode != http.StatusOK || err == nil ||
			!strings.Contains(string(body), "person 1499") {
			t.Errorf("got %d with %d bytes, %v, want 200 that ends with an error after person 1499", answer.StatusCode,
				len(body), err)
		}
		s.logs("an export of the audit log was aborted", 1)
		breaks("person 1499")
		whole := owner.get(s.page("/audit/export.csv?who=%3Dbulk"))
		whole.wants(http.StatusInternalServerError, "").lacks("person 1")
		if kind := whole.header.Get("Content-Type"); !strings.HasPrefix(kind, "text/html") {
			t.Errorf("type of the error: got %s, want text/html", kind)
		}
	})
}

// Reading the audit log requires the same scope as over the API, and is limited to the session's account.
func TestAuditRefuses(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		_, storeOwner := eventful(s)
		for who, c := range map[string]struct {
			v    *visitor
			want int
		}{
			"a store's owner": {storeOwner, http.StatusForbidden}, "a clerk": {clerkOfEU(s), http.StatusForbidden},
			"nobody":                      {s.signedIn(ben), http.StatusForbidden},
			"a stranger":                  {s.signedIn("owner@bicycles.example"), http.StatusNotFound},
			"a visitor without a session": {s.visitor(), http.StatusSeeOther},
		} {
			for _, path := range []string{"/audit", "/audit/export.csv"} {
				if r := c.v.get(s.page(path)); r.status != c.want || strings.Contains(r.body, "Till one") {
					t.Errorf("%s at %s: got %d, want %d without events", who, path, r.status, c.want)
				}
			}
			if r := c.v.open(s.page("/stores")); who != "a stranger" && strings.Contains(r.text(), "Audit log") {
				t.Errorf("%s: got a link to the audit log, want none", who)
			}
		}
	})
}

// logged adds events to the account's log, the newest last.
func (s *server) logged(n int) {
	s.t.Helper()
	const row = `INSERT INTO audit_events (account_id, id, at, actor_kind, actor_id, actor_name, action, target_kind, target_key, target_name, ip, request_id, details)`
	var sqlite, postgres strings.Builder
	for i := range n {
		id := uuid.Must(uuid.NewV7())
		at := time.Date(2026, 1, 1, 0, 0, i, 0, time.UTC).UnixMicro()
		values := fmt.Sprintf("'API_TOKEN', NULL, '=bulk', '%s', 'user', '', 'person %d', '', '', '[]')",
			audit.UserUpdated, i)
		fmt.Fprintf(&sqlite, "%s VALUES ('%s', '%s', %d, %s;", row, s.Account, id, at, values)
		fmt.Fprintf(&postgres, "%s VALUES ('%s', '%s', to_timestamp(%d), %s;", row, s.Account, id, at/1_000_000, values)
	}
	dbtest.Exec(s.t, s.database, sqlite.String(), postgres.String())
}

// The export contains all events that match the filter, over any number of pages, and no formulas for spreadsheets.
func TestAuditExport(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		owner, _ := eventful(s)
		const many = 2345
		s.logged(many)
		page := owner.get(s.page("/audit?who=%3Dbulk"))
		r := owner.get(linkCalled(t, page, "Export as CSV"))
		if kind, how := r.header.Get("Content-Type"), r.header.Get("Content-Disposition"); r.status != http.StatusOK ||
			!strings.HasPrefix(kind, "text/csv") || !strings.HasPrefix(how, "attachment; filename=audit-20") {
			t.Fatalf("export: got %d %s %s, want 200 text/csv as audit-20….csv", r.status, kind, how)
		}
		lines, err := csv.NewReader(strings.NewReader(r.body)).ReadAll()
		if err != nil || len(lines) != many+1 || lines[0][0] != "time" {
			t.Fatalf("export: got %d lines, %v, want %d with a heading", len(lines), err, many+1)
		}
		if first, last := lines[1], lines[many]; first[7] != fmt.Sprintf("person %d", many-1) ||
			last[7] != "person 0" || last[0] != "2026-01-01T00:00:00Z" || last[3] != "'=bulk" {
			t.Errorf("export: got lines from %q to %q, want from person %d to person 0 of 2026-01-01 by '=bulk", first,
				last, many-1)
		}
		second := owner.get(linkCalled(t, page, "Older"))
		if text := textOf(second.all("ol")[0]); !strings.Contains(text, fmt.Sprintf("person %d ", many-51)) ||
			strings.Contains(text, fmt.Sprintf("person %d ", many-50)) {
			t.Errorf("second page: got %s, want it to begin with person %d", text, many-51)
		}
	})
}
