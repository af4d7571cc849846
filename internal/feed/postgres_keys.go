package feed

import (
	"context"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"latchkey/internal/fault"
	"latchkey/internal/secret"
)

// otherKeys returns the keys of the other replicas that may be running.
const otherKeys = `SELECT name, key_ids, process FROM replicas
	WHERE id <> $1 AND key_ids <> '' AND seen_at > now() - $2::interval`

// UseKeys sets the ids of the server's keys, starting with the one that it issues under. Call it before Join, which
// then refuses keys that do not match those of the other replicas. Join does not check a feed without keys.
func (f *Feed) UseKeys(ids []secret.KeyID) {
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = string(id)
	}
	f.keyIDs = strings.Join(texts, " ")
}

// checkKeys returns fault.Conflict on the field "--key-file" if another replica does not have the key that this one
// issues under, or the reverse: one of them would refuse what the other issues. The caller holds the joining lock, so
// replicas check one at a time.
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
		case unknown != nil || processEnded(process):
		case !slices.Contains(theirs, ours[0]):
			unknown = fault.Errorf(fault.Conflict,
				"The server %q runs without the key that this one would issue under (%s), "+
					"and would refuse what is issued here. Add that key to every server's file behind the first one, "+
					"restart them, and then put it first.", name, ours[0]).On("--key-file")
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
