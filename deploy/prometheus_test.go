package deploy_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"latchkey/internal/test/check"
)

const rulesFile, rulesTest, dashboardFile = "prometheus/latchkey.rules.yaml", "prometheus/latchkey.test.yaml",
	"grafana/latchkey.json"

// rule is a recording rule or an alert of Prometheus.
type rule struct {
	Record, Alert, Expr string
	Labels, Annotations map[string]string
}

func rules(t *testing.T) (all []rule) {
	t.Helper()
	var file struct{ Groups []struct{ Rules []rule } }
	decode(t, rulesFile, yaml.Unmarshal, &file)
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	if len(all) == 0 {
		t.Fatalf("%s has no rules, want some", rulesFile)
	}
	return all
}

func decode(t *testing.T, file string, unmarshal func([]byte, any) error, to any) {
	t.Helper()
	if err := unmarshal([]byte(read(t, file)), to); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func promtool(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "promtool", args...).CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestPrometheusAcceptsTheRules(t *testing.T) {
	promtool(t, "check", "rules", "--lint=all", "--lint-fatal", rulesFile)
	promtool(t, "test", "rules", rulesTest)
}

// Each alert fires in a case of the rules' tests, and says how grave it is.
func TestEveryAlertIsTested(t *testing.T) {
	var file struct {
		Tests []struct {
			AlertRuleTest []struct {
				AlertName string `yaml:"alertname"`
				ExpAlerts []any  `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	decode(t, rulesTest, yaml.Unmarshal, &file)
	fires := map[string]bool{}
	for _, c := range file.Tests {
		for _, a := range c.AlertRuleTest {
			fires[a.AlertName] = fires[a.AlertName] || len(a.ExpAlerts) > 0
		}
	}
	for _, r := range rules(t) {
		if r.Alert == "" {
			continue
		}
		check.Equal(t, fires[r.Alert], true, "whether %s fires in %s", r.Alert, rulesTest)
		if s := r.Labels["severity"]; s != "page" && s != "ticket" {
			t.Errorf("severity of %s: got %q, want page or ticket", r.Alert, s)
		}
	}
}

// Each alert leads to its entry in docs/runbooks.md, which has one for no other alert.
func TestEveryAlertHasARunbook(t *testing.T) {
	page := read(t, "../docs/runbooks.md")
	headings := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^### (Latchkey\w+)$`).FindAllStringSubmatch(page, -1) {
		headings[m[1]] = true
	}
	for _, r := range rules(t) {
		if r.Alert == "" {
			continue
		}
		check.Equal(t, r.Annotations["runbook"], "docs/runbooks.md#"+strings.ToLower(r.Alert), "runbook of %s", r.Alert)
		check.Equal(t, headings[r.Alert], true, "whether docs/runbooks.md has an entry for %s", r.Alert)
		delete(headings, r.Alert)
	}
	check.Equal(t, headings, map[string]bool{}, "entries of docs/runbooks.md without an alert")
}

// panel is what the tests read of a panel of Grafana.
type panel struct {
	ID                       int
	Type, Title, Description string
	GridPos                  struct{ X, Y, W, H int }
	Targets                  []struct{ Expr string }
}

func dashboard(t *testing.T) (all []panel) {
	t.Helper()
	var file struct{ Panels []panel }
	decode(t, dashboardFile, json.Unmarshal, &file)
	for _, p := range file.Panels {
		if p.Type != "row" {
			all = append(all, p)
		}
	}
	if len(all) == 0 {
		t.Fatalf("%s has no panels, want some", dashboardFile)
	}
	return all
}

// Each panel of the dashboard has a place, a text and queries that Prometheus can parse.
func TestDashboard(t *testing.T) {
	type recorded struct {
		Record string `yaml:"record"`
		Expr   string `yaml:"expr"`
	}
	var queries []recorded
	ids, places := map[int]bool{}, map[[2]int]string{}
	variables := strings.NewReplacer("$__rate_interval", "5m", "$instance", ".*")
	for _, p := range dashboard(t) {
		if ids[p.ID] || p.ID == 0 || p.Title == "" || p.Description == "" || len(p.Targets) == 0 {
			t.Errorf("panel %d, %q: got ID %d twice, or no title, description or query", p.ID, p.Title, p.ID)
		}
		ids[p.ID] = true
		g := p.GridPos
		for x := g.X; x < g.X+g.W; x++ {
			for y := g.Y; y < g.Y+g.H; y++ {
				if other := places[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("panel %q: got a place over %q or beyond the edge, want one of its own", p.Title, other)
				}
				places[[2]int{x, y}] = p.Title
			}
		}
		for _, target := range p.Targets {
			queries = append(queries, recorded{"dashboard:query", variables.Replace(target.Expr)})
		}
	}
	text, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": queries}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "dashboard.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "rules", "--lint=none", file)
}

// The metrics and labels of all queries are in docs/metrics.md, which has those that servers export.
func TestQueriesUseMetricsThatExist(t *testing.T) {
	documented, histograms := map[string][]string{}, map[string]bool{}
	row := regexp.MustCompile("(?m)^\\| `(latchkey_\\w+)` \\| (\\w+) \\|([^|]*)\\|")
	for _, m := range row.FindAllStringSubmatch(read(t, "../docs/metrics.md"), -1) {
		documented[m[1]] = regexp.MustCompile(`\w+`).FindAllString(m[3], -1)
		histograms[m[1]] = m[2] == "histogram"
	}
	selector := regexp.MustCompile(`\b(latchkey_\w+)(?:\{([^}]*)\})?`)
	label := regexp.MustCompile(`(\w+)(?:=~|!~|!=|=)"`)
	examine := func(where, query string) {
		for _, m := range selector.FindAllStringSubmatch(query, -1) {
			name := m[1]
			if base := regexp.MustCompile(`_(bucket|count|sum)$`).ReplaceAllString(name, ""); histograms[base] {
				name = base
			}
			labels, known := documented[name]
			if !known {
				t.Errorf("%s: got the metric %s, want one of docs/metrics.md", where, name)
			}
			for _, l := range label.FindAllStringSubmatch(m[2], -1) {
				known := append([]string{"instance", "job", "le"}, labels...)
				if !strings.Contains(" "+strings.Join(known, " ")+" ", " "+l[1]+" ") {
					t.Errorf("%s: got the label %s of %s, want one of %v", where, l[1], name, known)
				}
			}
		}
	}
	for _, r := range rules(t) {
		examine(r.Alert+r.Record, r.Expr)
	}
	for _, p := range dashboard(t) {
		for _, target := range p.Targets {
			examine(p.Title, target.Expr)
		}
	}
}
