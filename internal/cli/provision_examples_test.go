package cli_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// scripts are the examples that provision users.
var scripts = []string{"provision.py", "provision.mjs", "provision.sh"}

// scriptEnv is the environment of a script.
type scriptEnv struct {
	script string
	env    []string
}

// scriptResult is the result of a script.
type scriptResult struct {
	stdout, stderr string
	status         int
}

func (h scriptEnv) run(t *testing.T, args ...string) scriptResult {
	t.Helper()
	var out, errs bytes.Buffer
	c := exec.CommandContext(t.Context(), "../../examples/provision/"+h.script, args...)
	c.Env = append(os.Environ(), h.env...)
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return scriptResult{out.String(), errs.String(), c.ProcessState.ExitCode()}
}

// expect runs a script, which must succeed and print want.
func (h scriptEnv) expect(t *testing.T, want string, args ...string) {
	t.Helper()
	began := time.Now()
	if got := h.run(t, args...); got != (scriptResult{want + "\n", "", 0}) {
		t.Fatalf("%s %s: got exit status %d, want 0 and %s:\n%.2000s%.2000s", h.script, strings.Join(args, " "),
			got.status, want, got.stdout, got.stderr)
	}
	t.Logf("%s %s: %s in %s", h.script, args[0], want, time.Since(began).Round(10*time.Millisecond))
}

// startScriptServer starts a server and returns the environment of a script with a token
// of these scopes.
func startScriptServer(t *testing.T, url string, scopes ...string) scriptEnv {
	t.Helper()
	s, session := demo(t, environment(t, url))
	return scriptEnvAt(t, s, session, scopes...)
}

// scriptEnvAt is startScriptServer for a running server.
func scriptEnvAt(t *testing.T, s *server, session string, scopes ...string) scriptEnv {
	t.Helper()
	var made issued
	s.must(t, session, issue("HR sync", fmt.Sprintf(`scopes: ["%s"]`, strings.Join(scopes, `", "`))), &made)
	return scriptEnv{env: []string{"LATCHKEY_URL=" + s.public, "LATCHKEY_ACCOUNT=" + acmeID,
		"LATCHKEY_TOKEN=" + made.APIToken.CreateAPIToken.Credentials.AccessToken}}
}

// writeUsers writes a file of users with addresses of one domain.
func writeUsers(t *testing.T, domain string, users int) string {
	t.Helper()
	var text strings.Builder
	text.WriteString("email,first_name,last_name,locale,external_id,stores,role\r\n")
	for i := range users {
		fmt.Fprintf(&text, "p%d@%s.example,First %d,\"Last, \"\"%d\"\"\",en-GB,%s-%d,acme1us,SALES_STAFF\r\n", i,
			domain, i, i, domain, i)
	}
	return writeFile(t, text.String())
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "people.csv")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Each script provisions users in several requests, removes them again, and
// changes nothing on the second run.
func TestExamplesProvision(t *testing.T) {
	const users = 1_003 // a request has at most 1,000
	useWithoutRace(t)
	dbtest.EachURL(t, func(t *testing.T, url string) {
		h := startScriptServer(t, url, "account_users_write", "account_users_delete", "account_api_tokens_read")
		for _, script := range scripts {
			h.script = script
			h.provisionAndRemove(t, users)
		}
	})
}

// builtSetting is the environment variable with the folder of the programs, which make test builds for all packages.
const builtSetting = "LATCHKEY_TEST_PROGRAMS"

// programsFolder is the folder of programs, if they are built here.
var programsFolder string

// programs builds the program and the example receiver in Go, once for all tests, and returns their folder.
var programs = sync.OnceValues(func() (folder string, err error) {
	if built := os.Getenv(builtSetting); built != "" {
		return built, nil
	}
	if programsFolder, err = os.MkdirTemp("", "latchkey-programs-"); err != nil {
		return "", err
	}
	build := exec.Command("go", "build", "-ldflags=-s -w", "-o", programsFolder, "latchkey/cmd/latchkey",
		"latchkey/examples/webhooks")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return programsFolder, nil
})

// useWithoutRace makes the test start the program without the race detector, with which
// the test itself may run, because it is many times slower.
func useWithoutRace(t *testing.T) {
	t.Helper()
	folder, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", folder+string(os.PathListSeparator)+os.Getenv("PATH"))
}

// raceDetector reports whether the tests run with the race detector.
var raceDetector bool

// raced are the tests that called keepRace.
var raced = map[string]bool{}

// keepRace makes the test start the program with the race detector, if the tests are compiled with it. Tests call it
// whose servers answer requests while they start, stop or lose their database. Other tests start the program without
// the detector.
func keepRace(t *testing.T) {
	t.Helper()
	raced[t.Name()] = true
}

// program returns the program for a test to start.
func program(t *testing.T) string {
	t.Helper()
	test, _, _ := strings.Cut(t.Name(), "/")
	if !raceDetector || raced[test] {
		return "latchkey"
	}
	folder, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(folder, "latchkey")
}

// provisionAndRemove provisions new users and removes them, each twice.
func (h scriptEnv) provisionAndRemove(t *testing.T, users int) {
	t.Helper()
	file := writeUsers(t, h.script, users)
	const counts = "%d created, 0 updated, 0 added, %d unchanged, %d removed, 0 failed"
	h.expect(t, fmt.Sprintf(counts, users, 0, 0), "provision", file)
	h.expect(t, fmt.Sprintf(counts, 0, users, 0), "provision", file)
	h.expect(t, fmt.Sprintf(counts, 0, 0, users), "deprovision", file)
	h.expect(t, fmt.Sprintf(counts, 0, users, 0), "deprovision", file)
}

