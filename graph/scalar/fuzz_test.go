package scalar_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"latchkey/graph/scalar"
	"latchkey/internal/fault"
	"latchkey/internal/test/check"
)

// refused fails unless err is fault.Invalid.
func refused(t *testing.T, err error) {
	t.Helper()
	check.Equal(t, fault.KindOf(err), fault.Invalid, "kind of the error")
}

func FuzzID(f *testing.F) {
	f.Add("bc/account/user/019A1B2C-0001-7000-8000-000000000001")
	f.Add("bc/account/storeUser/019a1b2c-0001-7000-8000-000000000001:acme1us")
	f.Add("bc/account/app/4711")
	f.Fuzz(func(t *testing.T, text string) {
		kind, key, err := scalar.SplitID(text)
		if err != nil {
			refused(t, err)
		} else if !strings.EqualFold("bc/account/"+string(kind)+"/"+key, text) {
			t.Errorf("%q: got the kind %q and the key %q, want its parts", text, kind, key)
		}
		id, err := scalar.UnmarshalNodeID(text)
		if err != nil {
			refused(t, err)
		} else if !strings.EqualFold(id.String(), text) {
			t.Errorf("%q: got %q, want the same ID", text, id)
		}
		if _, err := scalar.UnmarshalAppID(text); err != nil {
			refused(t, err)
		}
	})
}

func FuzzDateTime(f *testing.F) {
	f.Add("2026-12-01T08:30:00.123456Z")
	f.Add("2026-12-01t08:30:60+23:59")
	f.Add("0000-02-30T24:00:00-00:00")
	f.Fuzz(func(t *testing.T, text string) {
		at, err := scalar.UnmarshalDateTime(text)
		if err != nil {
			refused(t, err)
			return
		}
		written, is := scalar.AppendDateTime(nil, at)
		if !is {
			return // the zero time is null
		}
		again, err := scalar.UnmarshalDateTime(strings.Trim(string(written), `"`))
		if err != nil || !again.Equal(at) {
			t.Errorf("%q: got %s, written as %s and read as %s, %v", text, at, written, again, err)
		}
	})
}

// Every scalar reads every value of JSON, or refuses it.
func FuzzScalars(f *testing.F) {
	for _, text := range []string{"1", "-0.5e3", "99999999999999999999", "192.0.2.7", "::ffff:1.2.3.4", "\x00", "é"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, v := range []any{text, scalar.EnumName(text)} {
			for _, name := range []string{"Int", "Float", "Boolean", "String", "ID", "DateTime", "BigDecimal", "Long"} {
				got, err := scalar.Coerce(name, v)
				if err != nil {
					refused(t, err)
				} else if s, is := got.(string); is && strings.Contains(s, "\x00") {
					t.Errorf("%s: got %q, want a text that every database stores", name, s)
				}
			}
		}
		if ip, err := scalar.UnmarshalIPAddress(text); err == nil && !ip.IsValid() {
			t.Errorf("%q: got an invalid address", text)
		}
		if n, err := scalar.UnmarshalBigDecimal(text); err == nil && (n == "" || !utf8.ValidString(string(n))) {
			t.Errorf("%q: got the number %q", text, n)
		}
	})
}
