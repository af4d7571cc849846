package httpserver

import (
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"net/url"
	"testing"

	"latchkey/internal/secret"
)

func newClientSecret(t testing.TB) secret.Secret {
	t.Helper()
	s, err := secret.Generate(rand.Reader, secret.ClientSecret)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Any input is either parsed as a client's credentials or refused with an error
// of RFC 6749.
func FuzzClientCredentials(f *testing.F) {
	for _, seed := range [][3]string{
		{"", "", ""},
		{"Basic Y2xpZW50OnNlY3JldA==", "grant_type=client_credentials", "client"},
		{"basic  Y2xpZW50Og==", "client_id=client&client_secret=lkc_x", "a:b&c d"},
		{"Basic JTAwOiUwMA==", "client_id=%00&client_id=%00", "\x00"},
		{"Basic OjoA", "%zz", "é+%"},
		{"Bearer lko_x", "&&=&a==b", ""},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	own := newClientSecret(f)
	f.Fuzz(func(t *testing.T, header, body, id string) {
		var sent, posted form
		if err := sent.parse(body); err != nil {
			wantOAuthError(t, err, http.StatusBadRequest)
		} else {
			c, err := clientCredentialsOf(http.Header{"Authorization": {header}}, &sent)
			if err != nil {
				wantOAuthError(t, err, http.StatusBadRequest, http.StatusUnauthorized)
			}
			if err != nil && (c.id != "" || c.secret.Kind() != "") {
				t.Errorf("with the error %v: got the client %q and a %s, want no credentials", err, c.id,
					c.secret.Kind())
			}
		}
		// Credentials encoded by the RFC are decoded to the originals.
		encoded := url.QueryEscape(id) + ":" + url.QueryEscape(own.Reveal())
		c, ok := basicCredentials(http.Header{"Authorization": {"Basic " +
			base64.StdEncoding.EncodeToString([]byte(encoded))}})
		if !ok || c.id != id || c.secret.Reveal() != own.Reveal() {
			t.Errorf("basicCredentials of %q: got %q, %t and the same secret %t, want the original credentials", id,
				c.id, ok, c.secret.Reveal() == own.Reveal())
		}
		err := posted.parse(url.Values{"client_id": {id}, "client_secret": {own.Reveal()}}.Encode())
		if err != nil || posted.get("client_id") != id || posted.get("client_secret") != own.Reveal() {
			t.Errorf("posted credentials of %q: got %q, the same secret %t, %v, want the original credentials", id,
				posted.get("client_id"), posted.get("client_secret") == own.Reveal(), err)
		}
	})
}

func wantOAuthError(t *testing.T, err error, statuses ...int) {
	t.Helper()
	e := asOAuth(err)
	for _, status := range statuses {
		if e.status == status {
			return
		}
	}
	t.Errorf("status of %s, %v: got %d, want one of %v", e.code, err, e.status, statuses)
}
