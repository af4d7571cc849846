package cli_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"latchkey/internal/dbtest"
)

// scripts are the examples that provision people.
var scripts = []string{"provision.py", "provision.mjs", "provision.sh"}

// hr is what a script of an enterprise's is told.
type hr struct {
	script string
	env    []string
}

// ended is how a script ended.
type ended struct {
	stdout, stderr string
	status         int
}

func (h hr) run(t *testing.T, args ...string) ended {
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
	return ended{out.String(), errs.String(), c.ProcessState.ExitCode()}
}

// expect runs a script that must end well and say so.
func (h hr) expect(t *testing.T, want string, args ...string) {
	t.Helper()
	began := time.Now()
	if got := h.run(t, args...); got != (ended{want + "\n", "", 0}) {
		t.Fatalf("%s %s ends with status %d:\n%.2000s%.2000s", h.script, strings.Join(args, " "), got.status, got.stdout, got.stderr)
	}
	t.Logf("%s %s: %s in %s", h.script, args[0], want, time.Since(began).Round(10*time.Millisecond))
}

// startHR starts a server and returns what a script is told of it, with a token
// of the scopes.
func startHR(t *testing.T, url string, scopes ...string) hr {
	t.Helper()
	s, session := demo(t, environment(t, url))
	return startHRAt(t, s, session, scopes...)
}

// startHRAt is startHR for a server that runs already.
func startHRAt(t *testing.T, s *server, session string, scopes ...string) hr {
	t.Helper()
	var made issued
	s.must(t, session, issue("HR sync", fmt.Sprintf(`scopes: ["%s"]`, strings.Join(scopes, `", "`))), &made)
	return hr{env: []string{"LATCHKEY_URL=" + s.public, "LATCHKEY_ACCOUNT=" + acmeID, "LATCHKEY_TOKEN=" + made.APIToken.CreateAPIToken.Credentials.AccessToken}}
}

// staff writes a file of so many people, who are of a place of that name.
func staff(t *testing.T, place string, people int) string {
	t.Helper()
	var text strings.Builder
	text.WriteString("email,first_name,last_name,locale,external_id,stores,role\r\n")
	for i := range people {
		fmt.Fprintf(&text, "p%d@%s.example,First %d,\"Last, \"\"%d\"\"\",en-GB,%s-%d,acme1us,SALES_STAFF\r\n", i, place, i, i, place, i)
	}
	return written(t, text.String())
}

func written(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "people.csv")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Each script provisions people in several requests and takes them out again,
// and finds nothing to do the second time.
func TestExamplesProvision(t *testing.T) {
	const many, some = 3_003, 1_003
	less := map[string]string{"provision.mjs": "sqlite", "provision.sh": "postgres"}
	ordinary(t)
	dbtest.EachURL(t, func(t *testing.T, url string) {
		h := startHR(t, url, "account_users_write", "account_users_delete", "account_api_tokens_read")
		for _, script := range scripts {
			people := many
			if strings.HasSuffix(t.Name(), "/"+less[script]) {
				people = some
			}
			h.script = script
			h.comeAndGo(t, people)
		}
	})
}

// ordinary has the program that t runs built as users have it: the race
// detector, with which the test itself may run, makes it many times slower.
func ordinary(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(dir, "latchkey"), "latchkey/cmd/latchkey")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
}

// comeAndGo lets new people come and go, each twice.
func (h hr) comeAndGo(t *testing.T, people int) {
	t.Helper()
	file := staff(t, h.script, people)
	const tell = "%d created, 0 updated, 0 added, %d unchanged, %d removed, 0 failed"
	h.expect(t, fmt.Sprintf(tell, people, 0, 0), "provision", file)
	h.expect(t, fmt.Sprintf(tell, 0, people, 0), "provision", file)
	h.expect(t, fmt.Sprintf(tell, 0, 0, people), "deprovision", file)
	h.expect(t, fmt.Sprintf(tell, 0, people, 0), "deprovision", file)
}

