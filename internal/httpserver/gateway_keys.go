package httpserver

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/http"

	"latchkey/internal/access"
	"latchkey/internal/fault"
)

// gatewayKeys verifies the keys of gateways.
type gatewayKeys struct {
	*endpoint

	// canary is the name of the keys that canaries use; empty for none.
	canary string
	// cert reports whether the certificate of a gateway's connection is
	// accepted; nil if gateways need none.
	cert func(*tls.ConnectionState) bool
	// certlessLogged limits the log lines of certified.
	certlessLogged minutely
	// canaries are the recently used keys of canaries, whose refusal is
	// expected.
	canaries canaries
}

// verify returns the record of a gateway key. It returns
// fault.Unauthenticated for a key that does not work, which counts as a failed
// credential.
func (k *gatewayKeys) verify(ctx context.Context, rs *requestState, key string) (*access.Record, error) {
	if err := k.rates.admit(ctx, rs, key); err != nil {
		return nil, err
	}
	record, err := k.verifier.VerifyGateway(ctx, key, rs.origin())
	refused := fault.KindOf(err) == fault.Unauthenticated
	switch {
	case err == nil && k.canary != "" && record.Principal.Name == k.canary:
		k.canaries.worked(key)
	case refused && k.canaries.knows(key):
		rs.reason = reasonCanary
		return nil, err
	}
	k.rates.record(rs, key, err)
	if refused {
		k.recordUncounted(rs, key, err)
		return nil, errGatewayKey.Because(err)
	}
	return record, err
}

// reasonNoCert is the reason for refusing a gateway without a certificate.
const reasonNoCert = "no gateway certificate"

// certified returns fault.Unauthenticated if gateways must present a certificate
// and the connection has none. It logs this at most once a minute, as logKeyless
// does.
func (k *gatewayKeys) certified(ctx context.Context, rs *requestState, r *http.Request) error {
	if k.cert == nil || k.cert(r.TLS) {
		return nil
	}
	rs.reason = reasonNoCert
	if k.certlessLogged.due(rs.started) {
		k.log.LogAttrs(ctx, slog.LevelInfo,
			"a gateway presented no certificate that is accepted; this is logged once a minute at most",
			slog.String("client", addressText(rs.peer)), slog.String("request_id", rs.requestID[0]))
	}
	return errNoCert
}

// verifyCertified is verify for a gateway that must also be certified. The canary
// need not be: its keys exist for one round, and only servers know them.
func (k *gatewayKeys) verifyCertified(ctx context.Context, rs *requestState, r *http.Request,
	key string) (*access.Record, error) {
	record, err := k.verify(ctx, rs, key)
	if err == nil && (k.canary == "" || record.Principal.Name != k.canary) {
		err = k.certified(ctx, rs, r)
	}
	if err != nil {
		return nil, err
	}
	return record, nil
}

var errNoCert = fault.Errorf(fault.Unauthenticated,
	"Gateways must present a client certificate that this server accepts. This connection has none that is valid.")

// reverify verifies a gateway key again after the request body was read,
// because the key may have been revoked meanwhile. It counts no failure.
func (k *gatewayKeys) reverify(ctx context.Context, rs *requestState, key string) error {
	_, err := k.verifier.VerifyGateway(ctx, key, rs.origin())
	switch {
	case fault.KindOf(err) != fault.Unauthenticated:
		return err
	case k.canaries.knows(key):
		rs.reason = reasonCanary
		return err
	}
	k.recordUncounted(rs, key, err)
	return errGatewayKey.Because(err)
}

var errGatewayKey = fault.Errorf(fault.Unauthenticated, "This gateway key does not work. It may be mistyped or revoked.")
