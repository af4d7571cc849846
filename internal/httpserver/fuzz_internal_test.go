package httpserver

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

// The address of a client is that of the peer, one that X-Forwarded-For has, or none.
func FuzzForwarded(f *testing.F) {
	for _, text := range []string{"203.0.113.7", "203.0.113.7, 10.0.0.1", "[2001:db8::1]:80,10.0.0.2", "unknown", ",",
		"::ffff:203.0.113.7", "fe80::1%eth0"} {
		f.Add(text, "10.0.0.3")
	}
	trusted := proxies{netip.MustParsePrefix("10.0.0.0/8")}
	peer := netip.MustParseAddr("10.1.1.1")
	f.Fuzz(func(t *testing.T, first, second string) {
		got := trusted.clientBehind(peer, http.Header{"X-Forwarded-For": {first, second}})
		if !got.IsValid() || got == peer {
			return
		}
		if got != plain(got) {
			t.Errorf("got %s, want it in the form in which addresses are compared", got)
		}
		found := false
		for entry := range strings.SplitSeq(first+","+second, ",") {
			addr, is := forwardedAddress(strings.TrimSpace(entry))
			found = found || is && addr == got
		}
		if !found {
			t.Errorf("got %s, want an entry of %q and %q", got, first, second)
		}
	})
}

// A form is read as net/url reads it, apart from forms with a repeated or an empty parameter.
func FuzzForm(f *testing.F) {
	for _, body := range []string{"grant_type=client_credentials&scope=a+b", "a=1&a=2", "%zz=1", "a=%C3%A9&b=", "&&=",
		"a;b=1"} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		var read form
		if err := read.parse(body); err != nil {
			return
		}
		for name, values := range mustParse(t, body) {
			kept := ""
			for _, v := range values {
				if v != "" {
					kept = v
				}
			}
			if got := read.get(name); got != kept {
				t.Errorf("%q: got %q for %q, want %q", body, got, name, kept)
			}
		}
	})
}

// mustParse reads a form that was accepted. net/url refuses semicolons, which are no separators here.
func mustParse(t *testing.T, body string) url.Values {
	t.Helper()
	values, err := url.ParseQuery(strings.ReplaceAll(body, ";", "%3B"))
	if err != nil {
		t.Fatalf("%q: got it accepted, and net/url says %v", body, err)
	}
	return values
}
