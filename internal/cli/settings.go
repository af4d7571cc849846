package cli

import (
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
	}
}

// settings reads the settings for a command.
func (p *program) settings(c *cobra.Command, needs config.Needs) (config.Config, error) {
	flags := func(name string) (string, bool) {
		f := c.Flags().Lookup(name)
		if f == nil || !f.Changed {
			return "", false
		}
		return f.Value.String(), true
	}
	return config.Load(config.Source{Flag: flags, Env: p.env}, needs)
}

// inputs reads the values of a command's own flags and gathers what is wrong
// with them.
type inputs struct{ faults fault.List }

func (in *inputs) wrong(flag, message string) {
	in.faults = append(in.faults, fault.Errorf(fault.Invalid, "%s", message).On(flag))
}

// id reads a UUID; an empty text is none.
func (in *inputs) id(flag, text string) uuid.UUID {
	if text == "" {
		return uuid.Nil
	}
	id, err := uuid.Parse(text)
	if err != nil || len(text) != 36 {
		in.wrong(flag, "must be a UUID such as 0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01.")
	}
	return id
}

// tokenID reads the id of an API token: as the API writes it, or its UUID.
func (in *inputs) tokenID(text string) uuid.UUID {
	return in.id("ID", strings.TrimPrefix(text, tokenIDPrefix))
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

// moment reads a time (RFC 3339); an empty text is none.
func (in *inputs) moment(flag, text string) time.Time {
	if text == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		in.wrong(flag, "must be a time such as 2027-01-31T00:00:00Z.")
	}
	return t
}