// Like the command, the scripts read the files that spreadsheets, PowerShell
// and Latchkey's exports write.
func TestExamplesReadSpreadsheets(t *testing.T) {
	env := environment(t, dbtest.SQLiteURL(t))
	s, session := demo(t, env)
	h := scriptEnvAt(t, s, session, "account_users_write")
	for name, text := range map[string]string{
		"a byte order mark before quotes": "\ufeff\"email\",\"first_name\",\"last_name\",\"external_id\"\r\n" +
			"\"'+%[1]s@staff.example\",\"'=1+1\",\"''=x\",\"'-47%[1]s\"\r\n",
		"semicolons and empty rows": "\ufeffemail;first_name;last_name;external_id\r\n;;;\r\n" +
			"+%[1]s@staff.example;=1+1;''=x;-47%[1]s\r\n\"\"; ;;\r\n",
	} {
		for _, script := range scripts {
			t.Run(name+"/"+script, func(t *testing.T) {
				h.script = script
				id := strings.ReplaceAll(script+"."+name[:1], " ", "")
				h.expect(t, "1 created, 0 updated, 0 added, 0 unchanged, 0 removed, 0 failed", "provision",
					writeFile(t, fmt.Sprintf(text, id)))
				list := run(t, env, "user", "list", "--account", acmeID, "--search", "+"+id, "--output", "ndjson")
				for _, want := range []string{`"email":"+` + id + `@staff.example"`, `"firstName":"=1+1"`,
					`"lastName":"'=x"`, `"externalId":"-47` + id + `"`} {
					if !strings.Contains(list, want) {
						t.Errorf("users: got %s, want %s in it", list, want)
					}
				}
			})
		}
	}
}

func TestExamplesReportErrors(t *testing.T) {
	h := startScriptServer(t, dbtest.SQLiteURL(t), "account_users_write")
	file := writeFile(t,
		"\ufeffemail,first_name,last_name,stores\nann@staff.example,Ann,\"O\"\"Hara, Jr.\",acme1us\n,No,Body,\nbob@staff.example,Bob,,elsewhere\n")
	for _, script := range scripts {
		t.Run(script, func(t *testing.T) {
			h := h
			h.script = script
			for _, tc := range []struct {
				name           string
				args           []string
				status         int
				stdout, stderr string
			}{
				{"failing rows", []string{"provision", file, "--dry-run"}, 1,
					"CREATED ann@staff.example\n1 created, 0 updated, 0 added, 0 unchanged, 0 removed, 2 failed\n",
					"bob@staff.example: users.2."},
				{"a missing scope", []string{"deprovision", file}, 1, "nothing done\n",
					"You do not have permission to do this operation. It needs account_users_delete."},
				{"other columns", []string{"provision", writeFile(t, "mail\nx\n")}, 1, "", "the columns are"},
				{"a short row", []string{"provision", writeFile(t, "email,role\nx\n")}, 1, "",
					"different numbers of cells"},
				{"no file", []string{"provision", "missing.csv"}, 1, "", "missing.csv"},
				{"usage error", []string{"provisioning", file}, 2, "",
					"provision users.csv [--dry-run]|provision|deprovision"},
			} {
				t.Run(tc.name, func(t *testing.T) {
					got := h.run(t, tc.args...)
					found := false
					for _, text := range strings.Split(tc.stderr, "|") {
						found = found || strings.Contains(got.stderr, text)
					}
					if got.status != tc.status || tc.stdout != "" && got.stdout != tc.stdout || !found {
						t.Errorf("got exit status %d\n%s%s\nwant %d, the output %q and one of %q", got.status,
							got.stdout, got.stderr, tc.status, tc.stdout, tc.stderr)
					}
				})
			}
			h.env = append(h.env[:2:2], "LATCHKEY_TOKEN=nonsense")
			if got := h.run(t, "provision", file); got.status != 1 || !strings.Contains(got.stderr, "credential") {
				t.Errorf("a wrong token: got exit status %d\n%s%s\nwant 1 because of the credential", got.status,
					got.stdout, got.stderr)
			}
		})
	}
}

// The examples accept the same input as the command.
func TestExamplesAcceptInputOfCommand(t *testing.T) {
	h := startScriptServer(t, dbtest.SQLiteURL(t), "account_users_write", "account_users_delete")
	roleInWords := writeFile(t,
		"email,first_name,last_name,stores,role\nann@staff.example,Ann,One,acme1us,Sales  staff\n\nshort\nbob@staff.example,Bob,Two,acme1us,sales_manager\n")
	leavers := writeUsers(t, "elsewhere", 1_001)
	for _, script := range scripts {
		t.Run(script, func(t *testing.T) {
			h := h
			h.script = script
			want := scriptResult{
				"CREATED ann@staff.example\nCREATED bob@staff.example\n2 created, 0 updated, 0 added, 0 unchanged, 0 removed, 1 failed\n",
				"line 4: The row and the first line have different numbers of cells. (INVALID)\n", 1,
			}
			check.Equal(t, h.run(t, "provision", roleInWords, "--dry-run"), want,
				"a role in words, and a row that is too short")
			want = scriptResult{
				"0 created, 0 updated, 0 added, 1001 unchanged, 0 removed, 0 failed\n",
				"the API tokens to review are not listed: the token lacks the scope account_api_tokens_read\n", 0,
			}
			check.Equal(t, h.run(t, "deprovision", leavers), want, "a token that may not see API tokens")
		})
	}
}
