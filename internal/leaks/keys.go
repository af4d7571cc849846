package leaks

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"maps"
	"slices"

	"latchkey/internal/fault"
)

// Keys are the public keys of secret scanners. A nil Keys has none. It is safe for concurrent use.
type Keys struct{ byID map[string]*ecdsa.PublicKey }

// maxKeyFile is the maximum size of a file of keys, in bytes.
const maxKeyFile = 1 << 20

// ParseKeys reads keys in the form of GitHub's list of public keys:
//
//	{"public_keys": [{"key_identifier": "…", "key": "-----BEGIN PUBLIC KEY-----…", "is_current": true}]}
//
// It returns fault.Invalid if the file has another form, no key, or a key that is not of ECDSA with P-256.
func ParseKeys(r io.Reader) (*Keys, error) {
	var file struct {
		Keys []struct {
			ID  string `json:"key_identifier"`
			Key string `json:"key"`
		} `json:"public_keys"`
	}
	text, err := io.ReadAll(io.LimitReader(r, maxKeyFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxKeyFile || json.Unmarshal(text, &file) != nil || len(file.Keys) == 0 {
		return nil, fault.Errorf(fault.Invalid,
			`The file must have the form {"public_keys": [{"key_identifier": …, "key": …}]}, with at least one key.`)
	}
	k := &Keys{map[string]*ecdsa.PublicKey{}}
	for i, one := range file.Keys {
		key := parseKey(one.Key)
		if key == nil || one.ID == "" || k.byID[one.ID] != nil {
			return nil, fault.Errorf(fault.Invalid,
				"Key %d must have a key_identifier of its own and a key of ECDSA with P-256 in PEM form.", i+1)
		}
		k.byID[one.ID] = key
	}
	return k, nil
}

// parseKey returns a key in PEM form, or nil for another text.
func parseKey(text string) *ecdsa.PublicKey {
	block, _ := pem.Decode([]byte(text))
	if block == nil || block.Type != "PUBLIC KEY" {
		return nil
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil
	}
	key, is := parsed.(*ecdsa.PublicKey)
	if !is || key.Curve != elliptic.P256() {
		return nil
	}
	return key
}

// Difference is how keys differ from others, by their identifiers, in order.
type Difference struct{ Added, Removed, Changed []string }

// IsZero reports whether the keys are the same.
func (d Difference) IsZero() bool { return len(d.Added)+len(d.Removed)+len(d.Changed) == 0 }

// Compare returns how next differs from the keys.
func (k *Keys) Compare(next *Keys) Difference {
	var d Difference
	before, after := k.all(), next.all()
	for _, id := range slices.Sorted(maps.Keys(after)) {
		switch was, is := before[id]; {
		case !is:
			d.Added = append(d.Added, id)
		case !was.Equal(after[id]):
			d.Changed = append(d.Changed, id)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(before)) {
		if after[id] == nil {
			d.Removed = append(d.Removed, id)
		}
	}
	return d
}

func (k *Keys) all() map[string]*ecdsa.PublicKey {
	if k == nil {
		return nil
	}
	return k.byID
}

// Has reports whether there is a key with the identifier.
func (k *Keys) Has(id string) bool { return k != nil && k.byID[id] != nil }

// Signed reports whether a signature, in base64, of the body was made with the key.
func (k *Keys) Signed(id, signature string, body []byte) bool {
	if !k.Has(id) {
		return false
	}
	raw, err := base64.StdEncoding.DecodeString(signature)
	if err != nil {
		return false
	}
	digest := sha256.Sum256(body)
	return ecdsa.VerifyASN1(k.byID[id], digest[:], raw)
}
