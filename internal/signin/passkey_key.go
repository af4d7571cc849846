package signin

import (
	"fmt"
	"math/big"
	"slices"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
	"github.com/go-webauthn/webauthn/webauthn"
)

// Bounds of what authenticators make: a credential id has at most 1023 bytes
// (Web Authentication, section 4: credential id), and an RSA key 2048 to 8192
// bits.
const (
	maxCredentialID = 1023
	maxPublicKey    = 2048
	minRSABits      = 2048
	maxRSABits      = 8192
)

// algorithms are those that passkeys may sign with (RFC 9053; RFC 8812).
var algorithms = []webauthncose.COSEAlgorithmIdentifier{
	webauthncose.AlgES256, webauthncose.AlgES384, webauthncose.AlgES512, webauthncose.AlgEdDSA,
	webauthncose.AlgRS256, webauthncose.AlgRS384, webauthncose.AlgRS512, webauthncose.AlgPS256, webauthncose.AlgPS384, webauthncose.AlgPS512,
}

// checkCredential returns an error for a credential that must not be kept: one
// whose key is not known to be strong, or that is larger than any real one.
func checkCredential(c *webauthn.Credential) error {
	if len(c.ID) == 0 || len(c.ID) > maxCredentialID || len(c.PublicKey) > maxPublicKey {
		return fmt.Errorf("a credential id of %d bytes and a public key of %d", len(c.ID), len(c.PublicKey))
	}
	key, err := webauthncose.ParsePublicKey(c.PublicKey)
	if err != nil {
		return err
	}
	var algorithm int64
	switch k := key.(type) {
	case webauthncose.EC2PublicKeyData:
		algorithm = k.Algorithm
		public, err := k.ToECDSA()
		if err != nil {
			return err
		}
		if _, err := public.ECDH(); err != nil { // on the curve, and not at infinity
			return err
		}
	case webauthncose.RSAPublicKeyData:
		algorithm = k.Algorithm
		exponent, err := webauthncose.ParseRSAPublicKeyDataExponent(&k)
		bits := new(big.Int).SetBytes(k.Modulus).BitLen()
		if err != nil || bits < minRSABits || bits > maxRSABits || exponent < 3 || exponent%2 == 0 {
			return fmt.Errorf("an RSA key of %d bits with the exponent %d", bits, exponent)
		}
	case webauthncose.OKPPublicKeyData:
		algorithm = k.Algorithm
	default:
		return fmt.Errorf("a key of an unknown kind: %T", key)
	}
	if !slices.Contains(algorithms, webauthncose.COSEAlgorithmIdentifier(algorithm)) {
		return fmt.Errorf("a key for the unknown algorithm %d", algorithm)
	}
	return nil
}

// knownTransports returns the transports that the specification names (Web
// Authentication, section 5.8.4), each once: a browser says them freely.
func knownTransports(said []protocol.AuthenticatorTransport) []string {
	var known []string
	for _, each := range []protocol.AuthenticatorTransport{
		protocol.USB, protocol.NFC, protocol.BLE, protocol.SmartCard, protocol.Hybrid, protocol.Internal,
	} {
		if slices.Contains(said, each) {
			known = append(known, string(each))
		}
	}
	return known
}
