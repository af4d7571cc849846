package cli

import (
	"runtime/debug"
	"testing"

	"latchkey/internal/test/check"
)

func TestRevisionOf(t *testing.T) {
	setting := func(key, value string) debug.BuildSetting { return debug.BuildSetting{Key: key, Value: value} }
	for _, tc := range []struct {
		build *debug.BuildInfo
		want  string
	}{
		{nil, "unknown"},
		{&debug.BuildInfo{}, "unknown"},
		{&debug.BuildInfo{Settings: []debug.BuildSetting{setting("vcs.revision", "0123456789abcdef"),
			setting("vcs.modified", "false")}}, "0123456789ab"},
		{&debug.BuildInfo{Settings: []debug.BuildSetting{setting("vcs.modified", "true"),
			setting("vcs.revision", "0123456789abcdef")}}, "0123456789ab-dirty"},
	} {
		check.Equal(t, revisionOf(tc.build), tc.want, "revision")
	}
}
