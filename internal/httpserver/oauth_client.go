package httpserver

import (
	"net/http"
	"strings"

	"latchkey/internal/fault"
	"latchkey/internal/secret"
)

// clientCredentials are a client's id and secret. The secret is zero if what
// was presented cannot be a secret of this service.
type clientCredentials struct {
	id     string
	secret secret.Secret
	// gatewayKey is the presented secret if it has the prefix of a gateway key.
	gatewayKey string
}

// clientCredentialsOf returns the credentials in HTTP Basic or in the body's
// parameters, but not in both (RFC 6749, section 2.3.1).
func clientCredentialsOf(h http.Header, f *form) (clientCredentials, error) {
	lines := h["Authorization"]
	id, presented := f.get("client_id"), f.get("client_secret")
	switch {
	case len(lines) > 1:
		return clientCredentials{}, badRequest("The request has several Authorization headers. Send one.")
	case len(lines) == 0 && (id == "" || presented == ""):
		return clientCredentials{},
			noClient(
				"Authenticate with the client id and client secret, by HTTP Basic or in the body as client_id and client_secret.")
	case len(lines) == 0:
		return newClientCredentials(id, presented), nil
	case presented != "":
		return clientCredentials{},
			badRequest("The client authenticates by HTTP Basic and in the body. Use one of the two.")
	}
	c, ok := basicCredentials(h)
	if !ok {
		return clientCredentials{},
			noClient("The Authorization header is not HTTP Basic with the form-encoded client id and client secret.")
	}
	if id != "" && id != c.id {
		return clientCredentials{}, badRequest("The parameter client_id is not the client that authenticates.")
	}
	return c, nil
}

func noClient(description string) error {
	return fault.Errorf(fault.Unauthenticated, "%s", description)
}

func newClientCredentials(id, presented string) clientCredentials {
	c := clientCredentials{id: id}
	if s, err := secret.Parse(presented); err == nil {
		c.secret = s
	}
	if strings.HasPrefix(presented, string(secret.GatewayKey)) {
		c.gatewayKey = presented
	}
	return c
}

// basicCredentials reads HTTP Basic (RFC 7617) with a form-encoded user name
// and password (RFC 6749, appendix B).
func basicCredentials(h http.Header) (clientCredentials, bool) {
	user, password, ok := basicAuth(h)
	id, idOK := unescape(user)
	presented, secretOK := unescape(password)
	if !ok || !idOK || !secretOK {
		return clientCredentials{}, false
	}
	return newClientCredentials(id, presented), true
}
