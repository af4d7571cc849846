package manifest_test

import (
	"fmt"
	"strings"
	"testing"

	"latchkey/internal/account"
	"latchkey/internal/fault"
	"latchkey/internal/manifest"
	"latchkey/internal/scope"
	"latchkey/internal/test/check"
	"latchkey/internal/user"
)

// acme is the manual's manifest with every key.
const acme = `accounts:
  - uuid: 0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01
    name: Acme Retail
    features: [automated_billing]
    owner: {email: owner@acme.example, first_name: Acme, last_name: Owner, locale: en}
    users:
      - {email: clerk@acme.example, first_name: Clara, last_name: Clerk, locale: en-GB}
    stores:
      - {hash: acme1us, name: Acme US}
      - hash: acme2eu
        name: Acme EU
        owner: {email: eu@acme.example, first_name: Store, last_name: Owner, locale: de}
        apps: [4711]
        users:
          - {email: Clerk@acme.example, status: inactive, permissions: [Add_Orders, Add_Brands], apps: [4711]}
    apps:
      - {id: 4711, name: Acme Subscriptions, status: published}
`

// oldToken is the token of a legacy API account.
const oldToken = "e5a1c0ffee5a1c0ffee5a1c0ffee5a1c0ffee5a1"

func parse(t *testing.T, text string) manifest.Manifest {
	t.Helper()
	m, err := manifest.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestParse(t *testing.T) {
	m := parse(t, acme)
	a := m.Accounts[0]
	if a.ID.String() != "0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01" || a.Name != "Acme Retail" ||
		a.Owner != "owner@acme.example" ||
		fmt.Sprint(a.Features) != fmt.Sprint([]scope.Feature{scope.FeatureAutomatedBilling}) ||
		fmt.Sprint(a.Users) != "[clerk@acme.example]" {
		t.Errorf("account: got %+v, want Acme Retail as in the manifest", a)
	}
	check.Equal(t, fmt.Sprint(a.Apps),
		fmt.Sprint([]manifest.App{{Line: 17, ID: 4711, Name: "Acme Subscriptions", Status: account.AppPublished}}),
		"apps %+v", a.Apps)
	us, eu := a.Stores[0], a.Stores[1]
	if us.Hash != "acme1us" || us.Owner != "" || us.Line != 9 || eu.Owner != "eu@acme.example" ||
		eu.Apps[0].ID != 4711 {
		t.Errorf("stores: got %+v, want acme1us and acme2eu as in the manifest", a.Stores)
	}
	clerk := eu.Users[0]
	if clerk.Email != "clerk@acme.example" || clerk.Status != user.Inactive ||
		fmt.Sprint(clerk.Permissions) != "[Add_Orders Add_Brands]" || clerk.Apps[0].ID != 4711 {
		t.Errorf("member: got %+v, want clerk@acme.example as in the manifest", clerk)
	}
	var who []string
	for _, p := range m.Users {
		who = append(who, p.Email+" "+p.FirstName+" "+p.Locale)
	}
	check.Equal(t, strings.Join(who, ", "),
		"owner@acme.example Acme en, clerk@acme.example Clara en-GB, eu@acme.example Store de", "people")
}

func TestMissingKeys(t *testing.T) {
	a := parse(t,
		"accounts:\n  - {uuid: 0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01, name: A, owner: {email: a@b.example}}\n").Accounts[0]
	if a.Features != nil || a.Stores != nil {
		t.Errorf("missing keys: got features %v and stores %v, want nil", a.Features, a.Stores)
	}
	a = parse(t,
		"accounts:\n  - {uuid: 0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01, name: A, owner: {email: a@b.example}, features: []}\n").Accounts[0]
	if a.Features == nil {
		t.Error("an empty list of features: got nil, want it set")
	}
}

// Each case replaces one line of acme and gives the expected error.
func TestFaults(t *testing.T) {
	for _, tc := range []struct {
		name    string
		line    int
		text    string
		want    string
		further int // number of errors that follow from it
	}{
		{"unknown key", 3, "    nam: Acme Retail", `line 3: unknown key "nam"; an account has uuid, name`, 1},
		{"key twice", 3, "    name: Acme\n    name: Acme", `line 4: key "name" is on line 3 already`, 0},
		{"key of many lines twice", 3, "    name:\n      Acme\n    name: Acme",
			`line 5: key "name" is on line 3 already`, 0},
		{"merge key", 3, "    <<: {name: Acme}", `line 3: unknown key "<<"`, 1},
		{"missing key", 3, "", `line 2: an account needs "name"`, 0},
		{"name that is a number", 3, "    name: 42", "line 3: name must be text; quote it", 0},
		{"name without a value", 3, "    name:", "line 3: name must be text", 0},
		{"name that is a list", 3, "    name: [a]", "line 3: name must be text", 0},
		{"blank name", 3, `    name: " "`, "line 3: name \" \" is not a single line", 0},
		{"name too long", 3, "    name: " + strings.Repeat("x", 101), "is not a single line of 1 to 100 characters", 0},
		{"name of two lines", 3, `    name: "a\nb"`, `line 3: name "a\nb" is not a single line`, 0},
		{"no UUID", 2, "  - uuid: 42", "line 2: uuid must be text", 0},
		{"UUID of another form", 2, "  - uuid: 0b2c1a6e6a7e4f4e9c1f0a1f4f4b7a01", "line 2: uuid", 0},
		{"nil UUID", 2, "  - uuid: 00000000-0000-0000-0000-000000000000", "line 2: uuid", 0},
		{"unknown feature", 4, "    features: [teleport]",
			`line 4: feature "teleport" is unknown; it can be automated_billing`, 0},
		{"features that are not a list", 4, "    features: automated_billing", "line 4: features must be a list", 0},
		{"feature twice", 4, "    features: [automated_billing, automated_billing]",
			"line 4: feature automated_billing is on line 4 already", 0},
		{"no owner", 5, "", `line 2: an account needs "owner"`, 0},
		{"owner that is text", 5, "    owner: owner@acme.example", "line 5: an owner has the keys email", 0},
		{"bad email", 5, "    owner: {email: acme}", `line 5: email "acme" is not an email address`, 0},
		{"bad locale", 5, "    owner: {email: a@b.example, locale: en_US}",
			`line 5: locale "en_US" is not a language tag`, 0},
		{"locale that is null in YAML", 5, "    owner: {email: a@b.example, locale: null}",
			"line 5: locale must be text", 0},
		{"contradiction", 7, "      - {email: OWNER@acme.example, first_name: Alec}",
			`line 7: first_name of OWNER@acme.example is "Alec" here and "Acme" on line 5`, 0},
		{"user twice", 7, "      - {email: clerk@acme.example}\n      - {email: CLERK@acme.example}",
			"line 8: user clerk@acme.example is on line 7 already", 0},
		{"hash with capitals", 9, "      - {hash: Acme1US, name: Acme US}",
			`line 9: hash "Acme1US" is not 4 to 32 lowercase letters and digits`, 0},
		{"hash too short", 9, "      - {hash: abc, name: Acme US}", "line 9: hash", 0},
		{"hash that is a number", 9, "      - {hash: 12345, name: Acme US}", "line 9: hash must be text; quote it", 0},
		{"store twice", 9, "      - {hash: acme2eu, name: Acme US}", "line 10: store acme2eu is on line 9 already", 0},
		{"legacy account without a token", 9,
			"      - {hash: acme1us, name: Acme US, legacy_api_accounts: [{username: erp}]}",
			`line 9: a legacy API account needs "token"`, 0},
		{"legacy token too short", 9,
			"      - {hash: acme1us, name: Acme US, legacy_api_accounts: [{username: erp, token: hunter2}]}",
			"line 9: token is not 20 to 200 letters", 0},
		{"legacy token that is a number", 9,
			"      - {hash: acme1us, name: Acme US, legacy_api_accounts: [{username: erp, token: 12345678901234567890}]}", "line 9: token must be text; quote it", 0},
		{"legacy name with a colon", 9,
			"      - {hash: acme1us, name: Acme US, legacy_api_accounts: [{username: 'a:b', token: " + oldToken + "}]}",
			"line 9: username \"a:b\" is not a single line", 0},
		{"legacy account twice", 9,
			"      - {hash: acme1us, name: Acme US, legacy_api_accounts: [{username: erp, token: " + oldToken +
				"}, {username: erp, token: " + oldToken + "}]}",
			"line 9: legacy API account erp is on line 9 already", 0},
		{"app that is text", 13, "        apps: [\"4711\"]", "line 13: an app's id must be a whole number", 0},
		{"app in octal", 13, "        apps: [0o11]", "line 13: an app's id", 0},
		{"negative app", 13, "        apps: [-1]", "line 13: an app's id", 0},
		{"app without an id", 17, "      - {name: Acme Subscriptions}", `line 17: an app needs "id"`, 0},
		{"app twice", 17, "      - {id: 4711, name: A}\n      - {id: 4711, name: B}",
			"line 18: app 4711 is on line 17 already", 0},
		{"unknown status of an app", 17, "      - {id: 4711, name: A, status: PUBLISHED}",
			`line 17: status "PUBLISHED" is unknown; it can be draft or published`, 0},
		{"unknown status", 15, "          - {email: a@b.example, status: gone}",
			`line 15: status "gone" is unknown; it can be active or inactive`, 0},
		{"unknown permission", 15, "          - {email: a@b.example, permissions: [Own_Everything]}",
			`line 15: permission "Own_Everything" is unknown`, 0},
		{"permission twice", 15, "          - {email: a@b.example, permissions: [Add_Orders, Add_Orders]}",
			"permission Add_Orders is on line 15 already", 0},
		{"alias", 3, "    name: &a Acme\n    owner: *a", "line 4: an owner has the keys", 1},
		{"several documents", 17, "---\naccounts: []", "line 17: a second document", 0},
		{"no YAML", 17, "\t- {", "The manifest is not YAML: line 17", 0},
		{"list at the top", 1, "- accounts:", "line 1: a manifest has the keys accounts", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			lines := strings.Split(acme, "\n")
			lines[tc.line-1] = tc.text
			_, err := manifest.Parse(strings.NewReader(strings.Join(lines, "\n")))
			if fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("got %v, want %s", err, tc.want)
			}
			if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), oldToken) ||
				strings.Contains(err.Error(), "1234567890") {
				t.Errorf("the error: got %v, want it without tokens", err)
			}
			if found := fault.Flatten(err); len(found) != 1+tc.further {
				t.Errorf("faults: got %d, want %d: %v", len(found), 1+tc.further, err)
			}
		})
	}
}

