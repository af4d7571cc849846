package signin

import (
	"bytes"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"filippo.io/edwards25519"
	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
	"github.com/go-webauthn/webauthn/webauthn"
)

// Limits of credentials: a credential ID has at most 1023 bytes (Web
// Authentication, section 4: credential id), and an RSA key 2048 to 8192 bits.
const (
	maxCredentialID = 1023
	maxPublicKey    = 2048
	minRSABits      = 2048
	maxRSABits      = 8192
)

// algorithms are the accepted signature algorithms (RFC 9053; RFC 8812).
var algorithms = []webauthncose.COSEAlgorithmIdentifier{
	webauthncose.AlgES256, webauthncose.AlgES384, webauthncose.AlgES512, webauthncose.AlgEdDSA,
	webauthncose.AlgRS256, webauthncose.AlgRS384, webauthncose.AlgRS512, webauthncose.AlgPS256, webauthncose.AlgPS384,
	webauthncose.AlgPS512,
}

// checkCredential returns an error for a credential that must not be saved or
// used: one whose key is not known to be strong, or that is larger than any real
// one.
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
		if _, err := public.ECDH(); err != nil { // checks that the point is on the curve and not at infinity
			return err
		}
	case webauthncose.RSAPublicKeyData:
		algorithm = k.Algorithm
		exponent, err := webauthncose.ParseRSAPublicKeyDataExponent(&k)
		bits := new(big.Int).SetBytes(k.Modulus).BitLen()
		even := len(k.Modulus) == 0 || k.Modulus[len(k.Modulus)-1]%2 == 0
		if err != nil || even || bits < minRSABits || bits > maxRSABits || exponent < 3 || exponent%2 == 0 {
			return fmt.Errorf("an RSA key of %d bits with the exponent %d, even modulus: %t", bits, exponent, even)
		}
	case webauthncose.OKPPublicKeyData:
		algorithm = k.Algorithm
		if err := checkEd25519(k); err != nil {
			return err
		}
	default:
		return fmt.Errorf("a key of an unknown kind: %T", key)
	}
	if !slices.Contains(algorithms, webauthncose.COSEAlgorithmIdentifier(algorithm)) {
		return fmt.Errorf("a key for the unknown algorithm %d", algorithm)
	}
	return nil
}

// checkEd25519 returns an error for a key that is not the canonical encoding of
// a point (RFC 8032, section 5.1.3), or is a point of small order: signatures
// for such a key can be forged without a private key.
func checkEd25519(k webauthncose.OKPPublicKeyData) error {
	if k.Curve != int64(webauthncose.Ed25519) {
		return fmt.Errorf("an octet key pair of the curve %d", k.Curve)
	}
	point, err := new(edwards25519.Point).SetBytes(k.XCoord)
	if err != nil {
		return err
	}
	if !bytes.Equal(point.Bytes(), k.XCoord) {
		return errors.New("an Ed25519 key that is not encoded canonically")
	}
	if new(edwards25519.Point).MultByCofactor(point).Equal(edwards25519.NewIdentityPoint()) == 1 {
		return errors.New("an Ed25519 key of small order")
	}
	return nil
}

// knownTransports returns the transports that the specification defines (Web
// Authentication, section 5.8.4), without duplicates. Browsers may send any
// text.
func knownTransports(sent []protocol.AuthenticatorTransport) []string {
	var known []string
	for _, each := range []protocol.AuthenticatorTransport{
		protocol.USB, protocol.NFC, protocol.BLE, protocol.SmartCard, protocol.Hybrid, protocol.Internal,
	} {
		if slices.Contains(sent, each) {
			known = append(known, string(each))
		}
	}
	return known
}
