package tlsfiles

import (
	"strings"
	"testing"

	"latchkey/internal/fault"
	"latchkey/internal/test/check"
)

// Files of any content are read or refused, and no error shows a line of them.
func FuzzFiles(f *testing.F) {
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"))
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\nDEK-Info: a\n\nMIIB\n-----END PRIVATE KEY-----\n"))
	f.Add([]byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----"))
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := parseCertificates(FieldCert, "cert.pem", text)
		if err == nil && len(all) == 0 {
			t.Error("got no certificate and no error")
		}
		for _, err := range []error{err, checkKey("key.pem", text)} {
			if err == nil {
				continue
			}
			check.Equal(t, fault.KindOf(err), fault.Invalid, "kind of the error")
			if len(err.Error()) > 1000 || strings.Contains(err.Error(), "-----BEGIN") {
				t.Errorf("got a long error, or one with the file's content: %.100q", err)
			}
		}
	})
}
