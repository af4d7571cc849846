package cli

import (
	"latchkey/internal/httpserver"
	"latchkey/internal/token"
)

// admitIssued reports the credentials that the services issue to the server, so
// that they work immediately even from an address with too many failed
// credentials.
func admitIssued(b *backend, server *httpserver.Server) {
	b.signIn.OnSession(server.Issued)
	b.tokens.OnIssue(func(i token.Issued) {
		server.Issued(i.AccessToken)
		if i.ClientSecret.Kind() != "" { // a rotation issues no client secret
			server.IssuedClient(i.Token.ClientID, i.ClientSecret)
		}
	})
}
