package secret

import (
	"fmt"
	"io"
	"log/slog"
)

// redacted is the printed form of every secret.
const redacted = "[secret]"

// silent is embedded in types that must neither print nor compare. It covers every
// verb of fmt, log/slog, and the JSON and text encodings.
//
// It cannot cover one case: fmt does not call methods on unexported fields of a
// struct in another package, but prints their content. Types that embed silent
// therefore keep their bytes behind a *string: fmt prints only its address.
type silent struct{ _ [0]func() }

// String returns "[secret]".
func (silent) String() string { return redacted }

// GoString returns "[secret]".
func (silent) GoString() string { return redacted }

// Format writes "[secret]" for every verb and flag.
func (silent) Format(f fmt.State, _ rune) {
	// fmt.State buffers in memory, so writes to it do not fail.
	_, _ = io.WriteString(f, redacted)
}

// LogValue returns "[secret]".
func (silent) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns "[secret]" and no error.
func (silent) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON returns "[secret]" as a JSON string and no error.
func (silent) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
