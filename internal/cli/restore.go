package cli

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/clock"
	"latchkey/internal/config"
	"latchkey/internal/fault"
	"latchkey/internal/gormdb"
	"latchkey/internal/secret"
	"latchkey/internal/user"
)

func (p *program) restoreCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "restore --from FILE", Short: "Restore a backup into an empty database, while no server runs",
		Args: cobra.NoArgs,
		Long: "Restore a backup that \"latchkey backup\" wrote into the database of --database, which must be missing or empty. " +
			"The key file must be that of the backup. What was revoked, restricted or removed after the backup works again: " +
			"\"latchkey token revoke --all-active-since\" revokes what may have been. Every account has the event account.restored in its audit log.",
		Example: "  latchkey restore --from /var/backups/latchkey/2026-11-30.backup --database sqlite:latchkey.db",
	}
	from := c.Flags().String("from", "", "the backup")
	must(c.MarkFlagRequired("from"))
	offer(c, config.Storage)
	c.RunE = p.runs(func(c *cobra.Command, _ []string) error { return p.restore(c, *from) })
	return c
}

// restoreView is the JSON output of restore.
type restoreView struct {
	Database string `json:"database"`
	Schema   int64  `json:"schemaVersion"`
	// Migrate reports that the schema is older than the program.
	Migrate bool `json:"migrate"`
	// CommittedBefore is the time before which everything that was committed is in the backup; null if unknown.
	CommittedBefore *time.Time `json:"committedBefore"`
	RestoredAt      time.Time  `json:"restoredAt"`
	// RevokeSince is the time with which "token revoke --all-active-since" selects everything that was restored: that
	// of the restore, or a later one if the clock of a server was ahead.
	RevokeSince time.Time `json:"revokeSince"`
	Accounts    int       `json:"accounts"`
	// OtherKeys is the number of access tokens that do not work because their key is not in the key file.
	OtherKeys int64 `json:"accessTokensUnderOtherKeys"`
}

func (p *program) restore(c *cobra.Command, from string) error {
	ctx, stop := stoppable(c.Context())
	defer stop()
	cfg, err := p.settings(c, config.Needs{Keys: true, Restores: true})
	if err != nil {
		return err
	}
	keys, err := readKeys(cfg)
	if err != nil {
		return err
	}
	made, err := gormdb.ReadBackup(ctx, from)
	if err != nil {
		return about("--from", err)
	}
	newest, err := checkBackup(made, keys)
	if err != nil {
		return err
	}
	view := restoreView{Database: made.Dialect, Schema: made.Schema, Migrate: made.Schema < newest,
		RestoredAt: clock.Timestamp(clock.System())}
	if !made.Until.IsZero() {
		view.CommittedBefore = &made.Until
	}
	to := gormdb.Config{URL: cfg.Database, MaxConnections: cfg.MaxConnections, Log: p.commandLog()}
	err = gormdb.RestoreBackup(ctx, to, from, func(db *gormdb.DB) error { return view.finish(ctx, db, keys) })
	if err != nil {
		return err
	}
	return p.printed(view, "", func() { view.advise(p) })
}

// checkBackup returns fault.Conflict for a backup that this program or these keys cannot read, and the version of the
// schema that this program was written for.
func checkBackup(b gormdb.Backup, keys *secret.Keyring) (newest int64, err error) {
	if newest, err = gormdb.NewestSchema(b.Dialect); err != nil {
		return 0, err
	}
	if b.Schema > newest {
		return 0, fault.Errorf(fault.Conflict,
			"The backup's schema is at version %d and this program's at %d. Restore it with the program that made it, or a later one.",
			b.Schema, newest).On("--from")
	}
	known := func(id secret.KeyID) bool { return slices.Contains(keys.IDs(), id) }
	if len(b.Keys) > 0 && !slices.ContainsFunc(b.Keys, known) {
		return 0, fault.Errorf(fault.Conflict,
			"The key file does not belong to this backup, whose credentials were issued under another key. Use the key file of that time.").On(config.Called("key-file"))
	}
	return newest, nil
}

// finish checks that the keys open what is in the restored database, and records the restore in it.
func (v *restoreView) finish(ctx context.Context, db *gormdb.DB, keys *secret.Keyring) error {
	sealed, err := gormdb.SealedSecrets(ctx, db)
	if err != nil {
		return err
	}
	for _, s := range sealed {
		if !slices.Contains(keys.IDs(), s.Key) {
			continue
		}
		if _, err := keys.Open(s.Sealed, s.For); err != nil {
			return fault.Wrap(err, fault.Conflict,
				"The key file does not open the signing secret of the %s in the backup.", s.For).
				On(config.Called("key-file"))
		}
	}
	if v.OtherKeys, err = gormdb.CountUnderOtherKeys(ctx, db, keys.IDs()); err != nil {
		return err
	}
	newest, err := gormdb.NewestCredential(ctx, db)
	if err != nil {
		return err
	}
	if v.RevokeSince = v.RestoredAt; newest.After(v.RevokeSince) {
		v.RevokeSince = newest
	}
	v.Accounts, err = gormdb.RecordRestore(ctx, db, v.RestoredAt, v.event)
	return err
}

// event returns the event of an account that was restored.
func (v *restoreView) event(a account.Account) audit.Event {
	var details []audit.Detail
	if v.CommittedBefore != nil {
		details = append(details, audit.Detail{Name: "backupAt", Value: v.CommittedBefore.Format(time.RFC3339)})
	}
	e := user.Event(operator(a.ID), audit.AccountRestored,
		audit.Target{Kind: audit.TargetAccount, Key: a.ID.String(), Name: a.Name}, v.RestoredAt, details...)
	e.Data = a.Data()
	return e
}

// advise prints what was restored and what to do next.
func (v restoreView) advise(p *program) {
	p.say("restored %d accounts, %s, schema version %d", v.Accounts, v.Database, v.Schema)
	until := "the backup"
	if v.CommittedBefore != nil {
		until = v.CommittedBefore.Format(time.RFC3339Nano)
		p.say("the database has everything that was committed before %s", until)
	}
	if v.OtherKeys > 0 {
		p.say("%d access tokens do not work, since their key is not in the key file", v.OtherKeys)
	}
	if v.Migrate {
		p.say("the schema is older than this program: run \"latchkey migrate\"")
	}
	p.say("what was revoked, restricted or removed after %s works again. Before you start servers, revoke what may have been:\n%s",
		until, fmt.Sprintf("  latchkey token revoke --all-active-since %s --sessions",
			v.RevokeSince.Format(time.RFC3339Nano)))
}
