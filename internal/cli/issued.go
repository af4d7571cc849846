package cli

import (
	"latchkey/internal/httpserver"
	"latchkey/internal/token"
)

// admitIssued lets the server know of the credentials that the services issue,
// so that they work at once, whatever the limit on failed ones.
func admitIssued(b *backend, server *httpserver.Server) {
	b.signIn.OnSession(server.Issued)
	b.tokens.OnIssue(func(i token.Issued) {
		server.Issued(i.AccessToken)
		if i.ClientSecret.Kind() != "" { // a rotation issues none
			server.IssuedClient(i.Token.ClientID, i.ClientSecret)
		}
	})
}
