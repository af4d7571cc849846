package secret

import (
	"io/fs"
	"testing"

	"latchkey/internal/test/check"
)

// Only the owner may read a key file, and the group of one that root owns and another user's server reads.
func TestExposedKeyFiles(t *testing.T) {
	for _, tc := range []struct {
		mode   fs.FileMode
		ofRoot bool
		want   bool
	}{
		{mode: 0o600}, {mode: 0o400}, {mode: 0o640, want: true}, {mode: 0o440, want: true}, {mode: 0o604, want: true},
		{mode: 0o400, ofRoot: true}, {mode: 0o440, ofRoot: true}, {mode: 0o640, ofRoot: true},
		{mode: 0o460, ofRoot: true, want: true}, {mode: 0o450, ofRoot: true, want: true},
		{mode: 0o444, ofRoot: true, want: true},
	} {
		check.Equal(t, exposed(tc.mode, tc.ofRoot), tc.want, "exposed(%04o, %t)", tc.mode, tc.ofRoot)
	}
}
