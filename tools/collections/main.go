// Command collections writes examples/postman.json and examples/insomnia.yaml,
// which have the same requests, from the list in requests.go.
package main

import (
	"bytes"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

//go:generate go run latchkey/tools/collections ../../examples

const about = "The Account API of Latchkey, OAuth 2.0 and the check of gateways. Start \"make run\", set token, merchant_token and gateway_key " +
	"as their descriptions say, and send the requests in order: each keeps the IDs that later ones need. " +
	"Moving the clock of billing needs a server with --test-clock, and event sources one with --aws-events; without them these requests say so."

// variable is a value that the requests use. description says where it comes
// from; it is empty for those that a request sets.
type variable struct{ name, value, description string }

// variables are the values to set, with the demo's. The others are set by the
// requests that keep them.
var variables = []variable{
	{"base_url", "http://127.0.0.1:8080", "the server"},
	{"account_uuid", "0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01", "the account"},
	{"token", "", "a session of its owner: latchkey session create --email owner@acme.example"},
	{"store_hash", "acme1us", "one of its stores"},
	{"app_id", "4711", "one of its apps"},
	{"merchant_account_uuid", "3f1d9f0e-52b4-4c0e-8a6d-2b7c1e9d4c02", "another account, which pays for the app"},
	{"merchant_token", "", "a session of its owner: latchkey session create --email owner@bicycles.example"},
	{"merchant_store_hash", "bluebike", "its store"},
	{"gateway_key", "", "the key of a gateway: latchkey gateway create --name \"My gateway\""},
	{"new_password", "copper-lantern-swims-19", "the password of a user that a request creates"},
	{"event_source_id", "bc/account/eventSource/00000000-0000-7000-8000-000000000000", "set by the request that creates one"},
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: collections FOLDER")
	}
	for name, content := range map[string]func([]folder) ([]byte, error){
		"postman.json": postman, "insomnia.yaml": insomnia,
	} {
		text, err := content(folders)
		if err == nil {
			err = os.WriteFile(filepath.Join(os.Args[1], name), text, 0o600)
		}
		if err != nil {
			log.Fatal(err)
		}
	}
}

// script returns the JavaScript that runs after a response: it checks the
// status and the errors, and keeps values. api is the name of the program's
// object, and set its function that sets a variable.
func (r request) script(api, set string) []string {
	status := r.statusText()
	lines := []string{fmt.Sprintf(`%s.test("status %s", () => %s.expect(%s.response.code).to.eql(%s));`, api, status,
		api, api, status)}
	if r.status != 0 {
		return lines
	}
	lines = append(lines, "const body = "+api+".response.json();")
	if r.form == nil {
		lines = append(lines,
			`const codes = (body.errors || []).map((error) => error.extensions.code);`,
			fmt.Sprintf(`const unexpected = codes.filter((code) => !%s.includes(code));`, list(r.mayFail)),
			fmt.Sprintf(`%s.test("no errors", () => %s.expect(unexpected, JSON.stringify(body.errors)).to.eql([]));`, api,
				api))
	}
	for _, k := range r.keep {
		path := "body." + strings.ReplaceAll(k.path, ".", "?.")
		if r.mayFail == nil {
			lines = append(lines, api+`.test("has `+k.variable+`", () => `+api+`.expect(`+path+`).to.be.a("string"));`)
		}
		lines = append(lines, `if (`+path+`) `+set+`("`+k.variable+`", `+path+`);`)
	}
	return lines
}

func (r request) statusText() string {
	if r.status == 0 {
		return "200"
	}
	return strconv.Itoa(r.status)
}

func list(codes []string) string {
	if len(codes) == 0 {
		return "[]"
	}
	return `["` + strings.Join(codes, `", "`) + `"]`
}

// method and address return those of the request, with variables as {{name}}.
func (r request) method() string {
	if r.path == gatewayCheck {
		return "GET"
	}
	return "POST"
}

func (r request) address() string {
	if r.path != "" {
		return "{{base_url}}" + r.path
	}
	account := r.account
	if account == "" {
		account = "account_uuid"
	}
	return "{{base_url}}/accounts/{{" + account + "}}/graphql"
}

// headers returns the headers of the request, without Content-Type.
func (r request) headers() [][2]string {
	if r.path != "" {
		return r.header
	}
	credential := r.credential
	if credential == "" {
		credential = "token"
	}
	return [][2]string{{"X-Auth-Token", "{{" + credential + "}}"}}
}

var placeholder = regexp.MustCompile(`\{\{(\w+)\}\}`)

// tidy returns a document or JSON without the indentation of the source.
func tidy(text string) string {
	lines := strings.Split(strings.Trim(text, "\n"), "\n")
	indent := len(lines[0]) - len(strings.TrimLeft(lines[0], "\t"))
	var b bytes.Buffer
	for i, line := range lines {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(strings.ReplaceAll(strings.TrimPrefix(line, strings.Repeat("\t", indent)), "\t", "  "))
	}
	return strings.TrimSpace(b.String())
}
