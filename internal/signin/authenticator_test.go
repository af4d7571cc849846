package signin_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"testing"

	"github.com/fxamacker/cbor/v2"
)

// authenticator is a software authenticator with one passkey, which signs any
// request (Web Authentication, section 6).
type authenticator struct {
	*testing.T

	key    crypto.Signer
	id     []byte
	handle []byte
	count  uint32

	// The origin and site that it signs, which a test may change.
	origin, site string
	flags        byte
	// public is the public key that it reports; nil for its own.
	public map[int]any
	// transports are the transports that it reports.
	transports []string
}

// The flags of authenticator data (Web Authentication, section 6.1).
const (
	userPresent  = 0x01
	userVerified = 0x04
	hasKey       = 0x40
)

func newAuthenticator(t *testing.T) *authenticator {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &authenticator{T: t, key: key, id: []byte(rand.Text()), origin: "https://keys.example", site: "keys.example",
		flags: userPresent | userVerified}
}

// options are what a page passes to the browser.
type options struct {
	Challenge string `json:"challenge"`
	User      struct {
		ID string `json:"id"`
	} `json:"user"`
	UserVerification       string `json:"userVerification"`
	AuthenticatorSelection struct {
		ResidentKey      string `json:"residentKey"`
		UserVerification string `json:"userVerification"`
	} `json:"authenticatorSelection"`
}

func (a *authenticator) read(text []byte) options {
	a.Helper()
	var o options
	if err := json.Unmarshal(text, &o); err != nil {
		a.Fatal(err)
	}
	return o
}

func encoded(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }

// client returns the client data of the page (section 5.8.1).
func (a *authenticator) client(kind, challenge string) []byte {
	text, err := json.Marshal(map[string]any{"type": kind, "challenge": challenge, "origin": a.origin,
		"crossOrigin": false})
	if err != nil {
		a.Fatal(err)
	}
	return text
}

// data returns the authenticator data (section 6.1).
func (a *authenticator) data(flags byte) []byte {
	site := sha256.Sum256([]byte(a.site))
	a.count++
	return binary.BigEndian.AppendUint32(append(site[:], flags), a.count)
}

// makes creates the passkey, and answers as the browser does.
func (a *authenticator) makes(text []byte) string {
	a.Helper()
	o := a.read(text)
	if o.AuthenticatorSelection.ResidentKey != "required" || o.AuthenticatorSelection.UserVerification != "required" {
		a.Errorf("the options: got %s, want a resident key and user verification required", text)
	}
	var err error
	if a.handle, err = base64.RawURLEncoding.DecodeString(o.User.ID); err != nil {
		a.Fatal(err)
	}
	data := append(a.data(a.flags|hasKey), make([]byte, 16)...) // no AAGUID
	data = append(binary.BigEndian.AppendUint16(data, uint16(len(a.id))), a.id...)
	object, err := cbor.Marshal(map[string]any{"fmt": "none", "attStmt": map[string]any{},
		"authData": append(data, a.publicKey()...)})
	if err != nil {
		a.Fatal(err)
	}
	transports := a.transports
	if transports == nil {
		transports = []string{"internal"}
	}
	return a.answer(map[string]any{"clientDataJSON": encoded(a.client("webauthn.create", o.Challenge)),
		"attestationObject": encoded(object), "transports": transports})
}

// publicKey returns the COSE key of the passkey (RFC 9052, section 7).
func (a *authenticator) publicKey() []byte {
	a.Helper()
	said := a.public
	if key, is := a.key.Public().(*ecdsa.PublicKey); is && said == nil {
		point, err := key.ECDH()
		if err != nil {
			a.Fatal(err)
		}
		raw := point.Bytes() // 4, x, y
		said = map[int]any{1: 2, 3: -7, -1: 1, -2: raw[1:33], -3: raw[33:]}
	}
	public, err := cbor.Marshal(said)
	if err != nil {
		a.Fatal(err)
	}
	return public
}

// signs proves possession of the passkey, and answers as the browser does.
func (a *authenticator) signs(text []byte) string {
	a.Helper()
	o := a.read(text)
	if o.UserVerification != "required" {
		a.Errorf("the options: got %s, want user verification required", text)
	}
	client, data := a.client("webauthn.get", o.Challenge), a.data(a.flags)
	sum := sha256.Sum256(client)
	sum = sha256.Sum256(append(data, sum[:]...))
	signature, err := a.key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		a.Fatal(err)
	}
	return a.answer(map[string]any{
		"clientDataJSON": encoded(client), "authenticatorData": encoded(data), "signature": encoded(signature),
		"userHandle": encoded(a.handle),
	})
}

func (a *authenticator) answer(response map[string]any) string {
	text, err := json.Marshal(map[string]any{
		"id": encoded(a.id), "rawId": encoded(a.id), "type": "public-key", "response": response,
		"clientExtensionResults": map[string]any{},
	})
	if err != nil {
		a.Fatal(err)
	}
	return string(text)
}