func TestAllFaultsAtOnce(t *testing.T) {
	_, err := manifest.Parse(strings.NewReader(`accounts:
  - uuid: 1
    stores: [{hash: X, name: ""}]
    apps: [{id: no}]
    surprise: yes
  - uuid: 0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01
    name: A
    owner: {email: a}
  - uuid: 0B2C1A6E-6A7E-4F4E-9C1F-0A1F4F4B7A01
    name: A
    owner: {email: a@b.example}
`))
	var lines []string
	for _, f := range fault.Flatten(err) {
		line, _, _ := strings.Cut(f.Message, ":")
		lines = append(lines, strings.TrimPrefix(line, "line "))
	}
	check.Equal(t, strings.Join(lines, " "), "2 2 2 3 3 4 4 5 8 9", "faults on lines: %v", err)
}

func TestNoManifest(t *testing.T) {
	for name, text := range map[string]string{
		"nothing": "", "a comment": "# nothing\n", "null": "~\n", "a list": "- a\n", "no accounts": "{}\n",
		"accounts that are text": "accounts: all\n",
		"too much":               "accounts: []\n" + strings.Repeat("#\n", 16<<20),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := manifest.Parse(strings.NewReader(text)); fault.KindOf(err) != fault.Invalid {
				t.Errorf("Parse: got error %v, want kind %s", err, fault.Invalid)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add(acme)
	f.Add("accounts: [{uuid: x, <<: *a}]")
	f.Add("accounts:\n- &a\n  stores: [*a, {users: [*a]}]")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := manifest.Parse(strings.NewReader(text))
		if err != nil {
			check.Equal(t, fault.KindOf(err), fault.Invalid, "%v is not a fault.Invalid", err)
			return
		}
		mentioned := map[string]bool{}
		for _, p := range m.Users {
			if mentioned[user.Fold(p.Email)] {
				t.Errorf("%s is listed twice, want each user once", p.Email)
			}
			mentioned[user.Fold(p.Email)] = true
		}
		for _, a := range m.Accounts {
			if !mentioned[a.Owner] {
				t.Errorf("the owner %q is not among the users, want every owner there", a.Owner)
			}
		}
	})
}
