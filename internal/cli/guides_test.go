package cli_test

import (
	"context"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// guide is a page of the documentation, of which the sections are run, in
// order, in one shell, beside a server with the demo.
type guide struct {
	page     string
	sections []string
	// wants are what the output must contain, as patterns in this order.
	wants []string
}

var guides = []guide{
	{"README.md", []string{"A worked example"}, []string{
		`"name": "Acme Retail"`, `owner@acme\.example`, `ACCESS TOKEN: lks_`, `CLIENT NAME: Product import`,
		`"account_users_read"`, `"revokedIds": \[\s*"bc/account/apiToken/`, `"code": "UNAUTHENTICATED"`}},
	{"docs/quickstart.md", []string{"By pasting"}, []string{
		`"name":"Acme Retail"`, `the previous access token of "User sync" expires`,
		`\{"data":\{"viewer":\{"scopes":\["account_read","account_users_read"\]\}\}\}\s*\{"data":\{"viewer"`,
		`revoked bc/account/apiToken/`, `401\n401\n`}},
	{"docs/graphql.md", []string{"Set up", "See who I am", "List stores and users", "Issue an API token",
		"Find API tokens", "Restrict, rotate and revoke an API token", "Add, change and remove users",
		"Read what happened", "Get changes as webhooks", "See which scopes there are", "Ask several things at once"},
		[]string{`"kind":"SESSION"`, `"storeHash":"acme1us"`, `owner@acme\.example`, `"account_users_write"`,
			`"apiPath":"[^"]*/stores/acme1us/v3/"`, `"name":"User sync","status":"ACTIVE"`,
			`"scopes":\["account_read","account_users_read"\],"allowedIpRanges":\["127.0.0.0/8"\]`,
			`"previousExpiresAt":"`, `"revokedIds":\["bc/account/apiToken/`, `"action":"CREATED"`,
			`"permissions":\["Add_Customer","Add_Orders"\]`, `"removed":1,"failed":0`, `"action":"api_token.revoked"`,
			`"endCursor":"`, `"deletedWebhookId":"bc/account/webhook/`, `"scope":"store_`,
			`(?i)x-rate-limit-requests-left: \d+`}},
	{"docs/gateway.md", []string{"In five minutes"}, []string{
		`HTTP/1.1 204`, `X-Latchkey-Store: acme1us`, `HTTP/1.1 403`,
		`error="insufficient_scope", scope="store_v2_products"`, `HTTP/1.1 403`}},
	{"docs/oauth.md", []string{"", "An access token", "Introspection", "Revocation"}, []string{
		`"access_token":"lko_`, `"kind":"API_TOKEN"`, `"active":true`, `"active":true`}},
	{"docs/users.md", []string{"Provisioning from a file"}, []string{
		`dry run`, `4 created`, `4 removed`}},
	{"docs/quickstart.md", []string{"With data of your own"}, []string{`created store Northwind EU`}},
	{"docs/metrics.md", []string{""}, []string{`latchkey_build_info`}},
	{"docs/runbooks.md", []string{""}, []string{`"ready": true`, `latchkey_build_info`}},
}

// elsewhere are the sections that other tests run.
var elsewhere = map[string]string{
	"docs/billing.md#A worked example":  "TestBillingGuide",
	"docs/scim.md#With curl":            "TestSCIMGuide",
	"docs/webhooks.md#A first webhook":  "TestWebhookGuide",
	"docs/webhooks.md#Replay":           "TestWebhookGuide",
	"docs/webhooks.md#Verify a request": "TestVerifyingByHand",
	"docs/commands.md#completion":       "TestCompletionInBash",
	"docs/commands.md#scan":             "TestScanGuide",
	"docs/leaks.md#Finding leaks":       "TestScanGuide",
	"docs/backup.md#The drill":          "TestBackupGuide",
	"README.md#In production":           "TestProductionGuide",

	"docs/operating.md#Install the packages":                       "TestOperatingGuide",
	"docs/operating.md#Install the program":                        "TestOperatingGuide",
	"docs/operating.md#Create the user and the key":                "TestOperatingGuide",
	"docs/operating.md#Create the database":                        "TestOperatingGuide",
	"docs/operating.md#Write the settings":                         "TestOperatingGuide",
	"docs/operating.md#Migrate the database and create an account": "TestOperatingGuide",
	"docs/operating.md#Start both servers":                         "TestOperatingGuide",
	"docs/operating.md#Put Caddy in front":                         "TestOperatingGuide",
	"docs/operating.md#Use a first token":                          "TestOperatingGuide",
	"docs/operating.md#Watch it with Prometheus":                   "TestOperatingGuide",
	"docs/operating.md#Back up every night":                        "TestOperatingGuide",
	"docs/operating.md#Restore a backup":                           "TestOperatingGuide",
	"docs/operating.md#Restart without a failed request":           "TestOperatingGuide",
	"docs/operating.md#Upgrade":                                    "TestOperatingGuide",
	"docs/operating.md#Clean up":                                   "TestOperatingGuide",
}

// onlyFlags are the sections whose commands name machines of the reader's:
// TestFlagsInExamples checks that their commands and flags exist.
var onlyFlags = []string{
	"docs/metrics.md#Profiles", "docs/runbooks.md#Incidents",
	"README.md#Try it", "README.md#Tests", "docs/quickstart.md#Start a server",
	"docs/errors.md#From a 401 to its reason", "docs/replicas.md#A receipt", "docs/replicas.md#Behind pgbouncer",
	"docs/sign-in.md#An OpenID Connect provider", "docs/upgrading.md#One version at a time",
	"docs/webhooks.md#Polling instead",
}

// The commands of the guides run as printed, without an error of the API, and print what the page says.
func TestGuides(t *testing.T) {
	useWithoutRace(t)
	program, err := exec.LookPath("latchkey")
	if err != nil {
		t.Fatal(err)
	}
	dbtest.EachURL(t, func(t *testing.T, url string) {
		dir := t.TempDir()
		linkTo(t, program, filepath.Join(dir, "bin", "latchkey"))
		linkTo(t, "../../examples", filepath.Join(dir, "examples"))
		if err := os.Mkdir(filepath.Join(dir, "tmp"), 0o700); err != nil {
			t.Fatal(err)
		}
		env := environment(t, url)
		delete(env, "LATCHKEY_RATE_LIMITS") // a page shows their headers
		s := serve(t, env, "--demo")
		adapt := strings.NewReplacer("sqlite:tmp/demo.db", "'"+url+"'", "http://127.0.0.1:8080", s.public,
			"http://127.0.0.1:8081", s.admin,
			// It would serve until the end of the test.
			"bin/latchkey serve", "bin/latchkey serve --help")
		for _, g := range guides {
			t.Run(g.page+"/"+strings.Join(g.sections[:1], ""), func(t *testing.T) {
				script := ""
				for _, section := range g.sections {
					script += strings.Join(sectionCode(t, g.page, section), "")
				}
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
				defer cancel()
				c := exec.CommandContext(ctx, "sh", "-euc", adapt.Replace(script))
				c.Dir, c.Env = dir, append(os.Environ(), "LATCHKEY_KEY_FILE="+env["LATCHKEY_KEY_FILE"])
				if strings.Contains(script, "sqlite:tmp/own.db") {
					c.Env = os.Environ() // a database with its own key file
				}
				output, err := c.CombinedOutput()
				g.check(t, string(output), err)
			})
		}
	})
}

// check checks the output of a guide.
func (g guide) check(t *testing.T, out string, err error) {
	t.Helper()
	refused := regexp.MustCompile(`"errors"`).FindAllString(out, -1)
	allowed := 0
	for _, want := range g.wants {
		if strings.Contains(want, "UNAUTHENTICATED") {
			allowed++
		}
	}
	if err != nil || len(refused) != allowed {
		t.Fatalf("%v, %d answers with errors, want %d: %s", err, len(refused), allowed, redacted([]any{out}))
	}
	rest := out
	for _, want := range g.wants {
		place := regexp.MustCompile(want).FindStringIndex(rest)
		if place == nil {
			t.Fatalf("got no %s, want it in the output after the earlier ones: %s", want, redacted([]any{out}))
		}
		rest = rest[place[1]:]
	}
}

// shellBlocks returns the shell commands of a page, by section. The part before
// the first one has an empty name.
func shellBlocks(t *testing.T, page string) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("../../" + page)
	if err != nil {
		t.Fatal(err)
	}
	blocks := map[string][]string{}
	for part := range strings.SplitSeq("\n"+string(text), "\n## ") {
		title, _, _ := strings.Cut(part, "\n")
		for _, each := range regexp.MustCompile("(?s)\n```(?:sh|bash)\n(.*?)```").FindAllStringSubmatch(part, -1) {
			blocks[title] = append(blocks[title], each[1])
		}
	}
	return blocks
}

