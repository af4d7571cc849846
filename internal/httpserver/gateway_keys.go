package httpserver

import (
	"context"

	"latchkey/internal/access"
	"latchkey/internal/fault"
)

// gatewayKeys verifies the keys of gateways.
type gatewayKeys struct {
	*endpoint

	// canary is the name of the keys that canaries use; empty for none.
	canary string
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
