package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"latchkey/internal/config"
	"latchkey/internal/fault"
)

// offer gives a command the flags of the settings.
func offer(c *cobra.Command, serving bool) {
	for _, s := range config.Settings() {
		if s.Serving && !serving {
			continue
		}
		usage := s.Usage + " [" + s.Variable() + "]"
		if s.Default != "" {
			usage += " (default " + s.Default + ")"
		}
		c.Flags().String(s.Flag, "", usage)
		if s.Bare {
			c.Flags().Lookup(s.Flag).NoOptDefVal = "on"
		}
	}
}

// settings reads the settings for a command, and makes sure of the files that
// they name. It returns fault.Invalid with every fault of both.
func (p *program) settings(c *cobra.Command, needs config.Needs) (config.Config, error) {
	cfg, err := config.Load(p.source(c), needs)
	serving := c.Flags().Lookup("routes") != nil
	return cfg, append(fault.List(fault.Flatten(err)), fileFaults(cfg, needs, serving)...).Err()
}

// source is where a command's settings come from.
func (p *program) source(c *cobra.Command) config.Source {
	flags := func(name string) (string, bool) {
		f := c.Flags().Lookup(name)
		if f == nil || !f.Changed {
			return "", false
		}
		return f.Value.String(), true
	}
	return config.Source{Flag: flags, Env: p.env}
}

// fileFaults returns what is wrong with the files that settings name and the
// command uses.
func fileFaults(cfg config.Config, needs config.Needs, serving bool) fault.List {
	catalogue, err := readCatalogue(cfg.Catalogue)
	faults := fault.List(fault.Flatten(err))
	if serving {
		_, err := readRoutes(cfg.Routes, catalogue)
		faults = append(faults, fault.Flatten(err)...)
	}
	if err := databaseThere(cfg, needs); err != nil {
		return append(faults, fault.Flatten(err)...)
	}
	// Where no file is named and one must be, that is known already.
	if usesKeys(cfg, needs) && cfg.KeyFile != "" && !makesKeys(cfg) {
		_, err := readKeys(cfg)
		faults = append(faults, fault.Flatten(err)...)
	}
	return faults
}

// inputs reads the values of a command's own flags and gathers what is wrong
// with them.
type inputs struct {
	faults fault.List
	// instead are flags that were given in place of those that flagOf names.
	instead map[string]string
}

func (in *inputs) wrong(flag, message string) {
	in.faults = append(in.faults, fault.Errorf(fault.Invalid, "%s", message).On(flag))
}

// with returns what is wrong with the flags' values, and of err, which came
// of working with what could be read, what is about others.
func (in *inputs) with(err error) error {
	if fault.KindOf(err) == fault.Internal {
		return cmp.Or(in.faults.Err(), err)
	}
	all := slices.Clone(in.faults)
	for _, f := range fault.Flatten(err) {
		flag := flagOf(f.Field)
		if other, given := in.instead[flag]; given {
			flag = other
		}
		if !slices.ContainsFunc(in.faults, func(known *fault.Error) bool { return known.Field == flag }) {
			all = append(all, f.On(flag))
		}
	}
	return all.Err()
}

// id reads a UUID.
func (in *inputs) id(flag, text string) uuid.UUID {
	id, err := uuid.Parse(text)
	if err != nil || len(text) != 36 || id == uuid.Nil {
		in.wrong(flag, "must be a UUID such as 0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01.")
		return uuid.Nil
	}
	return id
}

// tokenID reads the id of an API token: as the API writes it, or its UUID.
// Several may be given, so a wrong one is told by how it begins: all of it may
// be a secret that was pasted in the wrong place.
func (in *inputs) tokenID(text string) uuid.UUID {
	bare := strings.TrimPrefix(text, tokenIDPrefix)
	id, err := uuid.Parse(bare)
	if err == nil && len(bare) == 36 {
		return id
	}
	if len(bare) > 8 {
		bare = fmt.Sprintf("%.8s…", bare)
	}
	in.wrong("ID", fmt.Sprintf("must be a UUID, with %s before it or not, and not %q.", tokenIDPrefix, bare))
	return uuid.Nil
}

// span reads a duration, which may be in days.
func (in *inputs) span(flag, text string) time.Duration {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return time.Duration(n) * 24 * time.Hour
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		in.wrong(flag, "must be a duration such as 30m, 24h or 90d.")
	}
	return d
}

// moment reads a time (RFC 3339).
func (in *inputs) moment(flag, text string) time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil || t.IsZero() {
		in.wrong(flag, "must be a time such as 2027-01-31T00:00:00Z.")
	}
	return t
}