func sectionCode(t *testing.T, page, section string) []string {
	t.Helper()
	blocks := shellBlocks(t, page)[section]
	if len(blocks) == 0 {
		t.Fatalf("%s: got no commands in the section %q, want some", page, section)
	}
	return blocks
}

// Every command in the README and in docs is run by a test, or names machines
// of the reader's. A new section with commands needs an entry above.
func TestEveryCommandInTheDocsIsTested(t *testing.T) {
	tested := map[string]bool{}
	for _, g := range guides {
		for _, section := range g.sections {
			tested[g.page+"#"+section] = true
		}
	}
	for section := range elsewhere {
		tested[section] = true
	}
	for _, section := range onlyFlags {
		tested[section] = true
	}
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(pages) < 10 {
		t.Fatalf("got %d pages, %v, want more", len(pages), err)
	}
	for _, file := range append(pages, "../../README.md") {
		page := strings.TrimPrefix(file, "../../")
		for section := range shellBlocks(t, page) {
			if !tested[page+"#"+section] {
				t.Errorf("%s has commands in the section %q that no test runs, want an entry in guides, elsewhere or onlyFlags",
					page, section)
			}
			delete(tested, page+"#"+section)
		}
	}
	for _, section := range slices.Sorted(maps.Keys(tested)) {
		t.Errorf("%s is listed, want a section with commands", section)
	}
}

