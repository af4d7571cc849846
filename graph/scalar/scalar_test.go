package scalar_test

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/google/uuid"

	"latchkey/graph/scalar"
	"latchkey/internal/fault"
	"latchkey/internal/test/check"
)

func marshalled(m graphql.Marshaler) string {
	var b strings.Builder
	m.MarshalGQL(&b)
	return b.String()
}

func appended(b []byte, ok bool) string {
	if !ok {
		return "null"
	}
	return string(b)
}

func TestMarshal(t *testing.T) {
	at := time.Date(2026, 1, 31, 10, 30, 0, 120_000_000, time.FixedZone("", 3600))
	user := scalar.NodeID{Kind: scalar.User, Key: uuid.MustParse("0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01")}
	address := netip.MustParseAddr("fe80::1%eth0")
	tests := []struct {
		name               string
		marshal, appending string
		want               string
	}{
		{"time in UTC", marshalled(scalar.MarshalDateTime(at)), appended(scalar.AppendDateTime(nil, at)),
			`"2026-01-31T09:30:00.12Z"`},
		{"zero time", marshalled(scalar.MarshalDateTime(time.Time{})),
			appended(scalar.AppendDateTime(nil, time.Time{})), `null`},
		{"id", marshalled(scalar.MarshalNodeID(user)), appended(scalar.AppendNodeID(nil, user)),
			`"bc/account/user/0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01"`},
		{"zero id", marshalled(scalar.MarshalNodeID(scalar.NodeID{})),
			appended(scalar.AppendNodeID(nil, scalar.NodeID{})), `null`},
		{"app", marshalled(scalar.MarshalAppID(4711)), appended(scalar.AppendAppID(nil, 4711)),
			`"bc/account/app/4711"`},
		{"address", marshalled(scalar.MarshalIPAddress(address)), appended(scalar.AppendIPAddress(nil, address)),
			`"fe80::1"`},
		{"zero address", marshalled(scalar.MarshalIPAddress(netip.Addr{})),
			appended(scalar.AppendIPAddress(nil, netip.Addr{})), `null`},
		{"text", marshalled(scalar.MarshalString("a\"b")), `"a\"b"`, `"a\"b"`},
		{"text of an id", marshalled(scalar.MarshalID("acme1us")), `"acme1us"`, `"acme1us"`},
		{"decimal", marshalled(scalar.MarshalBigDecimal("19.990")), "19.990", `19.990`},
		{"no decimal", marshalled(scalar.MarshalBigDecimal("")), "null", `null`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.marshal != tt.want || tt.appending != tt.want {
				t.Errorf("marshalled %s, appended %s, want %s", tt.marshal, tt.appending, tt.want)
			}
		})
	}
}

