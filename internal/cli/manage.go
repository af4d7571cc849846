package cli

import (
	"crypto/rand"
	"io"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"latchkey/internal/audit"
	"latchkey/internal/config"
	"latchkey/internal/fault"
	"latchkey/internal/manifest"
	"latchkey/internal/secret"
)

// commandLog returns the log of commands other than serve. It has only warnings
// and errors.
func (p *program) commandLog() *slog.Logger {
	return slog.New(slog.NewTextHandler(p.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

func (p *program) migrateCommand() *cobra.Command {
	c := &cobra.Command{Use: "migrate", Short: "Migrate the database schema to this program's version",
		Args: cobra.NoArgs}
	status := c.Flags().Bool("status", false,
		"print the versions without migrating; exit status 4 if this program does not work with the schema")
	offer(c, config.Storage)
	c.RunE = p.runs(func(c *cobra.Command, _ []string) error { return p.migrate(c, *status) })
	return c
}

func (p *program) migrate(c *cobra.Command, statusOnly bool) error {
	needs := config.Needs{Creates: !statusOnly}
	cfg, err := p.settings(c, needs)
	if err != nil {
		return err
	}
	b, err := openDatabase(c.Context(), cfg, needs, p.commandLog(), nil)
	if err != nil {
		return err
	}
	defer b.Close()
	schema, err := b.db.Schema(c.Context())
	if err != nil {
		return err
	}
	applied := []string{}
	if !statusOnly && !schema.Newer() {
		made, err := b.db.Migrate(c.Context())
		if err != nil {
			return err
		}
		applied, schema.Have = append(applied, made...), schema.Want
		if err := b.beginWithKeys(c.Context()); err != nil {
			return err
		}
	}
	type result struct {
		Have    int64    `json:"have"`
		Want    int64    `json:"want"`
		Applied []string `json:"applied"`
	}
	incompatible := schema.Check()
	err = p.printed(result{schema.Have, schema.Want, applied}, "", func() {
		for _, name := range applied {
			p.say("applied %s", name)
		}
		switch {
		case incompatible != nil:
		case schema.Newer():
			p.say("the schema is newer (version %d) than this program (%d), and works with it", schema.Have,
				schema.Want)
		default:
			p.say("the schema is up to date (version %d)", schema.Have)
		}
	})
	if err != nil {
		return err
	}
	return incompatible
}

func (p *program) applyCommand() *cobra.Command {
	c := &cobra.Command{Use: "apply -f FILE",
		Short: "Create and update accounts, stores, users and apps from a manifest", Args: cobra.NoArgs}
	file := c.Flags().StringP("file", "f", "", "the manifest; - is standard input")
	dry := c.Flags().Bool("dry-run", false, "print the changes without making them")
	must(c.MarkFlagRequired("file"))
	offer(c, config.Storage)
	c.RunE = p.runs(func(c *cobra.Command, _ []string) error { return p.apply(c, *file, *dry) })
	return c
}

// must panics on an error that only a bug in this package can cause.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

func (p *program) apply(c *cobra.Command, file string, dry bool) error {
	declared, err := readManifest(p.stdin, file)
	if err != nil {
		return err
	}
	needs := config.Needs{Keys: declared.HasLegacyAccounts(), Creates: !dry}
	return p.withBackend(c, needs, func(b *backend) error {
		if !dry {
			if err := b.requireChains(c.Context()); err != nil {
				return err
			}
		}
		events, err := b.manifests.Apply(c.Context(), operator(uuid.Nil), declared, dry)
		if err != nil {
			return err
		}
		return p.printed(changesOf(events, dry), "", func() {
			for _, e := range events {
				p.say("%s", sentence(e))
			}
			switch {
			case len(events) == 0:
				p.say("nothing to change")
			case dry:
				p.say("dry run: nothing was changed")
			}
		})
	})
}

// readManifest reads a file, or standard input for "-".
func readManifest(stdin io.Reader, file string) (manifest.Manifest, error) {
	from := stdin
	if file != "-" {
		opened, err := os.Open(file)
		if err != nil {
			return manifest.Manifest{}, cannotRead("--file", file, err)
		}
		defer opened.Close()
		from = opened
	}
	return manifest.Parse(from)
}

// sentence describes an event in words: "created store Acme US (…)".
func sentence(e audit.Event) string {
	thing, verb, _ := strings.Cut(string(e.Action), ".")
	text := verb + " " + thing + " " + e.Target.Name
	var details []string
	if len(e.Details) == 0 {
		details = append(details, "account: "+e.AccountID.String())
	}
	for _, d := range e.Details {
		details = append(details, d.Name+": "+d.Value)
	}
	if len(details) > 0 {
		text += " (" + strings.Join(details, ", ") + ")"
	}
	return text
}

// changes is the JSON output of apply.
type changes struct {
	DryRun  bool     `json:"dryRun"`
	Changes []change `json:"changes"`
}

type change struct {
	Action    string            `json:"action"`
	AccountID uuid.UUID         `json:"accountId"`
	Kind      string            `json:"kind"`
	Key       string            `json:"key"`
	Name      string            `json:"name"`
	Details   map[string]string `json:"details"`
}

func changesOf(events []audit.Event, dry bool) changes {
	all := changes{DryRun: dry, Changes: []change{}}
	for _, e := range events {
		one := change{string(e.Action), e.AccountID, string(e.Target.Kind), e.Target.Key, e.Target.Name,
			map[string]string{}}
		for _, d := range e.Details {
			one.Details[d.Name] = d.Value
		}
		all.Changes = append(all.Changes, one)
	}
	return all
}

func (p *program) keyCreateCommand() *cobra.Command {
	return &cobra.Command{
		Use: "create FILE", Short: "Create a file with a new server key, readable only by its owner",
		Args: takes("FILE", 1, 1),
		RunE: p.runs(func(_ *cobra.Command, args []string) error {
			if args[0] == "" {
				return fault.Errorf(fault.Invalid, "must name a file.").On("FILE")
			}
			keys, err := secret.NewKeyring(rand.Reader)
			if err != nil {
				return err
			}
			if err := keys.WriteNew(args[0]); err != nil {
				return err
			}
			return p.printed(map[string]string{"file": args[0]}, "", func() {
				p.say("created %s; keep a copy in a safe place: without it no token works", args[0])
			})
		}),
	}
}

// version is set by the linker (Makefile). It is empty for other builds.
var version string

// programVersion returns the version set by the linker, or else the revision
// that the Go toolchain recorded, or else "unknown".
func programVersion() string {
	if version != "" {
		return version
	}
	build, _ := debug.ReadBuildInfo()
	return revisionOf(build)
}

// revisionOf returns the first 12 digits of the revision that a program was
// built from, with the suffix "-dirty" for a modified working tree, like git
// describe.
func revisionOf(build *debug.BuildInfo) string {
	revision, dirty := "unknown", ""
	if build != nil {
		for _, s := range build.Settings {
			switch {
			case s.Key == "vcs.revision":
				revision = s.Value[:min(12, len(s.Value))]
			case s.Key == "vcs.modified" && s.Value == "true":
				dirty = "-dirty"
			}
		}
	}
	return revision + dirty
}

func (p *program) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: p.runs(func(*cobra.Command, []string) error { return p.printVersion() }),
	}
}

func (p *program) printVersion() error {
	info := map[string]string{"version": programVersion(), "go": runtime.Version()}
	if build, ok := debug.ReadBuildInfo(); ok {
		for _, s := range build.Settings {
			if s.Key == "vcs.revision" {
				info["commit"] = s.Value
			}
		}
	}
	return p.printed(info, "latchkey "+programVersion()+" ("+info["go"]+")\n", func() {})
}