// The scripts read what spreadsheets, PowerShell and Latchkey's own exports
// write, as the command does.
func TestExamplesReadWhatProgramsWrite(t *testing.T) {
	env := environment(t, dbtest.SQLiteURL(t))
	s, session := demo(t, env)
	h := startHRAt(t, s, session, "account_users_write")
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
				h.expect(t, "1 created, 0 updated, 0 added, 0 unchanged, 0 removed, 0 failed", "provision", written(t, fmt.Sprintf(text, id)))
				list := run(t, env, "user", "list", "--account", acmeID, "--search", "+"+id, "--output", "ndjson")
				for _, want := range []string{`"email":"+` + id + `@staff.example"`, `"firstName":"=1+1"`, `"lastName":"'=x"`, `"externalId":"-47` + id + `"`} {
					if !strings.Contains(list, want) {
						t.Errorf("%s is not in %s", want, list)
					}
				}
			})
		}
	}
}

func TestExamplesTellWhatIsWrong(t *testing.T) {
	h := startHR(t, dbtest.SQLiteURL(t), "account_users_write")
	file := written(t, "\ufeffemail,first_name,last_name,stores\nann@staff.example,Ann,\"O\"\"Hara, Jr.\",acme1us\n,No,Body,\nbob@staff.example,Bob,,elsewhere\n")
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
				{"rows that fail", []string{"provision", file, "--dry-run"}, 1,
					"CREATED ann@staff.example\n1 created, 0 updated, 0 added, 0 unchanged, 0 removed, 2 failed\n", "bob@staff.example: users.2."},
				{"a missing scope", []string{"deprovision", file}, 1, "nothing done\n", "You do not have permission to do this operation. It needs account_users_delete."},
				{"other columns", []string{"provision", written(t, "mail\nx\n")}, 1, "", "the columns are"},
				{"a row that is too short", []string{"provision", written(t, "email,role\nx\n")}, 1, "", "not as many cells"},
				{"no file", []string{"provision", "missing.csv"}, 1, "", "missing.csv"},
				{"wrong use", []string{"provisioning", file}, 2, "", "provision people.csv [--dry-run]|provision|deprovision"},
			} {
				t.Run(tc.name, func(t *testing.T) {
					got := h.run(t, tc.args...)
					told := false
					for _, text := range strings.Split(tc.stderr, "|") {
						told = told || strings.Contains(got.stderr, text)
					}
					if got.status != tc.status || tc.stdout != "" && got.stdout != tc.stdout || !told {
						t.Errorf("status %d\n%s%s", got.status, got.stdout, got.stderr)
					}
				})
			}
			h.env = append(h.env[:2:2], "LATCHKEY_TOKEN=nonsense")
			if got := h.run(t, "provision", file); got.status != 1 || !strings.Contains(got.stderr, "credential") {
				t.Errorf("a wrong token: status %d\n%s%s", got.status, got.stdout, got.stderr)
			}
		})
	}
}

// What the command understands the examples do, too.
func TestExamplesDoAsTheCommand(t *testing.T) {
	h := startHR(t, dbtest.SQLiteURL(t), "account_users_write", "account_users_delete")
	inWords := written(t, "email,first_name,last_name,stores,role\nann@staff.example,Ann,One,acme1us,Sales  staff\n\nshort\nbob@staff.example,Bob,Two,acme1us,sales_manager\n")
	leavers := staff(t, "elsewhere", 1_001)
	for _, script := range scripts {
		t.Run(script, func(t *testing.T) {
			h := h
			h.script = script
			want := ended{
				"CREATED ann@staff.example\nCREATED bob@staff.example\n2 created, 0 updated, 0 added, 0 unchanged, 0 removed, 1 failed\n",
				"line 4: The row has not as many cells as the first line. (INVALID)\n", 1,
			}
			if got := h.run(t, "provision", inWords, "--dry-run"); got != want {
				t.Errorf("a role in words, and a row that is too short: %+v", got)
			}
			want = ended{
				"0 created, 0 updated, 0 added, 1001 unchanged, 0 removed, 0 failed\n",
				"the API tokens to review are not listed: the token lacks account_api_tokens_read, which shows them\n", 0,
			}
			if got := h.run(t, "deprovision", leavers); got != want {
				t.Errorf("a token that may not see API tokens: %+v", got)
			}
		})
	}
}
