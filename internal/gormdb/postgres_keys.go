package gormdb

import (
	"context"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"latchkey/internal/fault"
	"latchkey/internal/secret"
)

// otherKeys finds the keys of the other replicas that may be running.
const otherKeys = `SELECT name, key_ids, process FROM replicas WHERE id <> $1 AND key_ids <> '' AND seen_at > now() - $2::interval`

// UseKeys names the server's keys, the one that it issues under first. Call it
// before Join, which then refuses keys that do not go with those of the other
// replicas. A feed without keys is not checked.
func (f *Feed) UseKeys(ids []secret.KeyID) {
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = string(id)
	}
	f.keyIDs = strings.Join(texts, " ")
}

// checkKeys returns fault.Conflict on the field "--key-file" if another replica
// does not have the key that this one issues under, or the reverse: what one of
// them issues, the other would refuse. No two replicas check at once.
func checkKeys(ctx context.Context, tx pgx.Tx, f *Feed) error {
	ours := strings.Fields(f.keyIDs)
	if len(ours) == 0 {
		return nil
	}
	rows, err := tx.Query(ctx, otherKeys, pgID(f.id), silence)
	if err != nil {
		return err
	}
	var name, keyIDs, process string
	var unknown error
	_, err = pgx.ForEachRow(rows, []any{&name, &keyIDs, &process}, func() error {
		theirs := strings.Fields(keyIDs)
		switch {
		case unknown != nil || hasEnded(process):
		case !slices.Contains(theirs, ours[0]):
			unknown = fault.Errorf(fault.Conflict, "The server %q runs without the key that this one would issue under (%s), and would refuse "+
				"what is issued here. Add that key to every server's file behind the first one, restart them, and then put it first.",
				name, ours[0]).On("--key-file")
		case !slices.Contains(ours, theirs[0]):
			unknown = fault.Errorf(fault.Conflict, "The server %q issues under a key that is not in this file (%s). "+
				"Add it, or restart that server with another key first.", name, theirs[0]).On("--key-file")
		}
		return nil //nolint:nilerr // the first fault is returned at the end
	})
	if err != nil {
		return err
	}
	return unknown
}
