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

	"latchkey/internal/chain/stream"
	"latchkey/internal/config"
	"latchkey/internal/fault"
	"latchkey/internal/token"
)

// everything is the purpose of serve, which has a flag for each setting.
const everything = ^config.Purpose(0)

// settingGroup is the annotation of a setting's flag with the heading under
// which help lists it.
const settingGroup = "latchkey_setting_group"

// offer adds the flags of the settings that a command uses for the purposes.
func offer(c *cobra.Command, purposes config.Purpose) {
	c.Flags().SortFlags = false // help shows them in the order of the documentation
	for _, s := range config.Settings() {
		if !s.UsedBy(purposes) && purposes != everything || c.Flags().Lookup(s.Flag) != nil {
			continue
		}
		usage := s.Usage + " [" + s.Variable() + "]"
		if s.Default != "" {
			usage += " (default " + s.Default + ")"
		}
		c.Flags().String(s.Flag, "", usage)
		flag := c.Flags().Lookup(s.Flag)
		flag.Annotations = map[string][]string{settingGroup: {s.Group}}
		if s.Bare {
			flag.NoOptDefVal = "on"
		}
	}
}

// settings reads the settings of a command and checks the files that they name.
// It returns fault.Invalid with the errors of both.
func (p *program) settings(c *cobra.Command, needs config.Needs) (config.Config, error) {
	cfg, err := config.Load(p.source(c), needs)
	serving := c.Flags().Lookup("routes") != nil
	return cfg, append(fault.List(fault.Flatten(err)), fileFaults(cfg, needs, serving)...).Err()
}

// withBackend calls work with the services, built from the settings of the
// command.
func (p *program) withBackend(c *cobra.Command, needs config.Needs, work func(*backend) error) error {
	cfg, err := p.settings(c, needs)
	if err != nil {
		return err
	}
	b, err := open(c.Context(), cfg, needs, p.commandLog())
	if err != nil {
		return err
	}
	defer b.Close()
	return work(b)
}

// source returns the flags and environment variables of a command.
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

// fileFaults returns the errors of the files that the command uses.
func fileFaults(cfg config.Config, needs config.Needs, serving bool) fault.List {
	catalogue, err := readCatalogue(cfg.Catalogue)
	faults := fault.List(fault.Flatten(err))
	if serving {
		_, err := readRoutes(cfg.Routes, catalogue)
		faults = append(faults, fault.Flatten(err)...)
		_, err = readTLS(cfg)
		faults = append(faults, fault.Flatten(err)...)
		if _, err = stream.Authorities(cfg.AuditStream.CA); err != nil {
			err = cannotRead(config.Called("audit-stream"), cfg.AuditStream.CA, err)
			faults = append(faults, fault.Flatten(err)...)
		}
		_, err = readLeakKeys(cfg.Leaks.Keys)
		faults = append(faults, fault.Flatten(err)...)
	}
	if err := checkDatabaseFile(cfg, needs); err != nil {
		return append(faults, fault.Flatten(err)...)
	}
	// A missing --key-file has already been reported.
	if usesKeys(cfg, needs) && cfg.KeyFile != "" && !makesKeys(cfg) {
		_, err := readKeys(cfg)
		faults = append(faults, fault.Flatten(err)...)
	}
	return faults
}

// inputs parses the flags of a command and collects their errors.
type inputs struct {
	faults fault.List
	// instead maps a flag that flagOf returns to the flag that was used.
	instead map[string]string
}

func (in *inputs) wrong(flag, message string) {
	in.faults = append(in.faults, fault.Errorf(fault.Invalid, "%s", message).On(flag))
}

// with combines the errors of the flags with err. It drops errors of err about
// flags that already have one, since those were not parsed.
func (in *inputs) with(err error) error {
	if fault.KindOf(err) == fault.Internal {
		return cmp.Or(in.faults.Err(), err)
	}
	all := slices.Clone(in.faults)
	for _, f := range fault.Flatten(err) {
		flag := flagOf(f.Field)
		if other, ok := in.instead[flag]; ok {
			flag = other
		}
		if !slices.ContainsFunc(in.faults, func(known *fault.Error) bool { return known.Field == flag }) {
			all = append(all, f.On(flag))
		}
	}
	return all.Err()
}

// id parses a UUID.
func (in *inputs) id(flag, text string) uuid.UUID {
	id, err := uuid.Parse(text)
	if err != nil || len(text) != 36 || id == uuid.Nil {
		hint := ""
		if flag == "--account" {
			hint = " It is in the address of the account's API: /accounts/UUID/graphql."
		}
		in.wrong(flag, "must be a UUID such as 0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01."+hint)
		return uuid.Nil
	}
	return id
}

// tokenID parses the id of an API token, with or without the prefix of the API.
// The error shows only the beginning of the text: it could be a secret pasted
// in the wrong place.
func (in *inputs) tokenID(text string) uuid.UUID {
	return in.apiID("ID", token.IDPrefix, text)
}

// listing has the group of the command that lists the objects with an ID.
var listing = map[string]string{token.IDPrefix: "token", webhookPrefix: "webhook", eventPrefix: "event"}

// apiID parses an ID of the API, with or without its prefix. The error shows
// only the beginning of the text, as that of tokenID does.
func (in *inputs) apiID(flag, prefix, text string) uuid.UUID {
	bare := strings.TrimPrefix(text, prefix)
	id, err := uuid.Parse(bare)
	if err == nil && len(bare) == 36 {
		return id
	}
	if len(bare) > 8 {
		bare = fmt.Sprintf("%.8s…", bare)
	}
	message := fmt.Sprintf("must be a UUID, with %s before it or not, and not %q.", prefix, bare)
	if group, listed := listing[prefix]; listed {
		message += fmt.Sprintf(" \"latchkey %s list\" shows it.", group)
	}
	in.wrong(flag, message)
	return uuid.Nil
}

// duration parses a duration, which may be in days.
func (in *inputs) duration(flag, text string) time.Duration {
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

// time parses a time (RFC 3339).
func (in *inputs) time(flag, text string) time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil || t.IsZero() {
		in.wrong(flag, "must be a time such as 2027-01-31T00:00:00Z.")
	}
	return t
}