var commandInDocs = regexp.MustCompile(`(?m)(?:^|[ (/])latchkey((?: [a-z][a-z-]*)+)([^\n|;)]*)`)

// The commands and flags in examples for machines of the reader's exist.
func TestFlagsInExamples(t *testing.T) {
	found := 0
	for _, section := range onlyFlags {
		page, title, _ := strings.Cut(section, "#")
		text := strings.ReplaceAll(strings.Join(sectionCode(t, page, title), ""), "\\\n", "")
		for _, c := range commandInDocs.FindAllStringSubmatch(text, -1) {
			found++
			words := strings.Fields(c[1])
			help := run(t, nil, append(words, "--help")...)
			if !strings.Contains(help, "latchkey "+strings.Join(words, " ")) {
				t.Errorf("%s: got the command %q, want one that exists", section, words)
			}
			for _, flag := range regexp.MustCompile(`--[a-z-]+`).FindAllString(c[2], -1) {
				if !strings.Contains(help, flag+" ") {
					t.Errorf("%s: got %s of %q, want a flag that exists", section, flag, words)
				}
			}
		}
	}
	if found < 5 {
		t.Errorf("got %d commands, want at least 5", found)
	}
}

// The commands of README, "In production", run as printed, except for the server itself.
func TestProductionGuide(t *testing.T) {
	useWithoutRace(t)
	program, err := exec.LookPath("latchkey")
	if err != nil {
		t.Fatal(err)
	}
	dbtest.EachURL(t, func(t *testing.T, url string) {
		dir := t.TempDir()
		linkTo(t, program, filepath.Join(dir, "bin", "latchkey"))
		linkTo(t, "../../examples", filepath.Join(dir, "examples"))
		script := strings.Join(sectionCode(t, "README.md", "In production"), "")
		const database, start = "postgres://latchkey@db.internal/latchkey", "bin/latchkey serve "
		for _, part := range []string{database, start} {
			check.Equal(t, strings.Count(script, part), 1, "%s in the section", part)
		}
		c := exec.CommandContext(t.Context(), "sh", "-euc",
			strings.NewReplacer(database, "'"+url+"'", start, start+"--help ").Replace(script))
		c.Dir, c.Env = dir, os.Environ()
		out, err := c.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "created store Northwind EU") {
			t.Fatalf("%v: %s", err, out)
		}
	})
}

// The completion script of docs/commands.md can be loaded, and stores are
// completed from the database.
func TestCompletionInBash(t *testing.T) {
	script := strings.Join(sectionCode(t, "docs/commands.md", "completion"), "")
	c := exec.CommandContext(t.Context(), "bash", "-euc", script+"\ntype __start_latchkey")
	c.Env = os.Environ()
	if out, err := c.CombinedOutput(); err != nil || !strings.Contains(string(out), "function") {
		t.Errorf("%v: %s, want a function for bash", err, out)
	}
	dbtest.EachURL(t, func(t *testing.T, url string) {
		env := environment(t, url)
		run(t, env, "apply", "-f", "../../examples/platform.yaml")
		got := run(t, env, "__complete", "token", "list", "--account", "7c9e6679-7425-40de-944b-e07fc1f90ae7",
			"--store", "north1")
		check.Equal(t, got, "north1us\tNorthwind US\n:4\n", "completion of stores")
	})
}

// The drill of docs/backup.md runs as printed, on copies of both databases.
func TestBackupGuide(t *testing.T) {
	useWithoutRace(t)
	program, err := exec.LookPath("latchkey")
	if err != nil {
		t.Fatal(err)
	}
	dbtest.EachURL(t, func(t *testing.T, url string) {
		dir := t.TempDir()
		linkTo(t, program, filepath.Join(dir, "bin", "latchkey"))
		if err := os.Mkdir(filepath.Join(dir, "tmp"), 0o700); err != nil {
			t.Fatal(err)
		}
		env := environment(t, url)
		run(t, env, "apply", "-f", "../manifest/demo/demo.yaml")
		script := strings.Join(sectionCode(t, "docs/backup.md", "The drill"), "")
		const first, second, key = "sqlite:tmp/demo.db", "sqlite:tmp/drill.db", "tmp/demo.key"
		for _, part := range []string{first, second, key} {
			check.Equal(t, strings.Count(script, part), 1, "%s in the section", part)
		}
		c := exec.CommandContext(t.Context(), "sh", "-euc", strings.NewReplacer(first, "'"+url+"'",
			second, "'"+dbtest.EmptyLike(t, url)+"'", key, env["LATCHKEY_KEY_FILE"]).Replace(script))
		c.Dir, c.Env = dir, os.Environ()
		out, err := c.CombinedOutput()
		guide{wants: []string{`wrote tmp/drill\.backup: \d+ KB`, `restored 2 accounts`, `Drill +ACTIVE`,
			`"type":"account\.restored"`,
			`dry run: would revoke in all accounts, API tokens: [01]`}}.check(t, string(out), err)
		check.Equal(t, len(filesIn(t, filepath.Join(dir, "tmp"))), 0, "files that are left")
	})
}