func TestUnmarshal(t *testing.T) {
	dateTime := func(v any) (any, error) { return scalar.UnmarshalDateTime(v) }
	nodeID := func(v any) (any, error) { return scalar.UnmarshalNodeID(v) }
	appID := func(v any) (any, error) { return scalar.UnmarshalAppID(v) }
	address := func(v any) (any, error) { return scalar.UnmarshalIPAddress(v) }
	text := func(v any) (any, error) { return scalar.UnmarshalString(v) }
	anyID := func(v any) (any, error) { return scalar.UnmarshalID(v) }
	const key = "0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01"
	decimal := func(v any) (any, error) { return scalar.UnmarshalBigDecimal(v) }
	tests := []struct {
		name string
		read func(any) (any, error)
		in   any
		want any // nil for fault.Invalid
	}{
		{"time with an offset", dateTime, "2026-01-31T10:30:00+01:00", time.Date(2026, 1, 31, 9, 30, 0, 0, time.UTC)},
		{"time without one", dateTime, "2026-01-31T10:30:00", nil},
		{"empty time", dateTime, "", nil},
		{"zero time of another program", dateTime, "0001-01-01T01:00:00+01:00", nil},
		{"time beyond the last year", dateTime, "9999-12-31T23:30:00-01:00", nil},
		{"last time", dateTime, "9999-12-31T23:59:59.999999Z",
			time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC)},
		{"time in lower case", dateTime, "2026-01-31t10:30:00.5z",
			time.Date(2026, 1, 31, 10, 30, 0, 500000000, time.UTC)},
		{"time with an unknown offset", dateTime, "2026-01-31T10:30:00-00:00",
			time.Date(2026, 1, 31, 10, 30, 0, 0, time.UTC)},
		{"hour of one digit", dateTime, "2026-01-31T9:30:00Z", nil},
		{"fraction after a comma", dateTime, "2026-01-31T10:30:00,5Z", nil},
		{"fraction without digits", dateTime, "2026-01-31T10:30:00.Z", nil},
		{"offset of more than a day", dateTime, "2026-01-31T10:30:00+24:00", nil},
		{"offset of 60 minutes", dateTime, "2026-01-31T10:30:00+23:60", nil},
		{"offset of hours only", dateTime, "2026-01-31T10:30:00+01", nil},
		{"hour 24", dateTime, "2026-01-31T24:00:00Z", nil},
		{"day that is not", dateTime, "2026-02-29T10:30:00Z", nil},
		{"space for the T", dateTime, "2026-01-31 10:30:00Z", nil},
		{"line break after the time", dateTime, "2026-01-31T10:30:00Z\n", nil},
		{"leap second", dateTime, "1990-12-31T15:59:60.5-08:00", time.Date(1991, 1, 1, 0, 0, 0, 0, time.UTC)},
		{"second 60 within a day", dateTime, "1990-12-31T15:59:60Z", nil},
		{"time as a number", dateTime, json.Number("5"), nil},
		{"decimal of a variable", decimal, json.Number("19.990"), json.Number("19.990")},
		{"decimal as a string", decimal, "1234567890.123456789", json.Number("1234567890.123456789")},
		{"decimal that was rounded", decimal, 19.99, nil},
		{"no decimal", decimal, "1/3", nil},
		{"decimal in hexadecimal", decimal, "0x10", nil},
		{"decimal with a large exponent", decimal, "1e999999999", nil},
		{"boolean", decimal, true, nil},
		{"id", nodeID, "bc/account/store/" + key, scalar.NodeID{Kind: scalar.Store, Key: uuid.MustParse(key)}},
		{"id of an unknown kind", nodeID, "bc/account/thing/" + key, nil},
		{"id with another key", nodeID, "bc/account/store/acme1us", nil},
		{"id in another form of UUID", nodeID, "bc/account/store/{" + key + "}", nil},
		{"id without prefix", nodeID, key, nil},
		{"app", appID, "bc/account/app/4711", scalar.AppID(4711)},
		{"app's number", appID, "4711", scalar.AppID(4711)},
		{"no app", appID, "bc/account/user/4711", nil},
		{"negative app", appID, "-1", nil},
		{"text", text, "für 'alle'\n\t", "für 'alle'\n\t"},
		{"empty text", text, "", ""},
		{"text that no database keeps", text, "a\x00b", nil},
		{"id of any kind", anyID, "acme1us", "acme1us"},
		{"number for an id", anyID, json.Number("4711"), "4711"},
		{"literal number for an id", anyID, int64(-4711), "-4711"},
		{"fraction for an id", anyID, json.Number("4.5"), nil},
		{"exponent for an id", anyID, json.Number("1e3"), nil},
		{"boolean for an id", anyID, true, nil},
		{"null for an id", anyID, nil, nil},
		{"id that no database keeps", anyID, "\x00", nil},
		{"address", address, "::1", netip.IPv6Loopback()},
		{"no address", address, "localhost", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.read(tt.in)
			if tt.want == nil {
				check.Equal(t, fault.KindOf(err), fault.Invalid, "got %v, %v", got, err)
			} else if err != nil || got != tt.want {
				t.Errorf("got %v, %v, want %v", got, err, tt.want)
			}
		})
	}
}
