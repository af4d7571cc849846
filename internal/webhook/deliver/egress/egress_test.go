package egress_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"latchkey/internal/fault"
	"latchkey/internal/test/check"
	"latchkey/internal/webhook/deliver/egress"
)

func policy(own ...string) *egress.Policy {
	var list []netip.Prefix
	for _, text := range own {
		list = append(list, netip.MustParsePrefix(text))
	}
	return egress.New(list, nil)
}

// Every kind of address that does not belong to a host on the Internet is refused, in each form that embeds it.
func TestAddresses(t *testing.T) {
	for text, want := range map[string]bool{
		"1.1.1.1": true, "8.8.8.8": true, "9.255.255.255": true, "11.0.0.0": true, "100.63.255.255": true,
		"100.128.0.0": true, "172.15.255.255": true, "172.32.0.0": true, "192.167.255.255": true,
		"223.255.255.255": true,
		"2606:4700::1111": true, "2a00:1450:4001::1": true, "2001:4860:4860::8888": true,

		"0.0.0.0": false, "0.1.2.3": false, // this network
		"127.0.0.1": false, "127.1.2.3": false, "127.255.255.255": false, "::1": false, // loopback
		"10.0.0.1": false, "10.255.255.255": false, "172.16.0.1": false, "172.31.255.255": false, "192.168.0.1": false,
		"169.254.169.254": false, "169.254.0.1": false, "fe80::1": false, "febf::1": false, // link-local
		"100.64.0.1": false, "100.100.100.200": false, "100.127.255.255": false, // CGNAT
		"fc00::1": false, "fd00:ec2::254": false, "fdff::1": false, // ULA
		"fec0::1":   false,                                                               // site-local
		"224.0.0.1": false, "239.255.255.255": false, "ff02::1": false, "ff0e::1": false, // multicast
		"255.255.255.255": false, "240.0.0.1": false, // broadcast, reserved
		"192.0.0.192": false, "192.0.2.1": false, "198.51.100.1": false, "203.0.113.1": false, "192.88.99.1": false,
		"198.18.0.1": false, "198.19.255.255": false, "168.63.129.16": false,
		"::": false, "100::1": false, "2001:db8::1": false, "3fff::1": false, "5f00::1": false, "4000::1": false,
		"2001:2::1": false, "2001:10::1": false,

		"::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false, "::ffff:169.254.169.254": false, "::ffff:8.8.8.8": true,
		"::127.0.0.1": false, "::10.0.0.1": false, "::8.8.8.8": false, // IPv4-compatible
		"64:ff9b::127.0.0.1": false, "64:ff9b::10.0.0.1": false, "64:ff9b::a9fe:a9fe": false, "64:ff9b::8.8.8.8": true,
		"64:ff9b:1::10.0.0.1": false, "64:ff9b:1::8.8.8.8": false,
		"2002:7f00:1::1": false, "2002:a00:1::1": false, "2002:c0a8:1::": false, // 6to4
		"2001:0:4136:e378:8000:63bf:f5ff:fffe": false, "2001::1": false, // Teredo
		"2a00:1450::5efe:10.0.0.1": false, "2a00:1450::200:5efe:10.0.0.1": false, // ISATAP
		"fe80::1%eth0": false, "2606:4700::1111%eth0": false, "::1%lo": false, // with a zone
	} {
		addr := netip.MustParseAddr(text)
		for _, port := range []uint16{443, 8443} {
			check.Equal(t, policy().Allows(netip.AddrPortFrom(addr, port), true), want, "%s port %d", text, port)
		}
		for _, port := range []uint16{0, 22, 25, 80, 5432, 8080, 9443} {
			check.Equal(t, policy().Allows(netip.AddrPortFrom(addr, port), true), false, "%s port %d", text, port)
		}
		check.Equal(t, policy().Allows(netip.AddrPortFrom(addr, 443), false), false, "%s without TLS", text)
	}
	check.Equal(t, policy().Allows(netip.AddrPort{}, true), false, "no address")
}

