package feed

import "time"

// KeepChanges returns source with another time for which rows of the table changes are kept.
func KeepChanges(source Source, kept time.Duration) Source {
	source.(*Postgres).kept = kept
	return source
}

// Stale reports whether a reader has paused for too long.
var Stale = stale

// NotifySpacing is the minimum time between two notifications.
const NotifySpacing = notifySpacing

// Settings are the settings of the feed's connection. Register is the statement that renews a replica's row.
const (
	Settings = feedSettings
	Register = register
)
