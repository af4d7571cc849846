package httpserver

import (
	"net/http"
	"net/url"
	"slices"
)

// metadata is what RFC 8414, section 2 says of an authorization server.
type metadata struct {
	Issuer             string   `json:"issuer"`
	TokenEndpoint      string   `json:"token_endpoint"`
	ScopesSupported    []string `json:"scopes_supported,omitempty"`
	ResponseTypes      []string `json:"response_types_supported"`
	GrantTypes         []string `json:"grant_types_supported"`
	TokenAuth          []string `json:"token_endpoint_auth_methods_supported"`
	RevocationEndpoint string   `json:"revocation_endpoint"`
	RevocationAuth     []string `json:"revocation_endpoint_auth_methods_supported"`
	Introspection      string   `json:"introspection_endpoint"`
	// IntrospectionAuth are methods of client authentication, and names of the
	// registry of access token types.
	IntrospectionAuth []string `json:"introspection_endpoint_auth_methods_supported"`
}

// handleMetadata serves the metadata where a client looks for it: before the
// path of the issuer, if it has one (RFC 8414, section 3.1), and at the root,
// since a proxy may leave that path out.
func (p *public) handleMetadata() {
	clients := []string{"client_secret_basic", "client_secret_post"}
	m := metadata{
		Issuer: p.PublicURL, TokenEndpoint: p.PublicURL + tokenPath, ScopesSupported: p.Scopes,
		// There is no authorization endpoint, and so no type of its responses.
		ResponseTypes: []string{}, GrantTypes: []string{"client_credentials"}, TokenAuth: clients,
		RevocationEndpoint: p.PublicURL + revokePath, RevocationAuth: clients,
		Introspection: p.PublicURL + introspectPath, IntrospectionAuth: append(slices.Clone(clients), "Bearer"),
	}
	serve := func(x *exchange, _ *http.Request) { writeJSON(x, http.StatusOK, m) }
	p.handleForOAuth(metadataPath, serve, http.MethodGet, http.MethodHead)
	if issuer, err := url.Parse(p.PublicURL); err == nil && issuer.Path != "" {
		p.handleForOAuth(metadataPath+issuer.Path, serve, http.MethodGet, http.MethodHead)
	}
}