// The operator's ranges allow their addresses, with any port and without TLS, and no others.
func TestOwnRanges(t *testing.T) {
	p := policy("10.1.0.0/16", "fd12::/16", "::ffff:192.168.7.0/120")
	for text, want := range map[string]bool{
		"10.1.2.3:80": true, "[fd12::1]:9000": true, "[::ffff:10.1.2.3]:443": true, "192.168.7.9:1": true,
		"10.2.0.1:443": false, "[fd13::1]:443": false, "127.0.0.1:443": false, "192.168.8.1:443": false,
		"[fd12::1%eth0]:443": false, "[64:ff9b::10.1.2.3]:443": false, "8.8.8.8:80": false,
	} {
		check.Equal(t, p.Allows(netip.MustParseAddrPort(text), false), want, "%s", text)
	}
}

// A URL that can never be sent to is refused when the webhook is created.
func TestURLs(t *testing.T) {
	long := "https://example.com/" + strings.Repeat("a", egress.MaxURL)
	for url, want := range map[string]string{
		"https://example.com":                      "",
		"https://example.com/hooks?tenant=7&x=%20": "",
		"https://example.com:443/":                 "",
		"https://example.com:8443/":                "",
		"HTTPS://EXAMPLE.COM./":                    "",
		"https://xn--bcher-kva.example/":           "",
		"https://8.8.8.8/":                         "",
		"https://[2606:4700::1111]:8443/":          "",
		"https://[64:ff9b::8.8.8.8]/":              "",

		"":                                   "form",
		"example.com":                        "form",
		"//example.com/":                     "form",
		"https:example.com":                  "form",
		"https://":                           "form",
		"https://:443/":                      "name of a host",
		"ftp://example.com/":                 "form",
		"file:///etc/passwd":                 "form",
		"gopher://example.com/":              "form",
		"http://example.com/":                "https://",
		"http://example.com:443/":            "https://",
		"https://example.com:80/":            "port",
		"https://example.com:22/":            "port",
		"https://example.com:0/":             "port",
		"https://example.com:65536/":         "port",
		"https://example.com:https/":         "form",
		"https://8.8.8.8:8080/":              "port",
		"https://user@example.com/":          "user name",
		"https://user:password@example.com/": "user name",
		"https://@example.com/":              "user name",
		"https://example.com/#top":           "fragment",
		"https://example.com/#":              "fragment",
		"https://example.com/a b":            "space",
		" https://example.com/":              "space",
		"https://example.com/\r\nX: y":       "space",
		"https://example.com\\@127.0.0.1/":   "space",
		"https://bücher.example/":            "ASCII",
		"https://１２７.０.０.１/":                 "ASCII",
		"https://①②⑦.⓪.⓪.①/":                 "ASCII",
		"https://%31%32%37.0.0.1/":           "form",
		"https://127.0.0.1%00.example.com/":  "form",
		long:                                 "longer",

		"https://localhost/":                "not on the Internet",
		"https://LOCALHOST./":               "not on the Internet",
		"https://api.localhost/":            "not on the Internet",
		"https://printer.local/":            "not on the Internet",
		"https://metadata.google.internal/": "not on the Internet",
		"https://intranet/":                 "not on the Internet",
		"https://127.0.0.1/":                "not on the Internet",
		"https://10.0.0.1:443/":             "not on the Internet",
		"https://169.254.169.254/":          "not on the Internet",
		"https://0.0.0.0/":                  "not on the Internet",
		"https://[::1]/":                    "not on the Internet",
		"https://[::]/":                     "not on the Internet",
		"https://[::ffff:127.0.0.1]/":       "not on the Internet",
		"https://[::ffff:7f00:1]/":          "not on the Internet",
		"https://[64:ff9b::127.0.0.1]/":     "not on the Internet",
		"https://[2002:7f00:1::]/":          "not on the Internet",
		"https://[fd00::1]/":                "not on the Internet",
		"https://[fe80::1%25eth0]/":         "usual form",
		"https://2130706433/":               "usual form", // 127.0.0.1 in one number
		"https://0x7f000001/":               "usual form",
		"https://0x7f.1/":                   "usual form",
		"https://0177.0.0.1/":               "usual form",
		"https://127.1/":                    "usual form",
		"https://127.0.0.1./":               "usual form",
		"https://127.0.0.0x1/":              "usual form",
		"https://017700000001/":             "usual form",
		"https://[127.0.0.1]/":              "form",
		"https://exa_mple..com/":            "name of a host",
		"https://exam!ple.com/":             "name of a host",
	} {
		err := policy().Check(t.Context(), url)
		if want == "" {
			check.Equal(t, err, nil, "%q", url)
			continue
		}
		if err == nil || fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want an error that contains %q", url, err, want)
		}
	}
}

