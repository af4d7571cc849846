package cli

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/config"
	"latchkey/internal/paging"
)

// completionTimeout limits the query for a completion: a shell waits for it.
const completionTimeout = 2 * time.Second

// values returns the possible values of a flag, for the command with the flags
// that were typed so far. A value can be followed by a tab and a description.
type values func(*cobra.Command) []cobra.Completion

// fixed returns values that do not depend on the command line.
func fixed(all ...cobra.Completion) values {
	return func(*cobra.Command) []cobra.Completion { return all }
}

// completeFlags adds the values of flags to the completion of all commands.
func (p *program) completeFlags(root *cobra.Command) {
	must(root.RegisterFlagCompletionFunc("output", complete(outputFormats)))
	known := map[string]values{
		"scope": p.scopeValues, "store": p.storeValues, "level": fixed(scopeLevels...),
		"status": fixed("active", "expired", "revoked"), "state": fixed("pending", "delivered", "dead"),
		"type": eventTypes, "format": fixed("csv", "ndjson"),
		"log-format": fixed("text", "json"), "log-level": fixed("debug", "info", "warn", "error"),
	}
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		for name, all := range known {
			if c.Flags().Lookup(name) != nil {
				must(c.RegisterFlagCompletionFunc(name, complete(all)))
			}
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(root)
}

// complete returns the completion function of a flag with these values. A list
// may already have entries, separated by commas.
func complete(all values) cobra.CompletionFunc {
	return func(c *cobra.Command, _ []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		before, last := "", typed
		if comma := strings.LastIndexByte(typed, ','); comma >= 0 {
			before, last = typed[:comma+1], typed[comma+1:]
		}
		var found []cobra.Completion
		for _, value := range all(c) {
			if strings.HasPrefix(value, last) {
				found = append(found, before+value)
			}
		}
		return found, cobra.ShellCompDirectiveNoFileComp
	}
}

// outputFormats returns the formats of --output that a command supports.
func outputFormats(c *cobra.Command) []cobra.Completion {
	formats := []cobra.Completion{"text", "json"}
	switch c.CommandPath() {
	case "latchkey user list":
		return append(formats, "csv", "ndjson", "table")
	case "latchkey event list":
		return append(formats, "ndjson")
	case "latchkey billing export":
		return append(formats, "csv")
	}
	return formats
}

func eventTypes(*cobra.Command) []cobra.Completion {
	all := []cobra.Completion{"*\tevery event"}
	for _, t := range audit.Types() {
		all = append(all, string(t))
	}
	return all
}

// scopeValues returns the scopes of the catalogue. Errors of completions have
// nowhere to go: the shell offers nothing then.
func (p *program) scopeValues(c *cobra.Command) []cobra.Completion {
	cfg, err := config.Load(p.source(c), config.Needs{})
	if err != nil {
		return nil
	}
	catalogue, err := readCatalogue(cfg.Catalogue)
	if err != nil {
		return nil
	}
	var all []cobra.Completion
	for _, s := range scopeViews(catalogue, "") {
		all = append(all, s.Scope+"\t"+s.Description)
	}
	return all
}

// storeValues returns the hashes of the account's stores, with their names. It
// reads a database whose schema is this program's and changes none.
func (p *program) storeValues(c *cobra.Command) []cobra.Completion {
	cfg, err := p.settings(c, config.Needs{})
	if err != nil {
		return nil
	}
	var in inputs
	by := operator(in.id("--account", c.Flags().Lookup("account").Value.String()))
	if len(in.faults) > 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Context()), completionTimeout)
	defer cancel()
	b, err := openDatabase(ctx, cfg, config.Needs{}, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		return nil
	}
	defer b.Close()
	if schema, err := b.db.Schema(ctx); err != nil || schema.Have != schema.Want {
		return nil
	}
	size := paging.MaxSize
	stores, err := account.NewService(b.db.Accounts()).Stores(ctx, by, account.StoreFilter{},
		paging.Request{First: &size})
	if err != nil {
		return nil
	}
	var all []cobra.Completion
	for _, s := range stores.Items {
		all = append(all, s.Node.Hash+"\t"+s.Node.Name)
	}
	return all
}
