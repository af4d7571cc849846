// Command scopedocs writes docs/scopes.md from the catalogue of scopes and the
// presets.
package main

import (
	"fmt"
	"log"
	"os"
	"slices"
	"strings"

	"latchkey/internal/scope"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: scopedocs FILE")
	}
	if err := os.WriteFile(os.Args[1], []byte(page(scope.Default())), 0o600); err != nil {
		log.Fatal(err)
	}
}

const introduction = `# Scopes

<!-- Generated from internal/scope/catalogue.yaml and presets.yaml by "make generate". Do not edit. -->

A scope is a right that an API token holds. The form of a new token in the control panel, ` + "`latchkey scope list`" + `, the API's field ` + "`scopeCatalog`" + ` and
this page list the same catalogue. An operator can replace it with a file of the same format (` + "`--catalogue`" + `).

- **Level**: an account-level token holds account scopes and store scopes, the latter in every store of the account. A store-level token holds store scopes only.
- **Implied scopes** are granted together with the scope that implies them, and need not be named.
- **Which field needs which scope** is in the description of the field: in the API explorer, and in the output of ` + "`latchkey schema print`" + `.
- **Which request to a store API needs which scope** is in the routes of the gateway's check ([gateway.md](gateway.md#routes)).

Give a program the scopes that it needs and no others. A token can lose scopes later, and never gets more: issue another one for that.
`

// page returns the page for a catalogue.
func page(c *scope.Catalogue) string {
	var b strings.Builder
	b.WriteString(introduction)
	level, section := scope.Level(""), ""
	for _, r := range c.All() {
		if r.Level != level {
			level, section = r.Level, ""
			fmt.Fprintf(&b, "\n## %s scopes\n", map[scope.Level]string{scope.LevelAccount: "Account",
				scope.LevelStore: "Store"}[level])
		}
		if r.Section != section {
			section = r.Section
			fmt.Fprintf(&b, "\n### %s\n\n| scope | resource | permission | allows | notes |\n|---|---|---|---|---|\n", section)
		}
		for _, p := range r.Permissions {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", p.Scope, r.Name, p.Name, p.Description, notes(c, r, p))
		}
	}
	b.WriteString("\n## Presets\n\nThe form of a new API token offers these sets for common programs.\n\n" +
		"| preset | for | scopes |\n|---|---|---|\n")
	features := []scope.Feature{}
	for _, r := range c.All() {
		features = append(features, r.Feature)
	}
	for _, p := range scope.Presets(c.Resources(scope.LevelAccount, slices.Compact(features))) {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", p.Name, p.Description, presetScopes(p))
	}
	return b.String()
}

// notes returns remarks about a scope apart from what it allows.
func notes(c *scope.Catalogue, r scope.Resource, p scope.Permission) string {
	var all []string
	grant, _ := c.Lookup(p.Scope)
	if len(grant.Implies) > 0 {
		all = append(all, "implies "+code(grant.Implies))
	}
	if !grant.Delegable {
		all = append(all, "a token cannot grant it to another token")
	}
	if r.Feature != "" {
		all = append(all, "needs the account feature `"+strings.ToLower(string(r.Feature))+"`")
	}
	return strings.Join(all, "; ")
}

func code(names []string) string { return "`" + strings.Join(names, "`, `") + "`" }

// presetScopes lists the scopes of a preset, unless it has all of a kind.
func presetScopes(p scope.Preset) string {
	const most = 12
	if len(p.Scopes) > most {
		return fmt.Sprintf("%d scopes, all with that permission", len(p.Scopes))
	}
	return code(p.Scopes)
}