// In the operator's ranges plain HTTP and any port are allowed, for addresses and for names that resolve to them.
func TestURLsInOwnRanges(t *testing.T) {
	dns := startDNS(t, func(name string, _ int) string {
		return map[string]string{"hooks.corp.example.": "10.1.2.3", "www.example.": "8.8.8.8"}[name]
	})
	p := egress.New([]netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}, dns)
	for url, want := range map[string]bool{
		"http://10.1.2.3/": true, "http://10.1.2.3:8080/": true, "https://10.1.2.3:9000/": true,
		"http://hooks.corp.example:8080/": true, "https://hooks.corp.example/": true,
		"http://10.2.0.1/": false, "http://127.0.0.1:8080/": false, "http://www.example/": false,
		"https://www.example:9000/": false, "http://none.example/": false, "http://0x0a010203/": false,
	} {
		if err := p.Check(t.Context(), url); (err == nil) != want {
			t.Errorf("%s: got %v, want allowed: %t", url, err, want)
		}
	}
}

// The address is checked when it is dialed: an answer that changes between the check of the URL and the connection, or
// between two connections, does not get a connection.
func TestAnswersThatChange(t *testing.T) {
	private := listen(t)
	dns := startDNS(t, func(_ string, n int) string {
		if n == 1 {
			return "10.1.2.3" // allowed
		}
		return "127.0.0.1"
	})
	p := egress.New([]netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}, dns)
	_, port, _ := net.SplitHostPort(private.Addr().String())
	if err := p.Check(t.Context(), "http://rebind.example:"+port+"/"); err != nil {
		t.Fatalf("the URL with the first answer: %v", err)
	}
	for _, dial := range []func(context.Context, string, string) (net.Conn, error){p.DialTLS, p.DialPlain} {
		c, err := dial(t.Context(), "tcp", "rebind.example:"+port)
		if err == nil {
			c.Close()
		}
		if !errors.Is(err, egress.ErrNotAllowed) {
			t.Errorf("connecting with the next answer: got %v, want ErrNotAllowed", err)
		}
	}
}

// Every spelling that a resolver reads as a refused address is refused when it is dialed, even if the check of the
// URL accepted it.
func TestDialsOfRefusedAddresses(t *testing.T) {
	_, port, _ := net.SplitHostPort(listen(t).Addr().String())
	for _, host := range []string{
		"127.0.0.1", "localhost", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]", "[::]", "[::1%lo]", "[64:ff9b::7f00:1]",
		"[2002:7f00:1::1]", "169.254.169.254", "255.255.255.255", "224.0.0.1",
	} {
		c, err := policy().DialTLS(t.Context(), "tcp", host+":"+port)
		if err == nil {
			c.Close()
		}
		if !errors.Is(err, egress.ErrNotAllowed) {
			t.Errorf("%s: got %v, want ErrNotAllowed", host, err)
		}
	}
	c, err := policy("127.0.0.0/8").DialPlain(t.Context(), "tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatalf("an own address: %v", err)
	}
	c.Close()
}

// listen returns a listener on this machine that must not be reached.
func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// startDNS starts a DNS server and returns its resolver. answer returns the IPv4 address of a name for the nth question
// about IPv4 addresses, from 1 on, or "" for none.
func startDNS(t *testing.T, answer func(name string, n int) string) *net.Resolver {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	go serveDNS(server, answer)
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", server.LocalAddr().String())
	}}
}

func serveDNS(server net.PacketConn, answer func(string, int) string) {
	var asked atomic.Int64
	buffer := make([]byte, 1500)
	for {
		n, from, err := server.ReadFrom(buffer)
		if err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(buffer[:n]) != nil || len(m.Questions) != 1 {
			continue
		}
		q := m.Questions[0]
		reply := dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true, RecursionAvailable: true},
			Questions: m.Questions}
		if q.Type == dnsmessage.TypeA {
			if addr := answer(q.Name.String(), int(asked.Add(1))); addr != "" {
				reply.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
					Body:   &dnsmessage.AResource{A: netip.MustParseAddr(addr).As4()},
				}}
			} else {
				reply.RCode = dnsmessage.RCodeNameError
			}
		}
		packed, err := reply.Pack()
		if err == nil {
			_, _ = server.WriteTo(packed, from)
		}
	}
}
