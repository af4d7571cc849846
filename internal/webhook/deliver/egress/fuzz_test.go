package egress_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"testing"

	"latchkey/internal/fault"
	"latchkey/internal/test/check"
	"latchkey/internal/webhook/deliver/egress"
)

// What is accepted is an https URL without credentials whose host is no address of a private network.
func FuzzCheck(f *testing.F) {
	for _, text := range []string{"https://hooks.example/a?b=1", "https://[::1]:8443/", "https://0x7f.1/",
		"https://a@b.example", "https://hooks.example:99999", "http://10.0.0.1", "https://2130706433/",
		"https://%61.example"} {
		f.Add(text)
	}
	noDNS := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("there is no name server")
	}}
	policy := egress.New(nil, noDNS)
	f.Fuzz(func(t *testing.T, text string) {
		err := policy.Check(t.Context(), text)
		if err != nil {
			check.Equal(t, fault.KindOf(err), fault.Invalid, "kind of the error")
			return
		}
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "https" || u.User != nil || u.Hostname() == "" || len(text) > egress.MaxURL {
			t.Fatalf("got %q accepted: %v", text, err)
		}
		if addr, err := netip.ParseAddr(u.Hostname()); err == nil && (addr.IsPrivate() || addr.IsLoopback() ||
			addr.IsUnspecified() || addr.IsLinkLocalUnicast()) {
			t.Errorf("got %q accepted, want a public address", text)
		}
	})
}
