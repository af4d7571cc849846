package secret

import (
	"fmt"
	"io"
	"log/slog"
)

// redacted is what every secret looks like, whatever prints it.
const redacted = "[secret]"

// silent is embedded in types that must neither print nor compare. It covers
// every verb of fmt, log/slog, and the JSON and text encodings.
//
// It cannot cover one case: fmt calls no methods on the unexported fields of
// somebody else's struct and prints what lies within. A type that embeds
// silent therefore keeps its bytes behind a *string, the one holder fmt never
// follows: it prints the address.
type silent struct{ _ [0]func() }

// String gives "[secret]".
func (silent) String() string { return redacted }

// GoString gives "[secret]".
func (silent) GoString() string { return redacted }

// Format writes "[secret]" for every verb and flag.
func (silent) Format(f fmt.State, _ rune) {
	// fmt.State collects in memory: there is no failure to handle.
	_, _ = io.WriteString(f, redacted)
}

// LogValue gives "[secret]".
func (silent) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText gives "[secret]" and no error.
func (silent) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON gives "[secret]" as a JSON string and no error.
func (silent) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
