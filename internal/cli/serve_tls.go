package cli

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"latchkey/internal/clock"
	"latchkey/internal/config"
	"latchkey/internal/fault"
	"latchkey/internal/gateway/canary"
	"latchkey/internal/gateway/routes"
	"latchkey/internal/tlsfiles"
)

// publicTLS is the TLS of the public listener. A nil publicTLS is none.
type publicTLS struct {
	keeper *tlsfiles.Keeper
	// publicURL is the URL whose host the certificate should name.
	publicURL string
	// gatewayCerts reports whether gateways must present a certificate.
	gatewayCerts bool
}

// readTLS reads the files of the settings. It returns nil if the listener has no TLS, and fault.Invalid with the
// settings and the files that are wrong. A certificate that has expired is accepted: report warns of it.
func readTLS(cfg config.Config) (*publicTLS, error) {
	c := cfg.TLS
	if c.Cert == "" || c.Key == "" { // one without the other is refused by package config
		return nil, nil //nolint:nilnil // no TLS is not an error
	}
	keeper, err := tlsfiles.NewKeeper(tlsfiles.Paths{Cert: c.Cert, Key: c.Key, ClientCA: c.ClientCA})
	if err == nil {
		err = notYetValid(keeper.Current())
	}
	if err != nil {
		return nil, onSettings(err)
	}
	return &publicTLS{keeper, cfg.BaseURL(cfg.Addr), c.GatewayCerts}, nil
}

// onSettings names the settings in errors whose fields are flags.
func onSettings(err error) error {
	if fault.KindOf(err) != fault.Invalid {
		return err
	}
	var faults fault.List
	for _, f := range fault.Flatten(err) {
		faults = append(faults, f.On(config.Called(f.Field)))
	}
	return faults.Err()
}

// readServed reads the files that a reload reads again, but for the catalogue.
func (b *backend) readServed() (*routes.Table, *publicTLS, error) {
	table, err := readRoutes(b.cfg.Routes, b.catalogue)
	if err != nil {
		return nil, nil, err
	}
	secure, err := readTLS(b.cfg)
	return table, secure, err
}

// config returns the TLS settings of the listener; nil for none.
func (t *publicTLS) config() *tls.Config {
	if t == nil {
		return nil
	}
	return t.keeper.Config()
}

// gatewayCert returns the function that checks the certificates of gateways; nil if they need none.
func (t *publicTLS) gatewayCert() func(*tls.ConnectionState) bool {
	if t == nil || !t.gatewayCerts {
		return nil
	}
	return func(state *tls.ConnectionState) bool { return t.keeper.Current().Verifies(state, clock.System()) }
}

// dial returns how the canary connects to replicas with TLS; nil for the usual way.
func (t *publicTLS) dial() canary.Dial {
	if t == nil {
		return nil
	}
	return t.keeper.DialPeer
}

// collectors returns the metrics of the certificate; none without TLS.
func (t *publicTLS) collectors() []prometheus.Collector {
	if t == nil {
		return nil
	}
	return []prometheus.Collector{prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "latchkey_tls_certificate_expiry_timestamp_seconds",
		Help: "When the first certificate of the public listener's chain expires, in seconds since 1970.",
	}, func() float64 { return float64(t.keeper.Current().Expires.Unix()) })}
}

// certificateInterval is the interval at which the files are checked for changes.
const certificateInterval = 2 * time.Second

// report logs the certificate, and whether clients will refuse it.
func (t *publicTLS) report(ctx context.Context, log *slog.Logger) {
	if t == nil {
		return
	}
	s := t.keeper.Current()
	log.LogAttrs(ctx, slog.LevelInfo, "the public listener uses TLS", describe(s)...)
	t.warnOfNames(ctx, s, log)
	if err := expired(s); err != nil {
		log.WarnContext(ctx, "clients will refuse the certificate", "error", err)
	}
}

func (t *publicTLS) warnOfNames(ctx context.Context, s *tlsfiles.Set, log *slog.Logger) {
	if err := s.Covers(t.publicURL); err != nil {
		log.WarnContext(ctx, "the certificate is not for the host of the public URL, so clients will refuse it",
			"public_url", t.publicURL, "error", err)
	}
}

// follow uses the files' content if it has changed and is valid. Otherwise it logs the reason, once for each change.
func (t *publicTLS) follow(ctx context.Context, log *slog.Logger) {
	if t == nil || !t.keeper.Changed() {
		return
	}
	next, err := t.read()
	if err != nil {
		log.WarnContext(ctx, "the new certificate cannot be used, the previous one stays in use", "error", err)
		return
	}
	if next.Equal(t.keeper.Current()) {
		return
	}
	t.use(ctx, next, log)
}

func (t *publicTLS) use(ctx context.Context, s *tlsfiles.Set, log *slog.Logger) {
	t.keeper.Use(s)
	log.LogAttrs(ctx, slog.LevelInfo, "the certificate was replaced", describe(s)...)
	t.warnOfNames(ctx, s, log)
}

// read reads the files anew. It also refuses a certificate that has expired or is not valid yet.
func (t *publicTLS) read() (*tlsfiles.Set, error) {
	next, err := t.keeper.Read()
	if err == nil {
		err = cmp.Or(expired(next), notYetValid(next))
	}
	return next, onSettings(err)
}

// expired returns fault.Invalid if a certificate of the chain has expired.
func expired(s *tlsfiles.Set) error {
	if clock.System().Before(s.Expires) {
		return nil
	}
	return fault.Errorf(fault.Invalid, "A certificate of the chain expired at %s.",
		s.Expires.UTC().Format(time.RFC3339)).On(tlsfiles.FieldCert)
}

// notYetValid returns fault.Invalid if a certificate of the chain is not valid yet.
func notYetValid(s *tlsfiles.Set) error {
	if !clock.System().Before(s.Begins) {
		return nil
	}
	return fault.Errorf(fault.Invalid, "A certificate of the chain is valid only from %s on. Check the clock of this "+
		"machine, or use the files after that time: start or reload the server (SIGHUP) then.", s.Begins.UTC().Format(time.RFC3339)).On(tlsfiles.FieldCert)
}

// describe returns the properties of the certificate for the log.
func describe(s *tlsfiles.Set) []slog.Attr {
	return []slog.Attr{
		slog.String("subject", s.Leaf.Subject.String()), slog.Any("names", s.Leaf.DNSNames),
		slog.String("serial", fmt.Sprintf("%x", s.Leaf.SerialNumber)),
		slog.String("expires", s.Expires.UTC().Format(time.RFC3339)),
	}
}

// warnOfPlainHTTP warns if other machines can reach the server without TLS.
func warnOfPlainHTTP(ctx context.Context, log *slog.Logger, baseURL string, listening net.Addr) {
	u, err := url.Parse(baseURL)
	if err != nil || u.Scheme != "http" || isLoopback(u.Hostname()) && isLoopback(hostOf(listening)) {
		return
	}
	log.WarnContext(ctx, "clients reach this server over plain http, which shows their credentials to the network; "+
		"set --tls-cert and --tls-key, or put a proxy with TLS before it and set --public-url to its https:// address",
		"public_url", baseURL, "address", listening.String())
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

func hostOf(address net.Addr) string {
	host, _, _ := net.SplitHostPort(address.String())
	return host
}
