package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"latchkey/graph"
	"latchkey/internal/config"
	"latchkey/internal/scope"
)

// scopeCommands returns the commands for the catalogue of scopes.
func (p *program) scopeCommands() *cobra.Command {
	return group("scope", "Scopes that API tokens can hold", p.scopeListCommand())
}

func (p *program) scopeListCommand() *cobra.Command {
	var level string
	c := &cobra.Command{Use: "list", Short: "List the scopes of the catalogue, with what each allows",
		Args: cobra.NoArgs}
	c.Flags().StringVar(&level, "level", "", "only scopes of this level: account or store (default: both)")
	offer(c, config.Scopes)
	c.RunE = p.runs(func(c *cobra.Command, _ []string) error {
		var in inputs
		if c.Flags().Changed("level") && !slices.Contains(scopeLevels, level) {
			in.wrong("--level", fmt.Sprintf("must be account or store, and not %.40q.", level))
		}
		cfg, err := config.Load(p.source(c), config.Needs{})
		if err == nil {
			err = in.faults.Err()
		}
		if err != nil {
			return err
		}
		catalogue, err := readCatalogue(cfg.Catalogue)
		if err != nil {
			return err
		}
		scopes := scopeViews(catalogue, scope.Level(strings.ToUpper(level)))
		return p.printed(map[string][]scopeView{"scopes": scopes},
			table("SCOPE\tLEVEL\tRESOURCE\tPERMISSION\tALLOWS", scopes), func() {})
	})
	return c
}

var scopeLevels = []string{"account", "store"}

// scopeView is a scope in the output.
type scopeView struct {
	Scope       string      `json:"scope"`
	Level       scope.Level `json:"level"`
	Resource    string      `json:"resource"`
	Permission  string      `json:"permission"`
	Description string      `json:"description"`
	// Implies has the scopes that are granted with this one.
	Implies []string `json:"implies"`
	// Delegable is false if no token can grant the scope to another token.
	Delegable bool `json:"delegable"`
	// Feature is the feature that an account needs; empty for all accounts.
	Feature scope.Feature `json:"feature,omitempty"`
}

func (v scopeView) row() []string {
	return []string{v.Scope, string(v.Level), v.Resource, v.Permission, v.Description}
}

// scopeViews returns the scopes of a level, or of both if it is empty, in the
// catalogue's order.
func scopeViews(catalogue *scope.Catalogue, level scope.Level) []scopeView {
	views := []scopeView{}
	for _, r := range catalogue.All() {
		if level != "" && r.Level != level {
			continue
		}
		for _, p := range r.Permissions {
			grant, _ := catalogue.Lookup(p.Scope)
			views = append(views, scopeView{p.Scope, r.Level, r.Name, p.Name, p.Description,
				slices.Concat([]string{}, grant.Implies), grant.Delegable, r.Feature})
		}
	}
	return views
}

// schemaCommands returns the commands for the API's schema.
func (p *program) schemaCommands() *cobra.Command {
	return group("schema", "The schema of the Account API", &cobra.Command{
		Use: "print", Short: "Print the schema of the Account API in GraphQL's schema language", Args: cobra.NoArgs,
		RunE: p.runs(func(*cobra.Command, []string) error {
			text := graph.SDL()
			return p.printed(map[string]string{"schema": text}, text, func() {})
		}),
	})
}
